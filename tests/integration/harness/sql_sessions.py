"""PostgreSQL sessions without a library, many in one epoll loop: cheap enough to open one
every few milliseconds and to see to the millisecond when each ends."""

import heapq
import itertools
import select
import socket
import struct
import time

HOST = "127.0.0.1"
_STARTUP = b"user\0postgres\0database\0postgres\0\0"
_IN = select.EPOLLIN | select.EPOLLRDHUP

now = time.monotonic  # of all processes alike


class Loop:
    def __init__(self):
        self._epoll = select.epoll()
        self._handlers = {}
        self._timers = []
        self._order = itertools.count()

    def add(self, fd, handler, events=_IN):
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd, events):
        self._epoll.modify(fd, events)

    def remove(self, fd):
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def call_at(self, when, function):
        heapq.heappush(self._timers, (when, next(self._order), function))

    def call_after(self, seconds, function):
        self.call_at(now() + seconds, function)

    def run(self):
        while True:
            wait = max(0, self._timers[0][0] - now()) if self._timers else None
            for fd, events in self._epoll.poll(wait):
                if fd in self._handlers:  # not removed by one before
                    self._handlers[fd](events)
            while self._timers and self._timers[0][0] <= now():
                heapq.heappop(self._timers)[2]()


class SqlSession:
    """As the user postgres, who needs no password. on_ready(session) whenever it may ask
    something; on_end(session) once, when the other side has ended it."""

    def __init__(self, loop, port, on_ready, on_end):
        self.loop = loop
        self.began = now()
        self.row = None     # the last one of the newest statement, as texts
        self.error = None   # the newest SQLSTATE
        self.is_over = False
        self._on_ready, self._on_end = on_ready, on_end
        self._input = b""
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect_ex((HOST, port))
        loop.add(self._socket.fileno(), self._on_connected, select.EPOLLOUT)

    def ask(self, statement):
        self.row = self.error = None
        body = statement.encode() + b"\0"
        self._send(b"Q" + struct.pack("!I", len(body) + 4) + body)

    def close(self):
        """Ends it; nobody is told."""
        if not self.is_over:
            self._send(b"X\0\0\0\4")
            self._leave()

    def _leave(self):
        self.is_over = True
        self.loop.remove(self._socket.fileno())
        self._socket.close()

    def _send(self, data):
        try:
            self._socket.send(data)  # so little always has room
        except OSError:
            pass  # its end is about to be read

    def _end(self):
        self._leave()
        self._on_end(self)

    def _on_connected(self, events):
        if events & (select.EPOLLERR | select.EPOLLHUP):
            self._end()
            return
        fd = self._socket.fileno()
        self.loop.remove(fd)
        self.loop.add(fd, self._on_readable)
        self._send(struct.pack("!II", len(_STARTUP) + 8, 196608) + _STARTUP)

    def _on_readable(self, _events):
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._input += data
        while not self.is_over and len(self._input) >= 5:
            size = 1 + struct.unpack_from("!I", self._input, 1)[0]
            if len(self._input) < size:
                return
            kind, body = self._input[:1], self._input[5:size]
            self._input = self._input[size:]
            self._take(kind, body)

    def _take(self, kind, body):
        if kind == b"D":
            self.row = _values(body)
        elif kind == b"E":
            codes = [field[1:] for field in body.split(b"\0") if field[:1] == b"C"]
            self.error = codes[0].decode()
        elif kind == b"Z":
            self._on_ready(self)


def _values(body):
    values, at = [], 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        size = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if size < 0 else body[at:at + size].decode())
        at += max(size, 0)
    return values
