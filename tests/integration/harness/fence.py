"""What the fencing tests look at: streams of clients, deaf servers, and whether
the shim's notes keep the promise of each published generation."""

import array
import fcntl
import os
import random
import select
import socket
import termios
import threading
import time

from .client import connect, echoes, wait_for_probe
from .wait import wait_until


_CHUNK = bytes(512 * 1024)


def unread(sock):
    """Bytes that the kernel holds for the reader of sock."""
    count = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.FIONREAD, count)
    return count[0]


def ready(sock, events, seconds):
    """Which of events (poll's) sock has within seconds; unlike select(), for any
    descriptor."""
    poll = select.poll()
    poll.register(sock, events)
    return sum(found for _, found in poll.poll(seconds * 1000))


class Streamers:
    """Clients that connect, stream and read at all times, until stop()."""

    def __init__(self, port, count):
        self.port = port
        self.sent = 0
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for t in self._threads:
            t.start()

    def _run(self):
        while not self._stopping:
            try:
                with connect(self.port) as sock:
                    sock.setblocking(False)
                    self._stream(sock)
            except OSError:
                time.sleep(0.002)  # refused or closed: nobody is routed

    def _stream(self, sock):
        while not self._stopping:
            events = ready(sock, select.POLLIN | select.POLLOUT, 0.01)
            readable, writable = events & ~select.POLLOUT, events & select.POLLOUT
            if readable and not sock.recv(65536):
                return
            if writable:
                self.sent += sock.send(bytes(random.randrange(1, 2000)))
            time.sleep(random.random() * 0.003)

    def stop(self):
        self._stopping = True
        for t in self._threads:
            t.join(10)


class DeafConnection:
    """A session whose server has stopped reading, filled until nothing moves:
    the kernel of the proxy's host holds bytes for the server, and so does the
    proxy. bulk: so many bytes go there and back before, enough for splicing. client:
    one that has a session on server; without it one of the leader's port."""

    def __init__(self, stage, server, bulk=0, client=None):
        text = b"deaf-" + os.urandom(8).hex().encode()
        if client is None:
            wait_for_probe(stage.proxy.port, "forwards", 30)  # a moment after its generation
            client = connect(stage.proxy.port)
        self.client = client
        assert echoes(self.client, text)
        for _ in range(bulk // len(_CHUNK)):
            assert echoes(self.client, _CHUNK)
        self.server = server
        self.connection = wait_until(
            lambda: next((c for c in server.connections if text in c.received), None))
        server.call(lambda: self.set_reading(False))
        self.client.setblocking(False)
        wait_until(self._is_full, 20, "a full connection")

    def set_reading(self, reading):
        self.connection.reading = reading
        self.server._update(self.connection)

    def _is_full(self):
        before = unread(self.connection.sock)
        try:
            while True:
                self.client.send(bytes(65536))
        except BlockingIOError:
            pass
        writable = ready(self.client, select.POLLOUT, 0.03)
        return not writable and before > 0 and unread(self.connection.sock) == before

    def check_after_acknowledgement(self):
        """To be called when the generation that cuts it is in the store."""
        held = unread(self.connection.sock)
        before = self.connection.size
        self.server.call(lambda: self.set_reading(True))
        end = self.connection.wait_for_end()
        got = self.connection.size - before
        assert got == held, f"{got - held} bytes came after the acknowledgement"
        assert end == "rst"
        self.client.close()


def check_promises(notes, permitted, at_once=None):
    """permitted: {generation: set of server ports that it allows}.

    A generation is in the store from some moment of its rename() on. At the
    start of that call no socket to a forbidden server may be open; after its
    end none may be connected or written to. at_once: {generation: (ns, ports)}, those
    that it allows without an acknowledgement, from that time on."""
    renames = [n for n in notes if n.operation == "rename" and n.result == 0]
    closed = {n.number: n.after for n in notes if n.operation == "close"}
    never = float("inf")
    assert renames

    def needs_no_acknowledgement(note, generation):
        return any(g > generation and note.port in ports and note.before >= since
                   for g, (since, ports) in (at_once or {}).items())

    for n in (n for n in notes if n.operation == "connect"):
        for r in renames:
            if n.before < r.before and n.port not in permitted[r.number] and \
                    not needs_no_acknowledgement(n, r.number):
                assert closed.get(n.number, never) <= r.before, \
                    f"{n} is open when generation {r.number} is written"
    for n in (n for n in notes if n.operation in ("connect", "send")):
        if n.operation == "send" and n.result <= 0:
            continue
        done = [r for r in renames if r.after <= n.before]
        generation = done[-1].number if done else 0
        ports = set(permitted[generation]) if done else set()
        for r in renames:
            if r.before <= n.before < r.after:
                ports |= permitted[r.number]
        assert n.port in ports or needs_no_acknowledgement(n, generation), \
            f"{n} after generation {generation}"
