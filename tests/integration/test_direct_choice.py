"""Whom a new client of the direct port is led to, of those it may be led to."""

import json
import time

import pytest

from harness import NameServer, echoes, holds_for, wait_until

MANY = 24
MB = 1 << 20


def publish(stage, leader="db1"):
    stage.publish(leader)
    stage.acknowledged()


def check_spread(counts, names):
    """Within 10 % of the same for all."""
    assert set(counts) == set(names)
    even = sum(counts.values()) / len(names)
    assert all(0.9 * even <= n <= 1.1 * even for n in counts.values()), counts


def count(names):
    return {name: names.count(name) for name in set(names)}


@pytest.mark.parametrize("workers", [1, 3])
def test_least_spreads_sessions_that_stay(make_direct, workers):
    stage = make_direct(standbys=3)
    stage.start(f"--workers={workers}")
    clients = [stage.direct() for _ in range(450)]
    check_spread(count([name for _, name in clients]), ("db2", "db3", "db4"))
    for sock, name in clients:
        if name != "db4":
            sock.close()
    wait_until(lambda: not stage.servers["db2"].live_sessions() and
               not stage.servers["db3"].live_sessions())
    # Those that have room get the next ones.
    more = [stage.direct() for _ in range(60)]
    assert {name for _, name in more} == {"db2", "db3"}
    for sock, _ in clients + more:
        sock.close()


def test_random_spreads_clients_that_come_and_go(make_direct):
    stage = make_direct(standbys=3)
    stage.start("--direct-balance=random")
    # 10 % are five times the standard deviation.
    check_spread(count(stage.met(5400, at_once=False)), ("db2", "db3", "db4"))


def test_random_does_not_look_at_sessions(make_direct):
    stage = make_direct(standbys=2)
    stage.start("--direct-balance=random")
    clients = [stage.direct_on("db2") for _ in range(20)]
    assert "db2" in stage.met(40)  # all but once in 10^12 runs
    for sock in clients:
        sock.close()


@pytest.fixture
def ordered(make_direct):
    """Members at addresses of their own with the same port, behind one name."""
    stage = make_direct(standbys=0, check_interval="200ms")
    port = stage.servers["db1"].port
    for i in (2, 3, 4):
        stage.add_server(f"db{i}", host=f"127.0.0.{i}", port=port)
        stage.make_standby(f"db{i}", of="db1")
    names = NameServer({"members.test": ["127.0.0.3", "127.0.0.2", "127.0.0.4"]})
    names.ttl = 1
    stage.names = names
    yield stage
    names.close()


def test_dns_order_takes_the_first_that_accepts(ordered):
    stage = ordered
    port = stage.servers["db1"].port
    stage.start("--direct-balance=dns-order", stage.names.option,
                target=f"members.test:{port}")
    stage.wait_for_members("db3")
    stage.servers["db3"].close()
    assert set(stage.met(MANY)) == {"db2"}
    stage.servers["db2"].close()
    assert set(stage.met(MANY)) == {"db4"}
    stage.start_again("db3")
    stage.wait_for_members("db3", timeout=6)
    stage.names.answers["members.test"] = ["127.0.0.4", "127.0.0.3"]
    stage.wait_for_members("db4", timeout=4)


def test_dns_order_of_the_cluster_data_without_a_name(make_direct):
    stage = make_direct(standbys=3)
    stage.start("--direct-balance=dns-order")
    assert set(stage.met(MANY)) == {"db2"}
    stage.servers["db2"].close()
    assert set(stage.met(MANY)) == {"db3"}


@pytest.mark.parametrize("fallback, without_healthy, without_standbys", [
    ("none", {None}, {None}), ("leader", {"db1"}, {"db1"}), ("any", {"db2", "db3"}, {"db1"})])
def test_fallback_and_back(make_direct, fallback, without_healthy, without_standbys):
    stage = make_direct(check_interval="200ms")
    stage.start(f"--direct-fallback={fallback}")
    assert set(stage.met(MANY)) == {"db2", "db3"}
    for uid in ("db2", "db3"):
        stage.change(uid, healthy=False)
    publish(stage)
    assert set(stage.met(MANY)) == without_healthy
    for uid in ("db2", "db3"):
        stage.servers[uid].close()
    assert set(stage.met(MANY)) == without_standbys
    stage.start_again("db3")
    stage.change("db3", healthy=True)
    publish(stage)
    stage.wait_for_members("db3", timeout=6)


@pytest.mark.parametrize("fallback", ["leader", "any"])
def test_fallback_when_all_replicas_refuse(make_direct, fallback):
    """They are healthy by the data, but cannot be connected to."""
    stage = make_direct(check_interval="200ms")
    stage.start(f"--direct-fallback={fallback}")
    for uid in ("db2", "db3"):
        stage.servers[uid].close()
    assert set(stage.met(MANY)) == {"db1"}
    client = stage.direct_on("db1")
    stage.start_again("db2")
    stage.wait_for_members("db2", timeout=6)
    assert echoes(client)


def test_lag_in_bytes_takes_away_new_sessions_only(make_direct):
    stage = make_direct(check_interval="200ms")
    for uid in stage.members:
        stage.change(uid, xLogPos=1000 * MB)
    stage.start("--direct-max-lag=16MB")
    client = stage.direct_on("db2")
    stage.change("db1", xLogPos=1016 * MB)
    stage.change("db3", xLogPos=1015 * MB)
    publish(stage)
    stage.wait_for_members("db2", "db3")
    stage.change("db1", xLogPos=1017 * MB)
    publish(stage)
    assert set(stage.met(MANY)) == {"db3"}
    assert echoes(client)
    stage.change("db2", xLogPos=1017 * MB)
    publish(stage)
    stage.wait_for_members("db2", "db3")
    assert echoes(client)


def test_lag_in_time_takes_away_new_sessions_only(make_direct):
    """Counted from when the leader went past the member's position; nothing need change
    for it to grow."""
    stage = make_direct(check_interval="100ms")
    for uid in stage.members:
        stage.change(uid, xLogPos=1000 * MB)
    stage.start("--direct-max-lag=1s")
    client = stage.direct_on("db2")
    for uid in ("db1", "db3"):
        stage.change(uid, xLogPos=1001 * MB)
    publish(stage)
    began = time.monotonic()
    assert set(stage.met(MANY)) == {"db2", "db3"}
    stage.wait_for_members("db3", timeout=3)
    assert time.monotonic() - began >= 0.9
    assert echoes(client)
    stage.change("db2", xLogPos=1001 * MB)
    publish(stage)
    stage.wait_for_members("db2", "db3")


@pytest.mark.parametrize("name", ["db3", "keeper-db3", "127.0.0.3", "127.0.0.3:{port}"])
def test_local_member_by_name(ordered, name):
    port = ordered.servers["db1"].port
    ordered.start("--local-member=" + name.format(port=port), target="local")
    assert set(ordered.met(MANY)) == {"db3"}


def test_local_member_by_the_keepers_state_file(make_direct, tmp_path):
    state = tmp_path / "keeperstate"
    state.write_text(json.dumps({"UID": "keeper-db3", "ClusterUID": "x"}), encoding="utf-8")
    stage = make_direct()
    stage.start(f"--keeper-state-file={state}", target="local")
    assert set(stage.met(MANY)) == {"db3"}


def test_local_member_by_its_address(make_direct, tmp_path):
    """Only one of the members is on an address of this machine."""
    stage = make_direct()
    for i, uid in enumerate(("db1", "db3")):
        stage.change(uid, listenAddress=f"192.0.2.{i}")
    stage.start_proxy(f"--keeper-state-file={tmp_path}/none", "--direct-target=local",
                      f"--direct-port={stage.direct_port}")
    stage.publish("db1")
    stage.acknowledged()
    stage.wait_for_members("db2")


def test_local_member_that_is_found_later(make_direct, tmp_path):
    """Why it is not found is in the log; the file is read again with the data."""
    state = tmp_path / "keeperstate"
    stage = make_direct(check_interval="200ms")
    stage.start(f"--keeper-state-file={state}", target="local")
    assert stage.met(2) == [None, None]
    stage.proxy.wait_for_log("there is no member to lead to.*several members are at addresses")
    state.write_text(json.dumps({"UID": "keeper-of-nobody"}), encoding="utf-8")
    stage.proxy.wait_for_log("there is no member to lead to.*no member is of keeper "
                             "keeper-of-nobody")
    state.write_text(json.dumps({"UID": "keeper-db2"}), encoding="utf-8")
    stage.wait_for_members("db2")


def test_local_member_of_an_unknown_name_is_said_once(make_direct):
    stage = make_direct(check_interval="100ms")
    stage.start("--local-member=db9", target="local")
    stage.proxy.wait_for_log("there is no member to lead to.*db9")
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid)
    assert len(stage.proxy.find_log("there is no member to lead to.*db9")) == 1
    assert stage.met() == [None]


def test_local_leader_is_led_to_as_well(make_direct):
    stage = make_direct()
    stage.start("--local-member=db1", target="local")
    assert set(stage.met(MANY)) == {"db1"}


@pytest.mark.parametrize("balance", ["least", "random", "nearest", "dns-order"])
def test_member_that_refuses_costs_no_client_an_error(make_direct, balance):
    stage = make_direct(check_interval="200ms")
    stage.start(f"--direct-balance={balance}")
    stage.servers["db2"].close()
    assert set(stage.met(60)) == {"db3"}
    stage.proxy.wait_for_log("a member cannot be connected to.*member=db2")
    stage.start_again("db2")
    stage.proxy.wait_for_log("a member answers again.*member=db2", timeout=6)
    stage.servers["db3"].close()
    assert set(stage.met(60)) == {"db2"}


def test_member_that_has_refused_for_long_is_used_within_six_seconds(make_direct):
    """The pauses between attempts grow, but not without end."""
    stage = make_direct()
    stage.start()
    stage.servers["db2"].close()
    assert set(stage.met(MANY)) == {"db3"}
    failed = stage.proxy.wait_for_log("cannot be connected to.*member=db2")
    assert failed and len(stage.proxy.find_log("cannot be connected to")) == 1
    holds_for(stage.proxy.is_running, 1.6, step=0.1)  # the fifth attempt is far off then
    stage.start_again("db2")
    stage.wait_for_members("db2", "db3", timeout=6)


def test_all_members_down_and_one_back(make_direct):
    stage = make_direct()
    stage.start()
    for uid in ("db2", "db3"):
        stage.servers[uid].close()
    assert stage.met(20) == [None] * 20
    stage.proxy.wait_for_log("session .*reason=connect-failed")
    stage.start_again("db3")
    # The first client finds it, failed or not: there is nobody better.
    assert "db3" in stage.met(2)
    stage.wait_for_members("db3")


def test_member_that_accepts_nothing_is_left_after_the_connect_timeout(make_direct):
    """Its queue of connections is full: the connect hangs, the next one is tried."""
    stage = make_direct(server={"backlog": 0})
    stage.start("--direct-balance=dns-order", "--connect-timeout=300ms")
    stage.servers["db2"].stop_accepting()
    fill = stage.servers["db2"].fill_backlog()
    began = time.monotonic()
    assert stage.met() == ["db3"]
    assert time.monotonic() - began < 1.5
    assert set(stage.met(MANY)) == {"db3"}
    for sock in fill:
        sock.close()
