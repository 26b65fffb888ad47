"""Plain TCP clients of the proxy."""

import os
import socket

from .wait import wait_until


def connect(port, host="127.0.0.1", timeout=10.0):
    return socket.create_connection((host, port), timeout=timeout)


def connect_unix(path, timeout=10.0):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(timeout)
    s.connect(path)
    return s


def receive(sock, size):
    """Exactly size bytes, fewer only at the end of the stream."""
    data = bytearray()
    while len(data) < size:
        more = sock.recv(min(size - len(data), 1 << 20))
        if not more:
            break
        data += more
    return bytes(data)


def echoes(sock, text=None):
    """Whether what is sent comes back; False when the connection ends instead."""
    text = text or b"echo-" + os.urandom(6).hex().encode()
    try:
        sock.sendall(text)
        return receive(sock, len(text)) == text
    except ConnectionError:
        return False


def end_of(sock, timeout=10.0):
    """Waits for the peer's end: "fin" or "rst". What comes before is dropped."""
    sock.settimeout(timeout)
    try:
        while sock.recv(1 << 16):
            pass
        return "fin"
    except ConnectionError:
        return "rst"


def probe(port, host="127.0.0.1", timeout=3.0):
    """What a fresh client meets: "forwards" (an echo server answers),
    "closed", "refused" or "timeout"."""
    try:
        sock = connect(port, host, timeout)
    except ConnectionRefusedError:
        return "refused"
    except ConnectionError:
        return "closed"
    with sock:
        try:
            return "forwards" if echoes(sock) else "closed"
        except TimeoutError:
            return "timeout"


def is_listening(port, host="127.0.0.1"):
    return probe(port, host) != "refused"


def wait_for_probe(port, outcome, timeout=10.0, host="127.0.0.1"):
    seen = []

    def met():
        seen[:] = [probe(port, host)]
        return seen[0] == outcome

    wait_until(met, timeout, lambda: f"a client meets {seen}, not {outcome}")
