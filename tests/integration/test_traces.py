"""What real sentinels wrote during real failovers, replayed to pgsplice.

The rule: at no time does it forward to a member other than the masterDbUid of
the last generation it published, and it publishes one only after the
connections that it forbids are closed. Times are divided by SPEED; the timings
in the data stay, so that no deadline passes."""

import json
import time
from pathlib import Path

import pytest

from harness import (FileStore, Observer, Pgsplice, RecordingServer, Traffic, sent_times,
                     wait_until)

DATA = Path(__file__).parent.parent / "data" / "stolon"
SPEED = 20.0
CLIENTS = 4
# A document that holds for less (here) is not expected to be forwarded.
LONG_ENOUGH = 0.1


class Trace:
    def __init__(self, name):
        path = DATA / (name + ".jsonl")
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [r for r in rows if r["src"] == "store"]
        self.documents = [(r["t"], r["value"]) for r in rows
                          if r["key"].endswith("/clusterdata") and r["type"] != "delete"]
        infos = [json.loads(r["value"]) for r in rows
                 if "/proxies/info/" in r["key"] and r["type"] != "delete"]
        self.recorded_uid = infos[0]["UID"]
        self.recorded = [i for i in infos if i["UID"] == self.recorded_uid]


def routing_of(document):
    """(generation, master, enabled proxies), None without a proxy object."""
    proxy = document.get("proxy")
    if not proxy:
        return None
    spec = proxy.get("spec", {})
    return (proxy.get("generation", 0), spec.get("masterDbUid"),
            tuple(spec.get("enabledProxies", ())))


class Replay:
    """The whole of a trace, run at construction."""

    def __init__(self, name, folder):
        self.trace = Trace(name)
        self.store = FileStore(folder)
        self.servers = {}
        self.masters = {}
        self.put = []  # (time, routing) of each document with other routing
        self.proxy = Pgsplice(self.store)
        try:
            self._run()
        finally:
            self.proxy.close()
            for server in self.servers.values():
                server.close()

    def _rewrite(self, text):
        document = json.loads(text.replace(self.trace.recorded_uid, self.proxy.uid))
        for uid, db in (document.get("dbs") or {}).items():
            if db["status"].get("listenAddress"):
                if uid not in self.servers:
                    self.servers[uid] = RecordingServer("silent")
                db["status"]["port"] = str(self.servers[uid].port)
        return document

    def _run(self):
        self.observer = Observer(self.store, self.proxy.uid, self.servers, self.masters)
        traffic = Traffic(self.proxy.port, CLIENTS)
        last = self.trace.documents[0][0]
        at = time.monotonic()
        for t, text in self.trace.documents:
            document = self._rewrite(text)
            # From the last one, not from the start: a machine that stalls makes
            # no burst of them.
            at = max(at, time.monotonic() - 0.01) + (t - last) / SPEED
            last = t
            wait_until(lambda: time.monotonic() >= at, 60)
            routing = routing_of(document)
            if routing is not None:
                self.masters[routing[0]] = routing[1]
            self.store.put(document)
            if not self.put or self.put[-1][1] != routing:
                self.put.append((time.monotonic(), routing))
        generation = self.put[-1][1][0]
        self.store.wait_for_generation(self.proxy.uid, generation)
        self.observer.wait_for_window()
        until = time.monotonic() + 2 * LONG_ENOUGH
        wait_until(lambda: time.monotonic() > until)
        self.ended = time.monotonic()
        traffic.stop()
        self.observer.stop()
        self.sent = {uid: sent_times(s) for uid, s in self.servers.items()}

    def long_documents(self):
        """(from, to, generation, master, enabled) of those that held for a while,
        in which this machine was not too busy to look."""
        ends = [t for t, _ in self.put[1:]] + [self.ended]
        for (begin, routing), end in zip(self.put, ends):
            looks = [w for w in self.observer.windows
                     if w[0] > begin + LONG_ENOUGH / 2 and w[1] < end]
            if routing is not None and end - begin >= LONG_ENOUGH and len(looks) >= 5:
                yield (begin, end, *routing)


NAMES = ["a-init-first-leader", "b-failkeeper-planned", "c-kill9-master",
         "d-proxy-frozen-failover", "d2-two-proxies-one-frozen", "e-update-proxy-timings",
         "e2-standby-cluster-promote"]
_replays = {}


@pytest.fixture(params=NAMES)
def replay(request, tmp_path_factory):
    """Each trace is run once, for all tests."""
    name = request.param
    if name not in _replays:
        _replays[name] = Replay(name, tmp_path_factory.mktemp("trace"))
    return _replays[name]


def test_forwards_to_nobody_but_the_master_of_the_generation_published(replay):
    assert len(replay.observer.windows) > 20
    assert not replay.observer.violations
    assert not replay.observer.lines_sent_to_the_wrong_server()


def test_publishes_the_generations_that_stolon_proxy_published(replay):
    """In order; pgsplice is quicker, so it may publish others between them."""
    ours = replay.observer.generations()
    assert ours == sorted(ours)
    recorded = {i["Generation"] for i in replay.trace.recorded} & \
        {generation for _, _, generation, _, _ in replay.long_documents()}
    assert len(recorded) > 0
    assert recorded <= set(ours), (recorded, ours)


def test_forwards_while_enabled_and_only_then(replay):
    for begin, end, generation, master, enabled in replay.long_documents():
        lines = [t for uid in replay.sent for t in replay.sent[uid]
                 if begin + LONG_ENOUGH / 2 < t < end]
        if master and replay.proxy.uid in enabled:
            assert lines, f"generation {generation} was not served"
            assert all(t in replay.sent[master] for t in lines[:50])
        else:
            assert not lines, f"generation {generation} served"


def test_sessions_outlive_changes_that_do_not_concern_them(tmp_path_factory):
    """Other timings, a promoted standby cluster: each client connects once."""
    for name in ("e-update-proxy-timings", "e2-standby-cluster-promote"):
        if name not in _replays:
            _replays[name] = Replay(name, tmp_path_factory.mktemp("trace"))
        r = _replays[name]
        served = [c for s in r.servers.values() for c in s.connections]
        assert len(served) == CLIENTS
        assert all(c.end in (None, "fin") for c in served)


def test_timeouts_published_follow_the_spec(tmp_path_factory):
    name = "e-update-proxy-timings"
    if name not in _replays:
        _replays[name] = Replay(name, tmp_path_factory.mktemp("trace"))
    timeouts = []
    for info in _replays[name].observer.published:
        if not timeouts or timeouts[-1] != info["ProxyTimeout"]:
            timeouts.append(info["ProxyTimeout"])
    assert [t / 1e9 for t in timeouts] == [15, 3, 30, 15]
