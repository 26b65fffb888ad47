"""A sentinel that treats proxies as stolon's does (reference section 8).

decide() is one cycle on documents, without store or clock, and is held against
recorded clusters; ProxyHistory tells which proxies count; Sentinel runs both in
a thread on a store. Keepers report to it in memory, see keeper.py."""

import copy
import json
import os
import threading
import time
import typing

from .wait import wait_until

# A proxy that shows the same infoUID for longer than this many of its own
# ProxyTimeouts is dead, whatever the store's expiry says.
DEAD_AFTER_TIMEOUTS = 2


class Cycle(typing.NamedTuple):
    document: dict
    waiting: list  # proxies that have not yet answered the current generation


def leader_of(document):
    return document["cluster"]["status"].get("master")


def decide(document, active, failed, choose):
    """The next document. active: {uid: ProxyInfo}; failed: db uids; choose(document)
    names the standby to promote, None if there is none fit."""
    new = copy.deepcopy(document)
    if new["cluster"]["status"].get("phase") != "normal":
        return Cycle(new, [])
    proxy, spec = new["proxy"], new["proxy"]["spec"]
    leader = leader_of(new)
    elected = choose(new) if leader in failed else None
    if elected is not None:
        new["cluster"]["status"]["master"] = elected
        if elected in new["dbs"]:
            new["dbs"][elected]["spec"]["role"] = "master"
            new["dbs"][elected]["spec"].pop("followConfig", None)
        spec.pop("masterDbUid", None)
        _next_generation(proxy)
        return Cycle(new, [])
    if not spec.get("masterDbUid"):
        waiting = sorted(uid for uid, info in active.items()
                         if info["Generation"] != proxy.get("generation", 0))
        if not waiting:
            spec["masterDbUid"] = leader
            _next_generation(proxy)
        return Cycle(new, waiting)
    # An empty list is stored as none at all, and differs from it: without a
    # proxy the generation climbs in every cycle.
    if sorted(active) != spec.get("enabledProxies"):
        spec.pop("enabledProxies", None)
        if active:
            spec["enabledProxies"] = sorted(active)
        _next_generation(proxy)
    return Cycle(new, [])


def _next_generation(proxy):
    proxy["generation"] = proxy.get("generation", 0) + 1


class ProxyHistory:
    """Since when each proxy shows its infoUID. Starts empty: who is present when
    a sentinel becomes leader counts until it has been seen silent for long."""

    def __init__(self):
        self._seen = {}  # uid: (infoUID, since)

    def active(self, infos, now):
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in infos}
        found = {}
        for uid, info in infos.items():
            known = self._seen.get(uid)
            if known is None or known[0] != info["infoUID"]:
                known = self._seen[uid] = (info["infoUID"], now)
            if now - known[1] <= DEAD_AFTER_TIMEOUTS * info["ProxyTimeout"] / 1e9:
                found[uid] = info
        return found


class Write(typing.NamedTuple):
    """One document written. Times are time.time(), before and after."""

    began: float
    time: float
    generation: int
    elected: str | None  # cluster.status.master
    routed: str | None  # proxy.spec.masterDbUid
    enabled: list | None


def new_uid():
    return os.urandom(4).hex()


class Sentinel:
    """Runs a cycle every sleep_interval. keepers: {keeper uid: Keeper}; the first
    one leads a new cluster."""

    def __init__(self, keys, keepers, sleep_interval=0.1, fail_interval=0.6,
                 check_interval="500ms", proxy_timeout="2s"):
        self.keys = keys
        self.keepers = dict(keepers)
        self.sleep_interval = sleep_interval
        self.fail_interval = fail_interval
        self.spec = {"initMode": "new", "proxyCheckInterval": check_interval,
                     "proxyTimeout": proxy_timeout}
        self.history = ProxyHistory()
        self.writes = []
        self.waits = []  # (time, uids) as "waiting for proxies to be converged"
        self.error = None
        self._forced = set()
        self._reports = {}  # keeper uid: (last report, since)
        self._stopping = threading.Event()
        self._thread = None

    # For tests

    def start(self):
        if self.keys.get("clusterdata")[0] is None:
            assert self.keys.swap("clusterdata", json.dumps(self._first_document()).encode(), 0)
        for keeper in self.keepers.values():
            keeper.start(self)
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(20)
        for keeper in self.keepers.values():
            keeper.stop()
        if self.error is not None:
            raise self.error

    def fail_keeper(self, uid):
        """As stolonctl failkeeper: its db counts as failed in the next cycle."""
        self._forced.add(uid)

    def document(self):
        return json.loads(self.keys.get("clusterdata")[0])

    def generation(self):
        return self.document()["proxy"].get("generation", 0)

    def keeper_of(self, db):
        return self.document()["dbs"][db]["spec"]["keeperUID"]

    def wait_for_write(self, condition, timeout=10.0, start=0):
        """The first write from position start on for which condition(write) is true."""
        def found():
            if self.error is not None:
                raise self.error
            return next((w for w in self.writes[start:] if condition(w)), None)
        return wait_until(found, timeout,
                          lambda: f"writes are {self.writes[start:]}, waits {self.waits[-3:]}")

    def wait_for_failover(self, timeout=20.0, start=0):
        """(the write that elects, the write that routes to the elected)"""
        elects = self.wait_for_write(lambda w: w.routed is None and w.elected, timeout, start)
        at = self.writes.index(elects)
        return elects, self.wait_for_write(lambda w: w.routed == elects.elected, timeout, at)

    def wait_until_enabled(self, uids, timeout=10.0):
        wait_until(lambda: self.document()["proxy"]["spec"].get("enabledProxies") == sorted(uids),
                   timeout, lambda: f"{self.document()['proxy']}, wanted {sorted(uids)}")

    # The thread

    def _run(self):
        try:
            while not self._stopping.is_set():
                self.cycle()
                self._stopping.wait(self.sleep_interval)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def cycle(self):
        data, revision = self.keys.get("clusterdata")
        infos = {uid: json.loads(value) for uid, value in self.keys.list("proxies/info").items()}
        document = json.loads(data)
        now = time.monotonic()
        forced = set(self._forced)
        failed = self._failed_dbs(document, now)
        active = self.history.active(infos, now)
        new, waiting = decide(document, active, failed, self._choose)
        if waiting:
            self.waits.append((time.time(), waiting))
        self._replace_old_leader(document, new)
        if new == document:
            return
        began = time.time()
        if not self.keys.swap("clusterdata", json.dumps(new).encode(), revision):
            return  # another wrote: the next cycle sees what
        self._forced -= forced
        spec = new["proxy"]["spec"]
        self.writes.append(Write(began, time.time(), new["proxy"].get("generation", 0),
                                 leader_of(new), spec.get("masterDbUid"),
                                 spec.get("enabledProxies")))
        for keeper in self.keepers.values():
            keeper.wake()

    def _failed_dbs(self, document, now):
        """Dbs whose keeper is silent, or reports ill, for fail_interval."""
        for uid, keeper in self.keepers.items():
            known = self._reports.get(uid)
            if known is None or (keeper.report != known[0] and keeper.is_healthy):
                self._reports[uid] = (keeper.report, now)
        return {db["uid"] for db in document["dbs"].values()
                if db["spec"]["keeperUID"] in self._forced
                or now - self._reports[db["spec"]["keeperUID"]][1] > self.fail_interval}

    def _choose(self, document):
        failed = self._failed_dbs(document, time.monotonic())
        fit = [db for db in document["dbs"].values()
               if db["uid"] not in failed and db["uid"] != leader_of(document)
               and self.keepers[db["spec"]["keeperUID"]].db == db["uid"]]
        best = max(fit, key=lambda db: self.keepers[db["spec"]["keeperUID"]].position,
                   default=None)
        return best and best["uid"]

    def _replace_old_leader(self, old, new):
        """Once a leader is routed, in a later cycle, the db of a keeper that led
        before is given up for a new standby, which its keeper then clones."""
        leader = leader_of(new)
        if old["proxy"]["spec"].get("masterDbUid") != leader or old["proxy"] != new["proxy"]:
            return
        for db in list(new["dbs"].values()):
            if db["uid"] != leader and db["spec"]["role"] == "master":
                del new["dbs"][db["uid"]]
                uid = new_uid()
                new["dbs"][uid] = self._db(uid, db["spec"]["keeperUID"], leader)

    def _db(self, uid, keeper, followed=None):
        role = {"role": "master"}
        if followed is not None:
            role = {"role": "standby", "followConfig": {"type": "internal", "dbuid": followed}}
        return {"uid": uid, "generation": 1, "spec": {"keeperUID": keeper, **role},
                "status": {"healthy": True, "currentGeneration": 1,
                           "listenAddress": "127.0.0.1",
                           "port": str(self.keepers[keeper].port)}}

    def _first_document(self):
        dbs = {}
        leader = None
        for uid, keeper in self.keepers.items():
            keeper.db = new_uid()
            dbs[keeper.db] = self._db(keeper.db, uid, leader)
            leader = leader or keeper.db
        return {"formatVersion": 1, "changeTime": "2026-01-01T00:00:00Z",
                "cluster": {"uid": new_uid(), "generation": 1, "spec": self.spec,
                            "status": {"phase": "normal", "master": leader}},
                "keepers": {uid: {"uid": uid} for uid in self.keepers},
                "dbs": dbs,
                "proxy": {"uid": "", "changeTime": "0001-01-01T00:00:00Z", "spec": {},
                          "status": {}}}
