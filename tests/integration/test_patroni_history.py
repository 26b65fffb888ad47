"""Writes through two proxies, one that asks by SQL and one by REST, while real Patroni
changes leaders in every way: none is taken by a server that was left, none is shown a
read-only one, and none that was acknowledged is lost where standbys are synchronous."""

import time

import pytest

from harness import holds_for, wait_until
from harness.members import server_behind
from harness.patroni_admin import heal, make_synchronous, replace, switch_over, thaw_patroni
from harness.patroni_store import EtcdV3

pytest_plugins = ["harness.patroni_fixtures"]
pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def stage(make_patroni_stage, tmp_path_factory):
    return make_patroni_stage(EtcdV3(tmp_path_factory.mktemp("patroni-history")), ttl=10)


class Trouble:
    """What befalls leaders, and its end."""

    def __init__(self, cluster):
        self.cluster = cluster
        self._undo = []

    def switchover(self, leader):
        switch_over(self.cluster, leader)

    def postgres_killed(self, leader):
        leader.kill_postgres()

    def patroni_frozen(self, leader):
        """Its server stays writable, and only proxies keep clients from it. It must not wake
        up: Patroni 3 would take the lock from the new leader, see below."""
        self._undo.append(lambda: replace(leader))
        leader.freeze()

    def machine_lost(self, leader):
        self._undo.append(leader.replace)
        leader.kill()

    def end(self):
        while self._undo:
            self._undo.pop()()


KINDS = ["switchover", "postgres_killed", "patroni_frozen", "machine_lost"]


@pytest.mark.parametrize("is_synchronous", [False, True], ids=["asynchronous", "synchronous"])
def test_no_write_reaches_a_leader_that_was_left(stage, proxies, is_synchronous):
    if is_synchronous:
        make_synchronous(stage.cluster)
    history = stage.start_history(proxies)
    trouble = Trouble(stage.cluster)
    try:
        for kind in KINDS:
            change = history.change(kind, getattr(trouble, kind))
            assert kind == "postgres_killed" or change.new != change.old
            trouble.end()
            heal(stage.cluster)
            if is_synchronous:
                make_synchronous(stage.cluster)  # before that nobody may win
    finally:
        trouble.end()
        make_synchronous(stage.cluster, False)
    history.judge(loses_nothing=is_synchronous)
    for change in history.changes:
        assert change.served_after is None or change.served_after < 1, change


def test_a_lock_taken_back_by_a_leader_of_before_leads_nobody_to_it(stage, proxies):
    """Which Patroni 3 does on etcd v3 when it was frozen and wakes up. Its server is still
    writable, on a timeline that has ended."""
    keys = stage.store.server.client
    history = stage.start_history(proxies)
    old = stage.cluster.leader()
    record = keys.get(f"/service/main/members/{old.name}")["value"]
    change = history.change("frozen", lambda leader: leader.freeze())
    new = next(m for m in stage.cluster.members if m.name == change.new)
    others = [m for m in stage.cluster.members if m is not old]
    for member in others:
        member.freeze()  # or they would give up, or follow
    try:
        lease = keys.call("/lease/grant", {"TTL": 60})["ID"]
        keys.put(f"/service/main/members/{old.name}", record, lease)
        keys.put("/service/main/leader", old.name, lease)
        assert old.is_writable() and new.is_writable()
        proxies[0].wait_for_log("reason=stale-timeline", 5)
        for proxy in proxies:
            holds_for(lambda p=proxy: server_behind(p.port) is None, 1, step=0.02)
        keys.call("/lease/revoke", {"ID": lease})
    finally:
        for member in others:
            thaw_patroni(member)
        replace(old)
    began = time.time()
    history.wait_for_acks(lambda a: a.sent > began, 30)
    heal(stage.cluster)
    history.judge()


class Straight:
    """The server itself in place of a proxy, for the judge's own test."""

    def __init__(self, member):
        self.port = member.port

    def mark(self):
        return 0

    def find_log(self, pattern, start):
        return []


def test_the_judge_sees_writes_that_pass_by_the_proxies(stage):
    old = stage.cluster.leader()
    history = stage.start_history([Straight(old)])
    try:
        old.freeze()
        wait_until(lambda: stage.store.leader() not in ("", old.name), 40, stage.cluster.logs,
                   step=0.05)
        moved = time.time()
        history.wait_for_acks(lambda a: a.sent > moved + 0.6, 20)
    finally:
        replace(old)
    with pytest.raises(AssertionError, match="after the lock had gone"):
        history.judge()
    heal(stage.cluster)
    assert max(history.late()) > 0.5
    assert history.lost(), "and that they are not on the new leader"
    stage.end_test()
