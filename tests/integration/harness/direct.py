"""A stage with a direct port: a leader, standbys, and roles that change."""

import socket
import struct
import threading

from .client import connect, echoes, receive
from .clusterdata import member
from .ports import free_port
from .servers import RecordingServer
from .stage import Stage
from .wait import wait_until

_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104

SSL_REQUEST = struct.pack("!II", 8, _SSL)
STARTUP = struct.pack("!II", 8 + 12, 196608) + b"user\0nobody\0"


def cancel_request(pid, key=b"keys"):
    return struct.pack("!III", 12 + len(key), _CANCEL, pid) + key


class MemberServer(RecordingServer):
    """Speaks first as PostgreSQL does: "N" to a request for encryption, to a startup
    packet its name and a newline. Then it echoes. A CancelRequest is recorded, and its
    connection ended (unless close_on_fin=False).

    delay: seconds before each "N", or a function that returns them."""

    def __init__(self, name, delay=0, **keywords):
        self.name = name
        self.delay = delay
        self.answers = 0  # times that it has said "N"
        super().__init__(**keywords)

    def sessions(self):
        """The connections that have sent a startup packet, also those that have ended."""
        return [c for c in list(self.connections) if getattr(c, "greeted", False)]

    def cancels(self):
        """What came on connections that began with a CancelRequest."""
        return [c for c in list(self.connections) if getattr(c, "is_cancel", False)]

    def live_sessions(self):
        return [c for c in self.sessions() if c.is_live()]

    def _answer(self, c):
        seconds = self.delay() if callable(self.delay) else self.delay
        if not seconds:
            self._say_no(c)
            return
        timer = threading.Timer(seconds, self._answer_late, (c,))
        timer.daemon = True
        timer.start()

    def _say_no(self, c):
        c.out += b"N"
        self.answers += 1

    def _answer_late(self, c):
        def answer():
            if not c.closed:
                self._say_no(c)
                self._update(c)

        if not self._stopping:
            self.call(answer)

    def _received(self, c, data):
        if getattr(c, "greeted", False):
            super()._received(c, data)
            return
        first = c.first = getattr(c, "first", b"") + data
        while len(first) >= 8:
            size, code = struct.unpack_from("!II", first)
            if code in (_SSL, _GSS):
                first = c.first = first[8:]
                self._answer(c)
                continue
            if code == _CANCEL:
                c.is_cancel = len(first) >= size
                if c.is_cancel and self.close_on_fin:
                    c.sock.shutdown(socket.SHUT_WR)
            elif len(first) >= size:
                c.greeted = True
                c.out += self.name.encode() + b"\n"
                super()._received(c, first[size:])
            return


class DirectStage(Stage):
    """Each server is a MemberServer. Members are as a sentinel has them once every
    keeper has done its part; change() says otherwise."""

    def __init__(self, store, standbys=2, server=None, **timings):
        super().__init__(store, **timings)
        self.direct_port = free_port()
        self.server_keywords = server or {}
        for i in range(1, standbys + 2):
            self.add_server(f"db{i}")
        for i in range(2, standbys + 2):
            self.make_standby(f"db{i}", of="db1")

    def add_server(self, uid, host="127.0.0.1", address=None, port=None, **keywords):
        """host: where it listens. address: where the cluster data says it is."""
        server = MemberServer(uid, host=host, port=port, **{**self.server_keywords, **keywords})
        if uid in self.servers:
            self.servers[uid].close()
        self.servers[uid] = server
        self.members[uid] = member(uid, server.port, address or host)
        return server

    def start_again(self, uid):
        """The server of that member, which was closed, at its old place."""
        old = self.servers[uid]
        self.servers[uid] = MemberServer(uid, host=old.host, port=old.port)
        return self.servers[uid]

    def change(self, uid, role=None, of=None, generation=None, current=None, **status):
        m = self.members[uid]
        if role is not None:
            m["spec"]["role"] = role
            m["spec"].pop("followConfig", None)
        if of is not None:
            m["spec"]["followConfig"] = {"type": "internal", "dbuid": of}
        if generation is not None:
            m["generation"] = generation
        if current is not None:
            status["currentGeneration"] = current
        m["status"].update(status)

    def make_standby(self, uid, of):
        """One that is it already."""
        self.change(uid, role="standby", of=of, current=self.members[uid]["generation"])

    def name_standby(self, uid, of):
        """One that is to be it: its keeper has not carried it out."""
        self.change(uid, role="standby", of=of, generation=self.members[uid]["generation"] + 1)

    def make_leader(self, uid):
        self.change(uid, role="master")

    def promote(self, uid):
        """uid is the master, all others are to follow it. Nothing is published."""
        for other in self.members:
            if other != uid and self.members[other]["spec"]["role"] == "master":
                self.name_standby(other, of=uid)
            elif other != uid:
                self.make_standby(other, of=uid)
        self.make_leader(uid)

    def start(self, *args, target="replicas", leader="db1", **keywords):
        """With the direct port open and the leader routed."""
        self.start_proxy(f"--direct-target={target}", f"--direct-port={self.direct_port}", *args,
                         **keywords)
        self.publish(leader)
        self.acknowledged()
        self.publish(leader)
        self.acknowledged()
        return self.proxy

    def direct(self, timeout=10.0):
        """A client of the direct port and the name of whom it met; None: closed."""
        sock = connect(self.direct_port, timeout=timeout)
        try:
            sock.sendall(STARTUP)
            name = receive_line(sock)
        except ConnectionError:
            name = None
        if not name:
            sock.close()
            return None, None
        return sock, name

    def direct_on(self, uid, timeout=10.0):
        """A client that has met this member. The others stay until then: they count for
        the balance."""
        others = []

        def met():
            sock, name = self.direct()
            if name == uid:
                return sock
            if sock is not None:
                others.append(sock)
            return None

        try:
            return wait_until(met, timeout, f"no client meets {uid}")
        finally:
            for sock in others:
                sock.close()

    def met(self, count=1, at_once=True):
        """Whom so many clients of the direct port meet. At once: they stay until all are
        there, since by balance=least one alone meets nobody who has a session already."""
        names, stay = [], []
        try:
            for _ in range(count):
                sock, name = self.direct()
                names.append(name)
                if sock is not None and at_once:
                    stay.append(sock)
                elif sock is not None:
                    sock.close()
        finally:
            for sock in stay:
                sock.close()
        return names

    def wait_for_members(self, *names, timeout=10.0, tries=24):
        """Until new clients of the direct port meet all of these and nobody else."""
        seen = set()

        def settled():
            seen.clear()
            seen.update(self.met(tries))
            return seen == set(names)

        wait_until(settled, timeout, lambda: f"clients meet {seen}, not {set(names)}")


def receive_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        data = receive(sock, 1)
        if not data:
            return None
        line += data
    return line[:-1].decode()


__all__ = ["STARTUP", "SSL_REQUEST", "DirectStage", "MemberServer", "cancel_request", "echoes",
           "receive_line"]
