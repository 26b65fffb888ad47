"""Clients that write all the time, and an observer of what a proxy forwards
meanwhile, measured so that no delay of the observer itself can be mistaken for
one of the proxy."""

import bisect
import threading
import time

from .client import connect
from .sockdiag import open_connections
from .wait import wait_until


def peers_of(ports):
    """Ports among these to which somebody on this machine has a connection."""
    return {remote for _, remote in open_connections()} & ports


class Traffic:
    """Each client writes lines with the time at which they are sent, and
    reconnects when it was cut."""

    def __init__(self, port, clients=4):
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(port,), daemon=True)
                         for _ in range(clients)]
        for t in self._threads:
            t.start()

    def _run(self, port):
        while not self._stop.wait(0.005):
            try:
                with connect(port) as sock:
                    while not self._stop.wait(0.003):
                        sock.sendall(b"%.6f\n" % time.monotonic())
            except OSError:
                pass

    def stop(self):
        self._stop.set()
        for t in self._threads:
            t.join(20)


def sent_times(server):
    """When the lines that reached this server were sent; cut ones left out."""
    times = []
    for c in list(server.connections):
        times += [float(text) for text in c.received.split(b"\n")[:-1]]
    return sorted(times)


class Observer:
    """Looks, all the time, at our ProxyInfo, then at the connections to the
    servers, then at the ProxyInfo again. If its generation was the same, the
    connections seen belong to that generation, however slow the looking was."""

    def __init__(self, store, uid, servers, masters):
        """servers: {member: RecordingServer}; masters: {generation: member}.
        Both may grow meanwhile."""
        self.windows = []  # (from, to, generation): the last published one then
        self.violations = []
        self.published = []  # ProxyInfos, in order
        self._store, self._uid = store, uid
        self._servers, self._masters = servers, masters
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _generation(self):
        info = self._store.info(self._uid)
        if info is None:
            return None
        if not self.published or self.published[-1]["infoUID"] != info["infoUID"]:
            self.published.append(info)
        return info["Generation"]

    def _run(self):
        while not self._stop.is_set():
            before = self._generation()
            begin = time.monotonic()
            ports = {s.port: member for member, s in list(self._servers.items())}
            reached = {ports[p] for p in peers_of(set(ports))}
            end = time.monotonic()
            if self._generation() != before:
                continue
            self.windows.append((begin, end, before))
            wrong = reached - {self._masters.get(before)}
            if wrong:
                self.violations.append((begin, before, wrong))

    def wait_for_window(self, timeout=10):
        """One that begins after this call."""
        now = time.monotonic()
        wait_until(lambda: self.windows and self.windows[-1][0] > now, timeout)

    def stop(self):
        self._stop.set()
        self._thread.join(20)

    def lines_sent_to_the_wrong_server(self):
        """Sent while the last published generation named another master."""
        begins = [w[0] for w in self.windows]
        wrong = []
        for member, server in self._servers.items():
            for sent in sent_times(server):
                i = bisect.bisect_right(begins, sent) - 1
                if i < 0 or sent > self.windows[i][1]:
                    continue  # between two windows: nothing is certain
                if self._masters.get(self.windows[i][2]) != member:
                    wrong.append((sent, member, self.windows[i]))
        return wrong

    def generations(self):
        """As published, without repeats."""
        found = []
        for info in self.published:
            if not found or found[-1] != info["Generation"]:
                found.append(info["Generation"])
        return found
