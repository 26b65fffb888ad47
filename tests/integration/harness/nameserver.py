"""Name servers: a scripted one that misbehaves, and a real one (nsd). Pass their
option to pgsplice. HostFiles is for what is in /etc instead."""

import os
import random
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

from .ports import free_port
from .wait import wait_until

A, AAAA, SOA = 1, 28, 6
_CNAME, _OPT = 5, 41
_RCODES = {"formerr": 1, "servfail": 2, "nxdomain": 3, "refused": 5}


def _encode(name):
    labels = [label.encode() for label in name.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _question_of(query):
    """(name, type, bytes of the question, size that a datagram may have)"""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    kind, = struct.unpack_from("!H", query, at + 1)
    limit = 512
    if len(query) >= at + 16 and struct.unpack_from("!H", query, at + 6)[0] == _OPT:
        limit = struct.unpack_from("!H", query, at + 8)[0]
    return ".".join(labels), kind, query[12:at + 5], limit


class NameServer:
    """answers: {name: list of addresses}; aliases: {name: name}. A name that is
    in neither does not exist.

    fault is None or what to do wrong with every query: "silent", an error of
    _RCODES, "wrong id", "wrong question", "garbage", "cut", "truncated" (there is
    never an answer by TCP either), "drops" (every other one of a kind). delay: seconds
    before each answer. queries: (time, name, type, by TCP) as they came."""

    def __init__(self, answers, host="127.0.0.1", port=None):
        self.answers = answers
        self.aliases = {}
        self.ttl = 0
        self.fault = None
        self._dropped = {}  # by kind: whether the last one was
        self.delay = 0.0
        self.queries = []
        self.host, self.port = host, port or free_port()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((host, self.port))
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind((host, self.port))
        self._tcp.listen(16)
        self._stopping, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def option(self):
        return f"--dns-server={self.host}:{self.port}"

    def close(self):
        self._stop.close()
        self._thread.join(10)
        for sock in (self._udp, self._tcp, self._stopping):
            sock.close()

    def wait_for_queries(self, count, timeout=10.0):
        """So many more than there are now."""
        wanted = len(self.queries) + count
        wait_until(lambda: len(self.queries) >= wanted, timeout, "queries")

    def times_of(self, kind):
        return [when for when, _, asked, _ in list(self.queries) if asked == kind]

    def _run(self):
        with selectors.DefaultSelector() as selector:
            for sock in (self._udp, self._tcp, self._stopping):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._stopping in ready:
                    return
                if self._udp in ready:
                    query, peer = self._udp.recvfrom(4096)
                    self._note(query, False)
                    self._later(self._reply_to_datagram, query, peer)
                if self._tcp in ready:
                    self._take_stream(self._tcp.accept()[0])

    def _note(self, query, by_tcp):
        name, kind, _, _ = _question_of(query)
        self.queries.append((time.monotonic(), name, kind, by_tcp))

    def _later(self, work, *args):
        if self.delay:
            timer = threading.Timer(self.delay, work, args)
            timer.daemon = True
            timer.start()
        else:
            work(*args)

    def _reply_to_datagram(self, query, peer):
        answer = self._answer(query, False)
        if answer is not None:
            try:
                self._udp.sendto(answer, peer)
            except OSError:
                pass  # closed while it was delayed

    def _take_stream(self, sock):
        sock.settimeout(2)
        try:
            size, = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))
            query = sock.recv(size, socket.MSG_WAITALL)
        except (OSError, struct.error):
            sock.close()
            return
        self._note(query, True)
        self._later(self._reply_to_stream, query, sock)

    def _reply_to_stream(self, query, sock):
        with sock:
            answer = self._answer(query, True)
            try:
                if answer is not None:
                    sock.sendall(struct.pack("!H", len(answer)) + answer)
            except OSError:
                pass

    def _answer(self, query, by_tcp):
        name, kind, question, limit = _question_of(query)
        fault = self.fault
        if fault == "drops":
            self._dropped[kind] = not self._dropped.get(kind, False)
        if fault == "silent" or (fault == "drops" and self._dropped[kind]):
            return None
        if fault == "garbage":
            return query[:2] + os.urandom(60)
        if fault == "wrong question":
            question = _encode("other.test") + question[-4:]
        flags = 0x8180 | _RCODES.get(fault, 0)
        records, exists = self._records(name, kind)
        if not exists:
            flags |= _RCODES["nxdomain"]
        count = 0 if flags & 15 else len(records)
        body = question + b"".join(records[:count])
        if fault == "truncated" or (not by_tcp and 12 + len(body) > limit):
            if by_tcp:
                return None
            flags, count, body = flags | 0x200, 0, question
        number, = struct.unpack_from("!H", query)
        if fault == "wrong id":
            number ^= 0x5555
        answer = struct.pack("!HHHHHH", number, flags, 1, count, 0, 0) + body
        return answer[:-3] if fault == "cut" else answer

    def _records(self, name, kind):
        """The encoded records, and whether there is such a name."""
        records = []
        owner = name
        while owner in self.aliases and len(records) < 8:
            target = _encode(self.aliases[owner])
            records.append(self._record(owner, _CNAME, target))
            owner = self.aliases[owner]
        for address in self.answers.get(owner) or ():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if kind == (AAAA if family == socket.AF_INET6 else A):
                records.append(self._record(owner, kind, socket.inet_pton(family, address)))
        return records, bool(records) or owner in self.answers

    def _record(self, owner, kind, data):
        return _encode(owner) + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data


class HostFiles:
    """A pgsplice that sees an /etc/hosts and an /etc/resolv.conf of ours, in a
    mount namespace. Needs root, as port 53 does."""

    def __init__(self, folder):
        self.hosts = os.path.join(folder, "hosts")
        self.resolv = os.path.join(folder, "resolv.conf")
        self.write_hosts("127.0.0.1 localhost\n")
        self.write_resolv("")

    def write_hosts(self, text):
        with open(self.hosts, "w", encoding="utf-8") as f:
            f.write(text)

    def write_resolv(self, text):
        with open(self.resolv, "w", encoding="utf-8") as f:
            f.write(text)

    @staticmethod
    def loopback_address():
        """One whose port 53 is free."""
        return "127.%d.%d.%d" % tuple(random.randrange(1, 255) for _ in range(3))

    @staticmethod
    def is_possible():
        return os.geteuid() == 0 and shutil.which("unshare") is not None and \
            subprocess.run(["unshare", "-m", "true"], check=False,
                           stderr=subprocess.DEVNULL).returncode == 0

    @property
    def launcher(self):
        return ["unshare", "-m", "sh", "-c",
                f'mount --bind "{self.hosts}" /etc/hosts && '
                f'mount --bind "{self.resolv}" /etc/resolv.conf && exec "$@"', "sh"]


_NSD_CONFIG = """server:
  ip-address: {host}@{port}
  username: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  logfile: "{folder}/nsd.log"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: "test"
  zonefile: "test.zone"
"""


class Nsd:
    """A real authoritative server for the zone "test". records: lines of a zone
    file, such as "leader 5 A 127.0.0.1"."""

    program = shutil.which("nsd") or shutil.which("/usr/sbin/nsd")

    def __init__(self, folder, *records):
        self.folder = str(folder)
        self.host, self.port = "127.0.0.1", free_port()
        self._serial = 0
        self._write_zone(records)
        with open(self.folder + "/nsd.conf", "w", encoding="utf-8") as f:
            f.write(_NSD_CONFIG.format(host=self.host, port=self.port, folder=self.folder))
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", self.program, "-d", "-c",
             self.folder + "/nsd.conf"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_for_serial()

    @property
    def option(self):
        return f"--dns-server={self.host}:{self.port}"

    def _write_zone(self, records):
        self._serial += 1
        with open(self.folder + "/new.zone", "w", encoding="utf-8") as f:
            f.write(f"$ORIGIN test.\n$TTL 1\n@ SOA ns host {self._serial} 60 60 60 1\n"
                    "@ NS ns\nns A 127.0.0.1\n" + "\n".join(records) + "\n")
        os.replace(self.folder + "/new.zone", self.folder + "/test.zone")

    def _served_serial(self):
        assert self.process.poll() is None, "nsd has ended"
        query = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + _encode("test") + \
            struct.pack("!HH", SOA, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            sock.connect((self.host, self.port))
            try:
                sock.send(query)
                answer = sock.recv(4096)
            except OSError:
                return None
        at = len(query) + 12  # behind the record's head; its owner is two bytes
        for _ in range(2):
            while answer[at] and answer[at] < 0xc0:
                at += 1 + answer[at]
            at += 2 if answer[at] else 1
        return struct.unpack_from("!I", answer, at)[0]

    def _wait_for_serial(self):
        wait_until(lambda: self._served_serial() == self._serial, 20,
                   f"the zone is not served, see {self.folder}/nsd.log")

    def serve(self, *records):
        """Other records from now on; returns once they are served."""
        self._write_zone(records)
        self.process.send_signal(signal.SIGHUP)
        self._wait_for_serial()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
