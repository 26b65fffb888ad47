"""Members of a cluster without a store: what clients see of it, and scripted members
for what real ones cannot be made to do."""

import os
import struct
import threading
import time

import psycopg2

from .ports import free_port
from .servers import RecordingServer
from .wait import wait_until

# With these a silent leader is dropped after 0.8 s.
INTERVAL_S, TIMEOUT_S, FALL = 0.2, 0.3, 2
WINDOW_S = INTERVAL_S + FALL * TIMEOUT_S


def timings(interval_s=INTERVAL_S, timeout_s=TIMEOUT_S, fall=FALL):
    return [f"--probe-interval={round(interval_s * 1000)}ms",
            f"--probe-timeout={round(timeout_s * 1000)}ms", f"--probe-fall={fall}"]


def by_sql(*servers, conninfo="user=postgres", **times):
    """Options for servers that have an address and a port, or texts."""
    texts = [s if isinstance(s, str) else f"{s.address}:{s.port}" for s in servers]
    return [f"--members={','.join(texts)}", f"--probe-conninfo={conninfo}", *timings(**times)]


def by_http(port, *servers, **times):
    """The same; all check servers have one port."""
    texts = [s if isinstance(s, str) else f"{s.host}:{s.port}" for s in servers]
    return [f"--members={','.join(texts)}", "--probe=http", f"--probe-http-port={port}",
            *timings(**times)]


# Clients that speak SQL


class Session:
    """One through the proxy, kept open."""

    def __init__(self, port):
        self.connection = psycopg2.connect(host="127.0.0.1", port=port, user="postgres",
                                           dbname="postgres", connect_timeout=5)
        self.connection.autocommit = True

    def ask(self, statement):
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]

    def works(self):
        try:
            return self.ask("select 1") == 1
        except psycopg2.Error:
            return False

    def fileno(self):
        return self.connection.fileno()

    def close(self):
        self.connection.close()


def ask_through(port, statement):
    """The answer over a new session; None: there was none."""
    try:
        session = Session(port)
    except psycopg2.Error:
        return None
    try:
        return session.ask(statement)
    except psycopg2.Error:
        return None
    finally:
        session.close()


def server_behind(port):
    """The port of the server that a new session reaches; None: nobody's."""
    return ask_through(port, "select inet_server_port()")


def wait_for_server(port, server, timeout=10.0):
    seen = []

    def met():
        seen[:] = [server_behind(port)]
        return seen[0] == (server.port if server else None)

    wait_until(met, timeout, lambda: f"a session reaches {seen}")


class Watch:
    """Does the same again and again, and notes each outcome with its time."""

    def __init__(self, look, pause_s=0.001):
        self.outcomes = []  # (monotonic time before, after, result)
        self._look = look
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stopping.is_set():
            before = time.monotonic()
            result = self._look()
            self.outcomes.append((before, time.monotonic(), result))
            self._stopping.wait(self._pause_s)

    def first(self, result, since=0.0, timeout=20.0):
        """When this result was there first, of a look that began after `since`."""
        return wait_until(lambda: next((after for before, after, r in list(self.outcomes)
                                        if r == result and before >= since), None), timeout,
                          lambda: f"{result} among {self.results(since)}")

    def results(self, since=0.0):
        return {r for before, _, r in list(self.outcomes) if before >= since}

    def close(self):
        self._stopping.set()
        self._thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def watch_promotion(server):
    """A Watch of what SQL says, over one session: True once it is writable."""
    session = Session(server.port)
    return Watch(lambda: not session.ask("select pg_is_in_recovery()"))


def watch_writes(port):
    """A Watch of writes through a proxy, a session each: the server's port, or None."""
    return Watch(lambda: ask_through(
        port, "insert into writes values (1, (select count(*) from writes)) "
        "returning inet_server_port()"))


# Scripted check servers

_STATUS = {200: "OK", 500: "Internal Server Error", 404: "Not Found"}


class CheckServer(RecordingServer):
    """Answers GET /flycheck/role with `says`: a body; a pair of status and body; bytes
    that are sent as they are; None: it never answers. "flood" never ends."""

    def __init__(self, says, host, port):
        self.says = says
        self.asked = 0
        super().__init__(mode="silent", host=host, port=port)

    def _read(self, c):
        before = c.size
        super()._read(c)
        if c.size == before or not c.received.endswith(b"\r\n\r\n"):
            return
        assert c.received.startswith(b"GET /flycheck/role HTTP/1.1\r\n"), c.received
        c.chunks.clear()
        self.asked += 1
        says = self.says
        if isinstance(says, bytes):
            c.out += says
        elif says == "flood":
            c.out += b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + bytes(4 << 20)
        elif says is not None:
            status, body = says if isinstance(says, tuple) else (200, says)
            c.out += (f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: text/plain\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


class CheckedMember:
    """An echo server that greets with its name, and a check server beside it."""

    def __init__(self, name, host, check_port, says="replica"):
        self.name = name
        self.host = host
        self.server = RecordingServer(host=host, greeting=name.encode() + b"\n")
        self.port = self.server.port
        self.check = CheckServer(says, host, check_port)

    def says(self, what):
        self.check.says = what

    def close(self):
        self.server.close()
        self.check.close()


class CheckedMembers:
    """So many of them, at 127.0.x.1, 127.0.x.2 and so on."""

    def __init__(self, count, leader=0):
        self.check_port = free_port()
        net = self.check_port % 250 + 1
        self.all = [CheckedMember(f"db{i + 1}", f"127.0.{net}.{i + 1}", self.check_port,
                                  "leader" if i == leader else "replica")
                    for i in range(count)]

    def __getitem__(self, index):
        return self.all[index]

    def options(self, **times):
        return by_http(self.check_port, *self.all, **times)

    def close(self):
        for member in self.all:
            member.close()


# Scripted PostgreSQL servers

_OK = struct.pack("!cII", b"R", 8, 0)
_PARAMETERS = b"S" + struct.pack("!I", 25) + b"server_version\x0015.4\0"
_KEY = struct.pack("!cIII", b"K", 12, 4711, 42)
_READY = b"Z" + struct.pack("!I", 5) + b"I"
_NOTICE = b"N" + struct.pack("!I", 21) + b"SNOTICE\0Mflood\0\0\0"

# What is sent when a connection begins, for the SSLRequest, for the startup packet and
# for each packet after it. One that is missing is never answered.
PHASES = {
    "accepted": {},
    "tls offered, no handshake": {"ssl": b"S"},
    "tls offered, garbage": {"ssl": b"S" + bytes(range(1, 200))},
    "startup": {"ssl": b"N"},
    "half a message": {"ssl": b"N", "startup": b"R\0\0"},
    "authenticated": {"ssl": b"N", "startup": _OK},
    "question": {"ssl": b"N", "startup": _OK + _PARAMETERS + _KEY + _READY},
    "half an answer": {"ssl": b"N", "startup": _OK + _PARAMETERS + _KEY + _READY,
                       "query": b"T\0\0\1\0\0\7"},
    "garbage at once": {"accept": os.urandom(300)},
    "garbage for tls": {"ssl": b"\xff" * 300},
    "garbage": {"ssl": b"N", "startup": b"\x7f" * 4000},
    "garbage for an answer": {"ssl": b"N", "startup": _OK + _KEY + _READY, "query": b"\xee" * 999},
    "an endless message": {"ssl": b"N", "startup": b"E\x7f\0\0\0" + b"x" * (8 << 20)},
    "flood of notices": {"ssl": b"N", "startup": _OK + _NOTICE * 200000},
    "flood of parameters": {"ssl": b"N", "startup": _OK + _PARAMETERS * 200000},
    "flood for an answer": {"ssl": b"N", "startup": _OK + _KEY + _READY, "query": _NOTICE * 200000},
}


class FakePostgres(RecordingServer):
    """Goes as far as a phase of PHASES."""

    address = "127.0.0.1"

    def __init__(self, phase):
        self.phase = phase
        self._script = PHASES[phase]
        super().__init__(mode="silent", greeting=self._script.get("accept", b""))

    def _read(self, c):
        before = c.size
        super()._read(c)
        if c.size == before:
            return
        c.packets = getattr(c, "packets", 0) + 1
        step = {1: "ssl", 2: "startup"}.get(c.packets, "query")
        c.out += self._script.get(step, b"")
