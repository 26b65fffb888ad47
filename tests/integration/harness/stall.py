"""Stops one thread of a process, as a debugger does; the others run on."""

import ctypes
import os
import threading
import time

from .wait import wait_until

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, tid):
    if _libc.ptrace(request, tid, None, None) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace {request:#x}: {os.strerror(error)}")


class Stall:
    """with Stall(proxy, "store"): the thread of that name stands still.

    Also ends when the process dies. All of ptrace is tied to the thread that
    attached, hence one of its own."""

    def __init__(self, proxy, name):
        self._tid = next(tid for tid, n in proxy.threads().items() if n == name)
        self._proxy = proxy
        self._standing = False
        self._failure = None
        self._release = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self._standing or self._failure, what="the thread to stand still")
        if self._failure:
            raise self._failure
        return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        self._release.set()
        self._thread.join(10)

    def _run(self):
        try:
            _ptrace(_SEIZE, self._tid)
            _ptrace(_INTERRUPT, self._tid)
            _, status = os.waitpid(self._tid, _WALL)
            if not os.WIFSTOPPED(status):
                return
            self._standing = True
            while not self._release.is_set():
                tid, _ = os.waitpid(self._tid, _WALL | os.WNOHANG)
                if tid != 0:
                    return  # it died
                time.sleep(0.001)
            _ptrace(_DETACH, self._tid)
        except OSError as e:
            self._failure = e
