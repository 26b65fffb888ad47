"""Members that come and go are not offered again and again, and nobody is lost by it."""

import time

import pytest

from harness import Pgsplice, connect, echoes, free_port, wait_until
from harness.direct import receive_line
from harness.members import CheckedMembers
from harness.patroni_keys import ScriptedCluster

MANY = 24
RANDOM = "--direct-balance=random"  # sessions that stay would keep others away
MB = 1 << 20
LEFT_OUT = r"direct port: a member keeps coming and going.*member={}.*reason={} for_ms=(\d+)"


@pytest.fixture
def stage(make_direct):
    made = make_direct(check_interval="200ms")
    for uid in made.members:
        made.change(uid, xLogPos=1000 * MB)
    return made


def publish(stage, **changes):
    for uid, change in changes.items():
        stage.change(uid, **change)
    stage.publish("db1")
    stage.acknowledged()


def come_and_go(stage, times, *names):
    """Each time it is offered it is withdrawn; at the end it is healthy. The first time
    is free, then come 1, 2, 4 s."""
    for i in range(times):
        if i > 0:
            stage.wait_for_members(*[u for u in stage.members if u != "db1"], timeout=20)
        publish(stage, **{uid: {"healthy": False} for uid in names})
        publish(stage, **{uid: {"healthy": True} for uid in names})


def left_out(stage, uid, reason="unhealthy"):
    return [line for line in stage.proxy.find_log(LEFT_OUT.format(uid, reason))]


def test_one_that_comes_and_goes_is_left_out_and_comes_back_by_itself(stage):
    stage.start(RANDOM)
    client = stage.direct_on("db2")
    come_and_go(stage, 4, "db2")
    began = time.monotonic()
    assert set(stage.met(MANY)) == {"db3"}
    assert time.monotonic() - began < 3  # else it says nothing
    assert len(left_out(stage, "db2")) == 3
    stage.proxy.wait_for_log('direct port: members" addresses=.* left_out=.*count=2')
    stage.wait_for_members("db2", "db3", timeout=10)
    assert echoes(client)


def test_who_was_left_out_needs_no_news_to_come_back(make_direct):
    stage = make_direct(check_interval="1m", proxy_timeout="3m")
    stage.start()
    come_and_go(stage, 3, "db2")
    stage.wait_for_members("db2", "db3", timeout=5)


def test_hold_off_0_leaves_nobody_out(stage):
    stage.start("--direct-hold-off=0")
    for _ in range(8):
        publish(stage, db2={"healthy": False})
        assert set(stage.met(MANY)) == {"db3"}
        publish(stage, db2={"healthy": True})
        assert set(stage.met(MANY)) == {"db2", "db3"}
    assert not left_out(stage, "db2")


@pytest.mark.parametrize("fallback", ["none", "leader", "any"])
def test_all_that_are_left_out_are_better_than_none_and_than_a_fallback(stage, fallback):
    stage.start(f"--direct-fallback={fallback}")
    come_and_go(stage, 2, "db2", "db3")
    assert set(stage.met(MANY)) == {"db2", "db3"}
    stage.proxy.wait_for_log(r'direct port: members" .*left_out=\S+,\S+ count=')
    assert not stage.servers["db1"].sessions()


def test_one_that_lagged_comes_back_at_half_of_the_limit(stage):
    stage.start("--direct-max-lag=16MB", RANDOM)
    client = stage.direct_on("db2")
    for lag, names in ((15, {"db2", "db3"}), (17, {"db3"}), (15, {"db3"}), (9, {"db3"}),
                       (8, {"db2", "db3"}), (15, {"db2", "db3"})):
        publish(stage, db2={"xLogPos": (1000 - lag) * MB})
        assert set(stage.met(MANY)) == names, lag
    assert echoes(client)
    # Near the limit it is still better than nobody.
    publish(stage, db2={"xLogPos": (1000 - 17) * MB}, db3={"healthy": False})
    assert stage.met(2) == [None, None]
    publish(stage, db2={"xLogPos": (1000 - 15) * MB})
    assert set(stage.met(MANY)) == {"db2"}


@pytest.mark.full
def test_one_that_lagged_comes_back_after_a_while_within_the_limit(stage):
    stage.start("--direct-max-lag=16MB")
    publish(stage, db2={"xLogPos": (1000 - 17) * MB})
    publish(stage, db2={"xLogPos": (1000 - 15) * MB})
    began = time.monotonic()
    assert set(stage.met(MANY)) == {"db3"}
    stage.wait_for_members("db2", "db3", timeout=15)
    assert 9 < time.monotonic() - began


def test_one_that_cannot_be_connected_to_now_and_then_is_left_out(stage):
    stage.start("--direct-balance=dns-order")
    for _ in range(4):
        stage.wait_for_members("db2", timeout=10)
        stage.servers["db2"].close()
        assert set(stage.met(2)) == {"db3"}
        stage.start_again("db2")
        wait_until(lambda: stage.servers["db2"].answers > 0)  # it is asked again and again
    wait_until(lambda: len(left_out(stage, "db2", "cannot-connect")) == 3)
    began = time.monotonic()
    assert set(stage.met(MANY)) == {"db3"}
    assert time.monotonic() - began < 2  # else it says nothing


def test_what_changes_all_the_time_is_not_said_all_the_time(make_direct):
    stage = make_direct(standbys=3, check_interval="200ms")
    stage.start()
    for i in range(60):
        publish(stage, db2={"healthy": i % 2 == 1})
    publish(stage, db4={"healthy": False})
    assert set(stage.met(MANY)) <= {"db2", "db3"}
    assert len(stage.proxy.find_log("direct port: members|there is no member")) <= 12
    assert 1 <= len(left_out(stage, "db2")) <= 7
    # What it has come to is said in the end.
    stage.proxy.wait_for_log('direct port: members" .*count=2 changes_unsaid=', timeout=15)


# The other kinds of clusters: what a member is comes from other places, the rest is the same.


class Direct:
    """A proxy whose direct port leads to replicas that greet with their names."""

    def __init__(self, *args):
        self.port = free_port()
        self.proxy = Pgsplice(None, [*args, "--direct-target=replicas", RANDOM,
                                     f"--direct-port={self.port}"])

    def met(self, count=MANY):
        names = set()
        for _ in range(count):
            try:
                with connect(self.port) as sock:
                    names.add(receive_line(sock))
            except OSError:
                names.add(None)
        return names

    def wait_for(self, *names, timeout=10.0):
        wait_until(lambda: self.met() == set(names), timeout, lambda: f"clients meet {self.met()}")

    def check_left_out(self, change, uid, good, others):
        """change(False) makes it bad, change(True) good again; a client that is there
        stays."""
        self.wait_for(*good)
        with connect(self.port) as sock:
            receive_line(sock)
            for _ in range(3):
                self.wait_for(*good)
                change(False)
                self.wait_for(*others)
                change(True)
            wait_until(lambda: len(self.proxy.find_log(LEFT_OUT.format(uid, "unhealthy"))) == 2)
            assert self.met() == set(others)
            self.wait_for(*good)
            assert echoes(sock)


def test_patroni_member_that_streams_now_and_then_is_left_out(tmp_path):
    cluster = ScriptedCluster(tmp_path / "store", "pg1", "pg2", "pg3")
    direct = Direct(*cluster.options())
    try:
        direct.check_left_out(
            lambda good: cluster.write_record(
                "pg2", "replica", replication="streaming" if good else "in archive recovery"),
            "pg2", ("pg2", "pg3"), ("pg3",))
    finally:
        direct.proxy.close()
        cluster.close()


@pytest.mark.full
def test_member_whose_check_fails_now_and_then_is_left_out():
    members = CheckedMembers(3)
    direct = Direct(*members.options())
    try:
        direct.check_left_out(
            lambda good: members[1].says("replica" if good else (500, "cannot ask PostgreSQL")),
            f"{members[1].host}:{members[1].port}", ("db2", "db3"), ("db3",))
    finally:
        direct.proxy.close()
        members.close()
