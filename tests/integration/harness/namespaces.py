"""Network namespaces for the members of a cluster, each with two links: one to its
peers, over a bridge, and one to us. Either may be cut. Needs root."""

import contextlib
import ctypes
import os
import subprocess

import pytest


def _ip(*args):
    subprocess.run(["ip", *args], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def _setns(fd):
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Namespaces:
    """with Namespaces(3) as places: EtcdCluster(folder, 3, places.place)"""

    def __init__(self, count):
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        self._tag = f"p{os.getpid() % 100000}"
        self._net = os.getpid() % 250 + 1
        self.names = [f"{self._tag}n{i}" for i in range(count)]
        self._hub = f"{self._tag}hub"

    def __enter__(self):
        try:
            self._build()
        except subprocess.CalledProcessError as error:
            self.__exit__()
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        return self

    def _build(self):
        _ip("netns", "add", self._hub)
        _ip("-n", self._hub, "link", "add", "name", "bridge0", "type", "bridge")
        _ip("-n", self._hub, "link", "set", "bridge0", "up")
        for i, name in enumerate(self.names):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
            # To the peers
            _ip("-n", name, "link", "add", "name", "pp", "type", "veth", "peer", "name", f"b{i}",
                "netns", self._hub)
            _ip("-n", self._hub, "link", "set", f"b{i}", "master", "bridge0", "up")
            _ip("-n", name, "addr", "add", f"10.251.{self._net}.{i + 10}/24", "dev", "pp")
            _ip("-n", name, "link", "set", "pp", "up")
            # To us
            _ip("link", "add", f"{self._tag}v{i}", "type", "veth", "peer", "name", "us", "netns",
                name)
            _ip("addr", "add", f"10.252.{self._net}.{4 * i + 1}/30", "dev", f"{self._tag}v{i}")
            _ip("link", "set", f"{self._tag}v{i}", "up")
            _ip("-n", name, "addr", "add", f"10.252.{self._net}.{4 * i + 2}/30", "dev", "us")
            _ip("-n", name, "link", "set", "us", "up")

    def place(self, index):
        return (f"10.252.{self._net}.{4 * index + 2}", f"10.251.{self._net}.{index + 10}",
                ("ip", "netns", "exec", self.names[index]))

    def our_address(self, index):
        """Where those inside reach us."""
        return f"10.252.{self._net}.{4 * index + 1}"

    @contextlib.contextmanager
    def inside(self, index):
        """Sockets that this thread makes meanwhile are of that namespace."""
        with open("/proc/thread-self/ns/net", "rb") as ours, \
                open(f"/run/netns/{self.names[index]}", "rb") as theirs:
            _setns(theirs.fileno())
            try:
                yield
            finally:
                _setns(ours.fileno())

    def cut_from_peers(self, index):
        _ip("-n", self._hub, "link", "set", f"b{index}", "down")

    def cut_from_us(self, index):
        """Silently: the other end goes down, ours stays up."""
        _ip("-n", self.names[index], "addr", "flush", "dev", "us")

    def heal(self, index):
        _ip("-n", self._hub, "link", "set", f"b{index}", "up")
        _ip("-n", self.names[index], "addr", "replace", f"10.252.{self._net}.{4 * index + 2}/30",
            "dev", "us")

    def __exit__(self, *_):
        for i in range(len(self.names)):
            subprocess.run(["ip", "link", "del", f"{self._tag}v{i}"], check=False,
                           capture_output=True)
        for name in [*self.names, self._hub]:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
