"""The preloaded shim (tests/integration/shim): delays in pgsplice's system
calls, and notes of what it did on its server sockets and when."""

import mmap
import os
import struct
from collections import namedtuple

import pytest

from .process import binary
from .wait import wait_until

OPERATIONS = ("send", "close", "shutdown", "rename", "open", "read", "log", "epoll", "connect",
              "write")
_RULE = struct.Struct("IIIIII16s")
_NOTE = struct.Struct("QQIiqqII")

# before, after: ns of CLOCK_MONOTONIC around the call itself, delays not counted.
Note = namedtuple("Note", "before after operation fd result number port spliced")


def _library():
    path = os.environ.get("PGSPLICE_SHIM") or os.path.join(
        os.path.dirname(binary()), "../tests/integration/shim/libshim.so")
    if not os.path.exists(path):
        pytest.skip("no shim beside PGSPLICE_BIN (sanitizer builds have none)")
    return os.path.abspath(path)


class Shim:
    """Pass launcher=shim.launcher to Pgsplice or Stage.start_proxy()."""

    def __init__(self, folder):
        rules, self._notes = os.path.join(folder, "rules"), os.path.join(folder, "notes")
        size = _RULE.size * len(OPERATIONS)
        with open(rules, "wb") as f:
            f.write(bytes(size))
        with open(self._notes, "wb"):
            pass
        with open(rules, "r+b") as f:
            self._map = mmap.mmap(f.fileno(), size)
        self.launcher = ["env", f"LD_PRELOAD={_library()}", f"SHIM_RULES={rules}",
                         f"SHIM_NOTES={self._notes}"]

    def _set(self, operation, permille, least_us, most_us, blocked, thread=""):
        at = OPERATIONS.index(operation) * _RULE.size
        struct.pack_into("16s", self._map, at + 24, thread.encode())
        struct.pack_into("IIII", self._map, at, permille, least_us, most_us, blocked)

    def delay(self, operation, permille, most_ms, least_ms=0, thread=""):
        """Delays that share of the calls, for a random time, in threads whose
        names begin with thread."""
        self._set(operation, permille, int(least_ms * 1000), int(most_ms * 1000), 0,
                  thread=thread)

    def block(self, operation, thread=""):
        """Calls do not return before clear()."""
        self._set(operation, 0, 0, 0, 1, thread=thread)

    def clear(self, *operations):
        for operation in operations or OPERATIONS:
            self._set(operation, 0, 0, 0, 0)

    def held(self, operation):
        """How many calls are blocked now."""
        return struct.unpack_from("I", self._map, OPERATIONS.index(operation) * _RULE.size + 16)[0]

    def wait_until_held(self, operation, timeout=10.0):
        wait_until(lambda: self.held(operation) > 0, timeout, f"a blocked {operation}")

    def notes(self, operation=None):
        """All so far, in the order in which they were written."""
        with open(self._notes, "rb") as f:
            data = f.read()
        whole = len(data) - len(data) % _NOTE.size
        notes = (Note(n[0], n[1], OPERATIONS[n[2]], *n[3:8])
                 for n in _NOTE.iter_unpack(data[:whole]))
        return [n for n in notes if operation in (None, n.operation)]
