"""Ports that no other test run on this machine takes at the same time.

Each is held by a lock on a file until it is released, or this process ends. They lie
below the range from which the kernel picks ports for outgoing connections."""

import fcntl
import os
import random
import socket
import tempfile

_FIRST, _LAST = 20000, 32000
_locks = []


def _is_free(port):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family, socket.SOCK_STREAM) as s:
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((address, port))
            except OSError:
                return False
    return True


def free_port():
    folder = os.path.join(tempfile.gettempdir(), "pgsplice-test-ports")
    os.makedirs(folder, mode=0o777, exist_ok=True)
    while True:
        port = random.randrange(_FIRST, _LAST)
        fd = os.open(os.path.join(folder, str(port)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            continue
        if not _is_free(port):
            os.close(fd)
            continue
        _locks.append(fd)
        return port


def taken_ports():
    """A mark for release_ports()."""
    return len(_locks)


def release_ports(mark):
    """Those that were taken since: a run has more tests than descriptors."""
    for fd in _locks[mark:]:
        os.close(fd)
    del _locks[mark:]
