"""Scripted servers that know no PostgreSQL and record what reaches them.

Each runs a thread with one selector; everything that touches its sockets runs
there, other threads hand work over with call()."""

import queue
import selectors
import socket
import struct
import threading
import time

from .ports import free_port
from .selecting import select_for
from .wait import wait_until

_MOST_PENDING = 1 << 20


class Connection:
    """One accepted connection. Times are time.monotonic()."""

    def __init__(self, server, sock, number):
        self.server = server
        self.sock = sock
        self.number = number
        self.peer_port = sock.getpeername()[1]
        self.local_address = sock.getsockname()[0]
        self.accepted_at = time.monotonic()
        self.chunks = []  # (time, bytes) as they arrived
        self.size = 0
        self.end = None  # "fin" or "rst": how the other side ended, once seen
        self.ended_at = None
        self.closed = False  # our side
        self.reading = True
        self.out = bytearray()

    @property
    def received(self):
        return b"".join(data for _, data in self.chunks)

    @property
    def last_byte_at(self):
        return self.chunks[-1][0] if self.chunks else None

    def is_live(self):
        return self.end is None and not self.closed

    def send(self, data):
        def work():
            self.out += data
            self.server._update(self)
        self.server.call(work)

    def shutdown_write(self):
        self.server.call(lambda: self.sock.shutdown(socket.SHUT_WR))

    def close(self):
        self.server.call(lambda: self.server._close(self))

    def abort(self):
        def work():
            if not self.closed:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.server._close(self)
        self.server.call(work)

    def wait_for_bytes(self, data, timeout=10.0):
        wait_until(lambda: data in self.received, timeout, lambda: f"received {self.received!r}")

    def wait_for_size(self, size, timeout=10.0):
        wait_until(lambda: self.size >= size, timeout, lambda: f"received {self.size} bytes")

    def wait_for_end(self, timeout=10.0):
        return wait_until(lambda: self.end, timeout, "the end of the server's connection")


class RecordingServer:
    """mode: "echo" sends back what comes; "silent" only reads.

    greeting is sent to each new connection. After an end of stream the server
    closes its side (close_on_fin). keep_data=False counts bytes only."""

    def __init__(self, mode="echo", greeting=b"", host="127.0.0.1", port=None, close_on_fin=True,
                 rcvbuf=None, reading=True, keep_data=True, backlog=4096):
        self.mode = mode
        self.greeting = greeting
        self.host = host
        self.port = port or free_port()
        self.close_on_fin = close_on_fin
        self.keep_data = keep_data
        self.connections = []
        self._read_new = reading
        self._commands = queue.SimpleQueue()
        self._stopping = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rcvbuf is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self._listener.bind((host, self.port))
        self._listener.listen(backlog)
        self._listener.setblocking(False)
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._run_commands)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # For tests

    @property
    def received(self):
        return b"".join(c.received for c in list(self.connections))

    def live(self):
        return [c for c in list(self.connections) if c.is_live()]

    def wait_for_connections(self, count, timeout=10.0):
        wait_until(lambda: len(self.connections) >= count, timeout,
                   lambda: f"{len(self.connections)} connections")
        return self.connections[:count]

    def wait_for_peer(self, port, timeout=10.0):
        """The connection that comes from this port."""
        return wait_until(lambda: next((c for c in list(self.connections)
                                        if c.peer_port == port), None), timeout)

    def stop_reading(self):
        """Old and new connections are left unread until resume_reading()."""
        self.call(lambda: self._set_reading(False))

    def resume_reading(self):
        self.call(lambda: self._set_reading(True))

    def stop_accepting(self):
        """New connections are left in the kernel's queue, of backlog + 1 places."""
        self.call(lambda: self._selector.unregister(self._listener))

    def fill_backlog(self):
        """After stop_accepting(): connections that take all of those places. What comes
        next gets no answer."""
        taken = []
        while True:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(0.2)
            taken.append(sock)
            try:
                sock.connect((self.host, self.port))
            except TimeoutError:
                return taken

    def call(self, work):
        """Runs work() on the server's thread and returns after it."""
        if threading.current_thread() is self._thread:
            work()
            return
        done = threading.Event()
        failure = []

        def guarded():
            try:
                work()
            except OSError as e:
                failure.append(e)
            done.set()

        self._commands.put(guarded)
        self._wake_in.send(b"x")
        assert done.wait(10), "the scripted server hangs"
        if failure:
            raise failure[0]

    def close(self):
        """Stops listening, aborts nothing: closes what is open."""
        if self._stopping:
            return
        self._stopping = True
        try:
            self._wake_in.send(b"x")
        except BrokenPipeError:
            pass  # it has just looked, and ended
        self._thread.join(10)
        self._wake_in.close()

    # The server's thread

    def _run(self):
        while not self._stopping:
            for key, events in self._selector.select():
                if key.data == self._accept or key.data == self._run_commands:
                    key.data()
                else:
                    self._serve(key.data, events)
        for c in self.connections:
            self._close(c)
        self._listener.close()
        self._wake_out.close()
        self._selector.close()

    def _run_commands(self):
        try:
            self._wake_out.recv(4096)
        except BlockingIOError:
            return
        while not self._commands.empty():
            self._commands.get()()

    def _accept(self):
        try:
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            c = Connection(self, sock, len(self.connections))
        except OSError:
            return  # it is gone already
        c.reading = self._read_new
        c.out += self.greeting
        self.connections.append(c)
        self._update(c)

    def _set_reading(self, reading):
        self._read_new = reading
        for c in self.connections:
            c.reading = reading
            self._update(c)

    def _update(self, c):
        if c.closed:
            return
        events = 0
        if c.end is None and c.reading and len(c.out) < _MOST_PENDING:
            events |= selectors.EVENT_READ
        if c.out:
            events |= selectors.EVENT_WRITE
        select_for(self._selector, c.sock, events, c)

    def _close(self, c):
        if c.closed:
            return
        if c.sock.fileno() in self._selector.get_map():
            self._selector.unregister(c.sock)
        c.closed = True
        c.sock.close()

    def _ended(self, c, how):
        c.ended_at = time.monotonic()
        c.end = how

    def _serve(self, c, events):
        try:
            if events & selectors.EVENT_READ:
                self._read(c)
            if not c.closed and events & selectors.EVENT_WRITE:
                del c.out[:c.sock.send(c.out[:262144])]
        except BlockingIOError:
            pass
        except OSError:
            self._ended(c, "rst")
            self._close(c)
            return
        if c.end == "fin" and self.close_on_fin and not c.out:
            self._close(c)
        self._update(c)

    def _read(self, c):
        data = c.sock.recv(262144)
        if not data:
            self._ended(c, "fin")
            return
        c.chunks.append((time.monotonic(), data if self.keep_data else b""))
        c.size += len(data)
        self._received(c, data)

    def _received(self, c, data):
        if self.mode == "echo":
            c.out += data
