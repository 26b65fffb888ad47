"""A way to a server that may be cut: what connects to it stands still then, as when
the network between two machines is gone."""

import selectors
import socket
import threading

from .ports import free_port
from .selecting import select_for

_MOST = 65536


class _End:
    """One socket of a pair: what is to be sent to it waits in `out`."""

    def __init__(self, sock):
        self.sock = sock
        self.other = None
        self.out = bytearray()
        self.is_over = False  # it sends nothing more


class Relay:
    """Listens on 127.0.0.1 and passes on to that port there."""

    def __init__(self, to_port):
        self.port = free_port()
        self._to_port = to_port
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_out.setblocking(False)
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=200)
        self._listener.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ, None)
        self._selector.register(self._listener, selectors.EVENT_READ, self._listener)
        self._pairs = []
        self._is_cut = False
        self._is_closed = False
        self._stands = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self):
        """Not a byte passes from when this returns, and no connection is made."""
        self._stands.clear()
        self._is_cut = True
        self._wake_in.send(b"x")
        self._stands.wait(5)

    def mend(self):
        """What had been sent meanwhile arrives late."""
        self._is_cut = False
        self._wake_in.send(b"x")

    def close(self):
        self._is_closed = True
        self._wake_in.send(b"x")
        self._thread.join(5)

    def _run(self):
        while not self._is_closed:
            if self._is_cut:
                self._stands.set()
                self._wake_out.setblocking(True)
                self._wake_out.recv(4096)
                self._wake_out.setblocking(False)
                continue
            for key, events in self._selector.select():
                if key.data is None:
                    self._wake_out.recv(4096)
                elif key.data is self._listener:
                    self._accept()
                else:
                    self._serve(key.data, events)
        for end in [e for pair in self._pairs for e in pair]:
            end.sock.close()
        self._listener.close()
        self._wake_in.close()
        self._wake_out.close()
        self._selector.close()

    def _accept(self):
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port), 5)
        except OSError:
            near.close()
            return
        pair = _End(near), _End(far)
        pair[0].other, pair[1].other = pair[1], pair[0]
        self._pairs.append(pair)
        for end in pair:
            end.sock.setblocking(False)
            self._selector.register(end.sock, selectors.EVENT_READ, end)

    def _serve(self, end, events):
        if end.sock.fileno() < 0:
            return  # closed by an event of its other end
        try:
            if events & selectors.EVENT_WRITE and end.out:
                del end.out[:end.sock.send(end.out)]
            if events & selectors.EVENT_READ:
                data = end.sock.recv(_MOST)
                end.is_over = not data
                end.other.out += data
        except BlockingIOError:
            pass
        except OSError:
            self._close(end)
            return
        for e in (end, end.other):
            if e.other.is_over and not e.out:
                self._close(end)  # neither program closes one direction only
                return
            self._follow(e)

    def _follow(self, end):
        events = selectors.EVENT_WRITE if end.out else 0
        if not end.is_over and len(end.other.out) < _MOST:
            events |= selectors.EVENT_READ
        select_for(self._selector, end.sock, events, end)

    def _close(self, end):
        self._pairs = [pair for pair in self._pairs if end not in pair]
        for e in (end, end.other):
            if e.sock.fileno() in self._selector.get_map():
                self._selector.unregister(e.sock)
            e.sock.close()
