"""A scripted DNS server, and a pgsplice that asks it instead of the machine's.

The proxy runs in a mount namespace in which /etc/hosts and /etc/resolv.conf are
ours; that, and port 53 of a loopback address, need root."""

import os
import random
import shutil
import socket
import struct
import subprocess
import threading

_A, _AAAA = 1, 28
_NXDOMAIN = 3


class NameServer:
    """answers: {name: list of addresses}. A name that is not there does not
    exist. silent=True: no query is answered at all."""

    def __init__(self, folder, answers):
        self.answers = answers
        self.silent = False
        self.queries = 0
        self.host = "127.%d.%d.%d" % tuple(random.randrange(1, 255) for _ in range(3))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.host, 53))
        self.hosts = os.path.join(folder, "hosts")
        self.resolv = os.path.join(folder, "resolv.conf")
        with open(self.hosts, "w", encoding="utf-8") as f:
            f.write("127.0.0.1 localhost\n")
        with open(self.resolv, "w", encoding="utf-8") as f:
            f.write(f"nameserver {self.host}\n")
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

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

    def close(self):
        self._stopping = True
        self._socket.sendto(b"", (self.host, 53))
        self._thread.join(10)
        self._socket.close()

    def _run(self):
        while True:
            data, peer = self._socket.recvfrom(4096)
            if self._stopping:
                return
            self.queries += 1
            if not self.silent and len(data) > 16:
                self._socket.sendto(self._answer(data), peer)

    def _answer(self, data):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        question = data[12:at + 5]
        kind, = struct.unpack_from("!H", data, at + 1)
        addresses = self.answers.get(".".join(labels))
        records = b""
        count = 0
        for address in addresses or ():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if kind == (_AAAA if family == socket.AF_INET6 else _A):
                packed = socket.inet_pton(family, address)
                records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(packed)) + packed
                count += 1
        flags = 0x8180 | (_NXDOMAIN if addresses is None else 0)
        return data[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0) + question + records
