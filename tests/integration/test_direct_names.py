"""Members behind a name, whose addresses come and go."""

import time

import pytest

from harness import NameServer, echoes, end_of, holds_for, wait_until
from harness.direct import MemberServer

TTL = 1
MANY = 24


@pytest.fixture
def names():
    server = NameServer({})
    server.ttl = TTL
    yield server
    server.close()


@pytest.fixture
def named(make_direct):
    """db1 leads at 127.0.0.1; db2 to db4 are standbys at 127.0.0.2 to 4 of the same port."""
    stage = make_direct(standbys=0, check_interval="1s", proxy_timeout="5s")
    stage.common_port = stage.servers["db1"].port
    for i in (2, 3, 4):
        stage.add_server(f"db{i}", host=f"127.0.0.{i}", port=stage.common_port)
        stage.make_standby(f"db{i}", of="db1")
    return stage


def start(stage, server, *args, name="members.test", **keywords):
    stage.start(server.option, *args, target=f"{name}:{stage.common_port}", **keywords)


def records(*numbers, ttl=TTL):
    return [f"members {ttl} A 127.0.0.{n}" for n in numbers]


def test_member_that_appears_is_used_within_its_ttl(named, start_nsd):
    nsd = start_nsd(*records(2))
    start(named, nsd)
    assert set(named.met(MANY)) == {"db2"}
    nsd.serve(*records(2, 3))
    served = time.monotonic()
    wait_until(lambda: "db3" in named.met(4), TTL + 3, step=0.01)
    assert time.monotonic() - served <= TTL + 1


def test_member_that_vanishes_keeps_its_sessions_only(named, start_nsd):
    nsd = start_nsd(*records(2, 3))
    start(named, nsd)
    clients = [named.direct_on("db2") for _ in range(2)]
    nsd.serve(*records(3))
    served = time.monotonic()
    named.wait_for_members("db3", timeout=TTL + 3)
    assert time.monotonic() - served <= TTL + 1
    assert all(echoes(c) for c in clients)
    nsd.serve(*records(2, 3))
    named.direct_on("db2", timeout=TTL + 3).close()
    assert all(echoes(c) for c in clients)


def test_stranger_that_vanishes_keeps_its_sessions_only(named, start_nsd):
    named.servers["other"] = MemberServer("other", host="127.0.0.9", port=named.common_port)
    nsd = start_nsd(*records(3, 9))
    start(named, nsd)
    client = named.direct_on("other")
    nsd.serve(*records(3))
    named.wait_for_members("db3", timeout=TTL + 3)
    assert echoes(client)


def test_name_that_vanishes_keeps_its_members_for_a_while(named, start_nsd):
    """--dns-stale, counted from the last good answer."""
    stale = 2
    nsd = start_nsd(*records(2))
    start(named, nsd, f"--dns-stale={stale}s")
    client = named.direct_on("db2")
    nsd.serve()
    served = time.monotonic()
    last_good = [served]

    def is_gone():
        if named.met() == ["db2"]:
            last_good[0] = time.monotonic()
            return False
        return True

    wait_until(is_gone, stale + 3, step=0.02)
    assert stale - TTL - 0.5 <= last_good[0] - served <= stale + 1
    named.proxy.wait_for_log("the target's name has no address.*members.test")
    named.proxy.wait_for_log("there is no member to lead to")
    assert echoes(client)
    nsd.serve(*records(2))
    named.wait_for_members("db2", timeout=5)


def test_server_that_fails_keeps_the_last_answer(named, names):
    names.answers["members.test"] = ["127.0.0.2"]
    start(named, names, "--dns-stale=1s")
    client = named.direct_on("db2")
    names.fault = "servfail"
    holds_for(lambda: named.met() == ["db2"], 2 * TTL, step=0.02)
    assert echoes(client)


def test_leader_in_the_answer_is_left_out(named, names):
    names.answers["members.test"] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    start(named, names)
    named.wait_for_members("db2", "db3")
    named.met(MANY)
    assert not named.servers["db1"].sessions()
    # And whoever leads next, from then on.
    named.promote("db2")
    named.publish("db2")
    named.acknowledged()
    named.change("db1", current=named.members["db1"]["generation"])
    named.publish("db2")
    named.acknowledged()
    named.wait_for_members("db1", "db3")


def test_leader_as_the_only_answer_leads_to_nobody(named, names):
    names.answers["members.test"] = ["127.0.0.1"]
    start(named, names)
    assert named.met(4) == [None] * 4
    assert not named.servers["db1"].sessions()


def test_leader_with_a_name_of_its_own_is_left_out(named, names):
    """Its address is known by the answer for it."""
    names.answers["members.test"] = ["127.0.0.1", "127.0.0.2"]
    names.answers["leader.test"] = ["127.0.0.1"]
    named.change("db1", listenAddress="leader.test")
    start(named, names)
    named.wait_for_members("db2")
    assert not named.servers["db1"].sessions()


def test_unknown_address_is_cut_with_the_leader_a_known_standby_is_not(named, names):
    named.servers["other"] = MemberServer("other", host="127.0.0.9", port=named.common_port)
    names.answers["members.test"] = ["127.0.0.2", "127.0.0.9"]
    start(named, names)
    known, unknown = named.direct_on("db2"), named.direct_on("other")
    named.publish("")
    assert end_of(unknown) == "rst"
    named.proxy.wait_for_log("session .*reason=leader-changed.*server=127.0.0.9")
    named.acknowledged()
    assert set(named.met(MANY)) == {"db2"}
    assert echoes(known)
    named.publish("db1")
    named.acknowledged()
    named.wait_for_members("db2", "other")


def test_unknown_address_that_turns_out_to_be_a_standby_is_one_for_new_clients(named, names):
    """Those that are there go on as they began."""
    names.answers["members.test"] = ["127.0.0.2", "127.0.0.4"]
    data = named.members.pop("db4")
    start(named, names)
    unknown = named.direct_on("db4")
    named.members["db4"] = data
    named.publish("db1")
    named.acknowledged()
    known = named.direct_on("db4")
    assert echoes(unknown)
    named.publish("")
    assert end_of(unknown) == "rst"
    named.acknowledged()
    assert echoes(known)


def test_60_addresses_come_by_tcp(named, start_nsd):
    everywhere = MemberServer("all", host="0.0.0.0")
    named.servers["all"] = everywhere
    named.common_port = everywhere.port
    nsd = start_nsd(*[f"members 30 A 127.0.1.{i}" for i in range(1, 61)])
    start(named, nsd, "--direct-balance=random")
    named.proxy.wait_for_log('direct port: members" addresses=.*count=60')
    named.met(600, at_once=False)
    reached = {c.local_address for c in everywhere.sessions()}
    assert len(reached) >= 58, reached  # all but those that chance has left out


@pytest.mark.full
def test_100_members_behind_a_name_cost_nothing_at_rest(named, start_nsd):
    """Asked for again and again, as the TTL of 5 s of private networks wants it."""
    everywhere = MemberServer("all", host="0.0.0.0")
    named.servers["all"] = everywhere
    named.common_port = everywhere.port
    nsd = start_nsd(*[f"members 5 A 127.0.1.{i}" for i in range(1, 101)])
    named.timings = {"check_interval": "5s", "proxy_timeout": "15s"}
    start(named, nsd)
    named.proxy.wait_for_log('direct port: members" addresses=.*count=100')
    named.met(10)
    before, began = named.proxy.cpu_seconds(), time.monotonic()
    holds_for(named.proxy.is_running, 5, step=0.5)
    used = named.proxy.cpu_seconds() - before
    assert used <= 0.01 * (time.monotonic() - began), f"{used} s"


@pytest.mark.full
def test_measuring_100_members_costs_a_hundredth_of_a_core(named, start_nsd):
    everywhere = MemberServer("all", host="0.0.0.0")
    named.servers["all"] = everywhere
    named.common_port = everywhere.port
    nsd = start_nsd(*[f"members 5 A 127.0.1.{i}" for i in range(1, 101)])
    start(named, nsd, "--direct-balance=nearest")
    named.proxy.wait_for_log('direct port: members" addresses=.*count=100')
    before, began = named.proxy.cpu_seconds(), time.monotonic()
    holds_for(named.proxy.is_running, 20, step=0.5)
    used = named.proxy.cpu_seconds() - before
    assert used <= 0.01 * (time.monotonic() - began), f"{used} s"


def test_lookup_under_way_delays_no_connect(named, names):
    """The name server says nothing after its first answer."""
    names.answers["members.test"] = ["127.0.0.2", "127.0.0.3"]
    start(named, names)
    names.fault = "silent"
    names.wait_for_queries(2)  # one is under way from now on
    took = []
    began = time.monotonic()
    while time.monotonic() - began < 2 * TTL:
        at = time.monotonic()
        assert named.met() != [None]
        took.append(time.monotonic() - at)
    took.sort()
    # A few may have waited for the machine; a lookup takes seconds.
    assert took[len(took) // 2] < 0.05 and took[-1] < 1


def test_members_of_the_view_with_names(named, names):
    """They are followed like the name of a target."""
    for i in (2, 3, 4):
        names.answers[f"db{i}.test"] = [f"127.0.0.{i}"]
        named.change(f"db{i}", listenAddress=f"db{i}.test")
    del names.answers["db4.test"]
    named.start(names.option)
    named.wait_for_members("db2", "db3")
    client = named.direct_on("db2")
    names.answers["db4.test"] = ["127.0.0.4"]
    named.wait_for_members("db2", "db3", "db4")
    named.servers["moved"] = MemberServer("moved", host="127.0.0.7", port=named.common_port)
    names.answers["db2.test"] = ["127.0.0.7"]
    assert end_of(client, TTL + 3) == "rst"
    named.wait_for_members("moved", "db3", "db4")


def test_address_in_place_of_a_name(named):
    """Needs no name server."""
    named.start(target=f"127.0.0.3:{named.common_port}")
    assert set(named.met(MANY)) == {"db3"}


def test_ipv6_addresses_of_the_target_come_first(named, names):
    named.servers["six"] = MemberServer("six", host="::1", port=named.common_port)
    names.answers["members.test"] = ["127.0.0.2", "::1"]
    start(named, names, "--direct-balance=dns-order")
    named.wait_for_members("six")
    named.proxy.close()
    start(named, names, "--direct-balance=dns-order", "--dns-prefer=ipv4")
    named.wait_for_members("db2")
