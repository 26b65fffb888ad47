"""Real Patroni paused, with synchronous standbys, and cut off from its store: whom the
lock names is not all there is to know."""

import time

import psycopg2
import pytest

from harness import holds_for, wait_until
from harness.members import Session, ask_through, server_behind, wait_for_server
from harness.patroni_admin import (end_patroni, heal, make_synchronous, pause, replace, resume,
                                   stop_postgres, switch_over, sync_standbys, ttl_s)
from harness.patroni_history import Notes, Writable
from harness.patroni_store import EtcdV3

pytest_plugins = ["harness.patroni_fixtures"]
pytestmark = pytest.mark.full

# As short as Patroni 3 takes it: a lost lock is gone after that.
TTL_S = 10
# For so long a server that no lock vouches for counts as writable after it said so.
FRESH_S = 5


@pytest.fixture(scope="module")
def stage(make_patroni_stage, tmp_path_factory):
    return make_patroni_stage(EtcdV3(tmp_path_factory.mktemp("patroni-modes")), ttl=TTL_S)


@pytest.fixture
def paused(stage):
    """The stage, paused until the test has ended."""
    heal(stage.cluster)
    pause(stage.cluster)
    yield stage
    resume(stage.cluster)
    heal(stage.cluster)


@pytest.fixture
def synchronous(stage):
    heal(stage.cluster)
    make_synchronous(stage.cluster)
    yield stage
    heal(stage.cluster)
    make_synchronous(stage.cluster, False)


def wait_for_no_lock(stage, timeout=30):
    wait_until(lambda: stage.store.leader() == "", timeout, "the lock to go", step=0.05)


def wait_for_lock(stage, name, timeout=30):
    wait_until(lambda: stage.store.leader() == name, timeout, stage.cluster.logs, step=0.05)


# Paused


def test_a_paused_leader_is_served_without_its_patroni(paused):
    """Whose lock and record expire: they say nothing of the server then."""
    proxy, = paused.start_proxies("sql")
    try:
        leader = paused.cluster.leader()
        session = Session(proxy.port)
        end_patroni(leader)
        wait_for_no_lock(paused)
        holds_for(lambda: session.works() and server_behind(proxy.port) == leader.port,
                  FRESH_S + 2, "served past the lock", step=0.2)
        proxy.wait_for_log("reason=kept-paused", 1)
        leader.start()
        wait_for_lock(paused, leader.name)
        holds_for(lambda: session.works() and server_behind(proxy.port) == leader.port,
                  2, "served when it is back", step=0.1)
        session.close()
    finally:
        if leader.process.poll() is not None:
            leader.start()
        paused.end_test()


def test_a_paused_leader_that_stops_is_followed_by_whom_its_owner_promotes(paused):
    proxies = paused.start_proxies("sql", "rest")
    try:
        old = paused.cluster.leader()
        stop_postgres(old)
        wait_for_no_lock(paused)
        for proxy in proxies:
            wait_for_server(proxy.port, None)
        new = next(m for m in paused.cluster.members if m is not old)
        new.query("select pg_promote()")
        wait_for_lock(paused, new.name)
        for proxy in proxies:
            wait_for_server(proxy.port, new)
    finally:
        paused.end_test()


def test_a_second_leader_of_a_pause_gets_no_client(paused):
    """Patroni lets it be; the lock stays where it is."""
    proxies = paused.start_proxies("sql", "rest")
    leader = paused.cluster.leader()
    other = next(m for m in paused.cluster.members if m is not leader)
    try:
        sessions = [Session(p.port) for p in proxies]
        other.query("select pg_promote()")
        wait_until(lambda: other.is_writable() and other.status().get("role") in
                   ("master", "primary"), 30, paused.cluster.logs, step=0.1)
        holds_for(lambda: all(s.works() and server_behind(p.port) == leader.port
                              for s, p in zip(sessions, proxies)), 3, step=0.1)
        for session in sessions:
            session.close()
    finally:
        replace(other)  # its timeline is ahead of the leader's
        paused.end_test()


def test_without_a_store_a_paused_leader_stays_for_those_who_ask_it(paused):
    """Patroni demotes nobody in a pause. --store-outage=strict goes by the store alone."""
    asking, = paused.start_proxies("sql")
    strict, = paused.start_proxies("sql", options=["--store-outage=strict"])
    leader = paused.cluster.leader()
    kept, lost = Session(asking.port), Session(strict.port)
    ttl = ttl_s(paused.cluster)
    paused.store.freeze()
    try:
        began = time.monotonic()
        wait_until(lambda: not lost.works(), ttl + 1, "the deadline", step=0.05)
        print(f"strict: cut {time.monotonic() - began:.2f} s after the store was lost")
        holds_for(lambda: kept.works() and server_behind(asking.port) == leader.port,
                  began + ttl + 2 - time.monotonic(), step=0.1)
        assert server_behind(strict.port) is None
    finally:
        paused.store.thaw()
    try:
        wait_for_server(strict.port, leader, 30)
        assert kept.works()
    finally:
        kept.close()
        lost.close()
        paused.end_test()


# Synchronous


def test_synchronous_writes_survive_a_switchover_and_the_loss_of_a_leader(synchronous):
    proxies = synchronous.start_proxies("sql", "rest")
    history = synchronous.start_history(proxies)
    killed = []

    def kill(old):
        killed.append(old)
        old.kill()

    try:
        for what, do in [("switchover", lambda old: switch_over(synchronous.cluster, old)),
                         ("kill -9", kill)]:
            names = [m.name for m in wait_until(lambda: sync_standbys(synchronous.cluster), 30,
                                                synchronous.cluster.logs, step=0.2)]
            assert history.change(what, do).new in names
            for member in killed:
                member.replace()
            heal(synchronous.cluster)
        history.judge(loses_nothing=True)
    finally:
        synchronous.end_test()


# Cut off from the store


def test_no_store_for_anybody_costs_a_leader_its_clients_when_patroni_demotes_it(stage, proxies):
    """And not before; then nobody is served, until it is writable again: its lock and
    record have been the same all the time."""
    history = stage.start_history(proxies)
    leader = stage.cluster.leader()
    stage.store.freeze()
    try:
        frozen = time.time()
        down = wait_until(lambda: history.writable[leader.name].first(False, frozen), 30,
                          stage.cluster.logs, step=0.02)
        last = max(a.received for a in history.checker.acks())
        # What is read-only is up again, and the lock is as it was.
        wait_until(lambda: _in_recovery(leader), 30, stage.cluster.logs, step=0.1)
        for proxy in proxies:
            wait_for_server(proxy.port, None)
            holds_for(lambda p=proxy: ask_through(p.port, "select 1") is None, 1, step=0.05)
    finally:
        stage.store.thaw()
    print(f"served for {last - frozen:.2f} s, its server for {down - frozen:.2f} s")
    assert down - last < 1
    back, since = _wait_writable(history, stage.cluster, down)
    history.wait_for_acks(lambda a: a.sent > since, 30)
    first = min(a.received for a in history.checker.acks() if a.sent > down)
    print(f"{back.name} is served {(first - since) * 1000:.0f} ms after it was seen writable")
    assert first - since < 1
    history.judge(follows_lock_s=None)
    heal(stage.cluster)


def _in_recovery(member):
    try:
        return member.query("select pg_is_in_recovery()")[0]
    except psycopg2.Error:
        return False


def _wait_writable(history, cluster, after):
    def found():
        times = [(history.writable[m.name].first(True, after), m) for m in cluster.members]
        return min(((t, m) for t, m in times if t is not None), default=None,
                   key=lambda pair: pair[0])
    since, member = wait_until(found, 60, cluster.logs, step=0.05)
    return member, since
