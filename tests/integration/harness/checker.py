"""Who acknowledged which write during a failover, and whether it may have.

Writers run as a program of their own, so that their times do not depend on
what the test does."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import typing

from .wait import wait_until

# The first acknowledgements of a new writer, before anything is judged.
_WARM = 5


class Ack(typing.NamedTuple):
    proxy: int  # port
    writer: int
    row: int
    sent: float
    server_time: float
    received: float
    server: int  # port


class Report(typing.NamedTuple):
    """Times in ms. The blackout, from the last write of the old leader to the
    first one of the new, is the sentinel's (with the keeper's) but for what the
    proxies took: from the withdrawal to the last ProxyInfo, and from when the
    new leader was routed, and promoted, to the first write."""

    late: list  # acknowledged by the old leader although its proxy had answered
    lost: list  # acknowledged, but not on the new leader
    blackout_ms: float
    withdrawn_to_informed_ms: float
    routed_to_served_ms: float
    acks: int

    @property
    def proxy_ms(self):
        return self.withdrawn_to_informed_ms + self.routed_to_served_ms

    @property
    def sentinel_ms(self):
        return self.blackout_ms - self.proxy_ms

    def __str__(self):
        return (f"{self.acks} writes, {len(self.late)} late, {len(self.lost)} lost; blackout "
                f"{self.blackout_ms:.1f} ms = sentinel {self.sentinel_ms:.1f} + proxy "
                f"{self.proxy_ms:.1f} ({self.withdrawn_to_informed_ms:.1f} to inform, "
                f"{self.routed_to_served_ms:.1f} to serve)")


class Checker:
    """Starts writers on proxies (their ports) at once, and one straight on the
    standby (its port; None: there is none), which tells from when on that takes writes.
    Each writer rests for pause_ms between two writes."""

    def __init__(self, ports, standby, writers=3, pause_ms=0):
        self._standby = standby
        self._out = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-u",
             pathlib.Path(__file__).with_name("writers.py"),
             *([f"{standby}:1"] if standby else []),
             *(f"{port}:{writers}:{pause_ms}" for port in ports)],
            stdin=subprocess.PIPE, stdout=self._out)
        self._stopped = False
        self._records = []
        self._read = 0  # bytes

    def records(self):
        # Not the file's own position: the writers append at that one.
        while data := os.pread(self._out.fileno(), 1 << 22, self._read):
            data = data[:data.rfind(b"\n") + 1]
            if not data:
                break
            self._read += len(data)
            self._records += [json.loads(line) for line in data.splitlines()]
        return self._records

    def acks(self):
        """Those of writers on proxies."""
        return [a for a in self._all_acks() if a.proxy != self._standby]

    def _all_acks(self):
        return [Ack(*r[1:]) for r in self.records() if r[0] == "ack"]

    def errors(self):
        return [r[1:] for r in self.records() if r[0] == "error"]

    def wait_for_acks(self, server, count=_WARM, after=0.0, proxies=None, timeout=20.0):
        """Until server (its port) has acknowledged count writes sent later than
        after, through each of proxies (any of them without)."""
        def enough():
            acks = [a for a in self.acks() if a.server == server and a.sent > after]
            if proxies is None:
                return len(acks) >= count
            return all(sum(a.proxy == p for a in acks) >= count for p in proxies)
        wait_until(enough, timeout, lambda: f"errors: {self.errors()[-3:]}", step=0.02)

    def stop(self):
        if self._stopped:
            return
        self._stopped = True
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def close(self):
        self.stop()
        self._out.close()

    def report(self, old, new, elects, routes, informed):
        """After stop(). old, new: Members; elects, routes: the sentinel's writes;
        informed: {proxy port: when the store had its ProxyInfo of elects'
        generation}; a proxy that is missing there was never heard of."""
        acks = self.acks()
        promoted_at = min((a.received for a in self._all_acks() if a.proxy == self._standby),
                          default=float("inf"))
        before = [a for a in acks if a.server == old.port]
        after = [a for a in acks if a.server == new.port and a.received > routes.began]
        late = [a for a in before if a.server_time > informed.get(a.proxy, float("inf"))]
        rows = new.query("select coalesce(json_agg(json_build_array(writer, n)), '[]') "
                         "from writes", 30)[0]
        there = {tuple(r) for r in rows}
        lost = [a for a in acks if (a.writer, a.row) not in there]
        served = min((a.received for a in after), default=float("nan"))
        last_old = max((a.received for a in before), default=float("nan"))
        ready = max(routes.time, promoted_at)
        inform = max(informed.values(), default=elects.time) - elects.time
        return Report(late, lost, (served - last_old) * 1000, max(0, inform) * 1000,
                      max(0, served - ready) * 1000, len(acks))


def acknowledged_around(acks, server, moment, width_s=0.03):
    """Writes that server acknowledged in the width_s around moment."""
    return [a for a in acks if a.server == server and abs(a.received - moment) <= width_s / 2]
