"""What a proxy has open, told apart: its pools keep pipes, everything else is to
be as it was once the sessions are gone."""

import array
import fcntl
import os
import termios

from .wait import wait_until

PIPES_A_WORKER = 32  # PIPE_POOL_MOST


def _bytes_in_pipe(path):
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        count = array.array("i", [0])
        fcntl.ioctl(fd, termios.FIONREAD, count)
        return count[0]
    finally:
        os.close(fd)


class Descriptors:
    """before = Descriptors(proxy); sessions; before.check_same_but_pools(workers=2)"""

    def __init__(self, proxy):
        self._proxy = proxy
        self.others, self._pipes = self._look()

    def _look(self):
        """(how many are no pipes, {each pipe: the path of one of its ends})"""
        others, pipes = 0, {}
        folder = f"/proc/{self._proxy.pid}/fd"
        for name in os.listdir(folder):
            try:
                link = os.readlink(f"{folder}/{name}")
            except FileNotFoundError:
                continue  # closed meanwhile
            if link.startswith("pipe:"):
                pipes[link] = f"{folder}/{name}"
            else:
                others += 1
        return others, pipes

    def pool(self):
        """Pipes that were not there before: the paths."""
        return [path for link, path in self._look()[1].items() if link not in self._pipes]

    def bytes_in_pool(self):
        return sum(_bytes_in_pipe(path) for path in self.pool())

    def check_same_but_pools(self, workers):
        """Once the sessions are gone. Returns how many pipes wait in the pools:
        a bounded number, all empty."""
        wait_until(lambda: self._look()[0] <= self.others, 10,
                   lambda: f"{self._look()[0]} descriptors that are no pipes, at most {self.others}")
        pool = len(self.pool())
        assert pool <= PIPES_A_WORKER * workers
        assert self.bytes_in_pool() == 0
        return pool
