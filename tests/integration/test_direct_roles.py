"""Whom clients of the direct port meet while roles change, and what becomes of those
that are there already."""

import os
import threading
import time

import pytest

from harness import RecordingServer, echoes, end_of, holds_for, receive, wait_until
from harness.fence import unread

# Enough that a member which took new clients at all would be met.
MANY = 24


@pytest.fixture
def replicas(make_direct):
    stage = make_direct(check_interval="200ms")
    stage.start()
    return stage


def publish(stage, leader):
    stage.publish(leader)
    stage.acknowledged()


def check_cut(stage, client, reason):
    start = 0
    assert end_of(client) == "rst"
    stage.proxy.wait_for_log(rf"session \d+: closed.*reason={reason} by=us", start=start)


def test_replicas_leads_to_standbys_and_never_to_the_leader(replicas):
    replicas.wait_for_members("db2", "db3")
    replicas.met(4 * MANY)
    assert not replicas.servers["db1"].sessions()


def test_unhealthy_standby_gets_nobody_new_and_keeps_its_sessions(replicas):
    client = replicas.direct_on("db2")
    replicas.change("db2", healthy=False)
    publish(replicas, "db1")
    assert set(replicas.met(MANY)) == {"db3"}
    assert echoes(client)
    replicas.change("db2", healthy=True)
    publish(replicas, "db1")
    replicas.wait_for_members("db2", "db3")
    assert echoes(client)


def test_nobody_healthy_closes_clients_and_says_why(replicas):
    client = replicas.direct_on("db2")
    for uid in ("db2", "db3"):
        replicas.change(uid, healthy=False)
    publish(replicas, "db1")
    assert replicas.met() == [None]
    replicas.proxy.wait_for_log("clients of the direct port closed.*reason=no-member")
    replicas.proxy.wait_for_log("there is no member to lead to")
    assert echoes(client)


def test_former_leader_gets_nobody_before_its_keeper_has_carried_it_out(replicas):
    replicas.promote("db2")
    publish(replicas, "db2")
    assert set(replicas.met(MANY)) == {"db3"}
    publish(replicas, "db2")  # nor later, while nothing is heard of it
    assert set(replicas.met(MANY)) == {"db3"}
    replicas.change("db1", current=replicas.members["db1"]["generation"])
    publish(replicas, "db2")
    replicas.wait_for_members("db1", "db3")
    assert not replicas.servers["db2"].live_sessions()


def test_standby_stays_one_while_its_keeper_follows_a_newer_generation(replicas):
    client = replicas.direct_on("db2")
    replicas.change("db2", generation=2)
    publish(replicas, "db1")
    replicas.wait_for_members("db2", "db3")
    assert echoes(client)


def test_sessions_of_a_promoted_standby_are_cut(replicas):
    client, other = replicas.direct_on("db2"), replicas.direct_on("db3")
    replicas.promote("db2")
    replicas.publish("")
    check_cut(replicas, client, "member-changed")
    replicas.publish("db2")
    replicas.acknowledged()
    assert echoes(other)
    assert set(replicas.met(MANY)) == {"db3"}


def arrived(connection):
    """Bytes that the server or its kernel has."""
    return connection.size + unread(connection.sock)


def wait_for_standstill(connection):
    """What was on its way in the kernels has arrived."""
    seen = []

    def stands():
        seen.append(arrived(connection))
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_until(stands, step=0.01)
    return seen[-1]


@pytest.mark.parametrize("args", [
    ("--direct-on-promote=keep",),
    ("--direct-balance=dns-order", "--direct-on-promote=keep", "--workers=1", "--splice=always")])
def test_kept_session_waits_for_the_promotion_and_loses_no_byte(make_direct, args):
    """Bytes flow both ways before, during and after it."""
    stage = make_direct(check_interval="200ms")
    stage.start(*args)
    client = stage.direct_on("db2")
    connection = stage.servers["db2"].sessions()[-1]
    data = os.urandom(24 << 20)
    client.settimeout(30)
    sender = threading.Thread(target=lambda: client.sendall(data), daemon=True)
    sender.start()
    got = bytearray(receive(client, 4 << 20))
    stage.promote("db2")
    publish(stage, "")
    held = wait_for_standstill(connection)
    assert 0 < held < len(data)
    holds_for(lambda: arrived(connection) == held and connection.is_live(), 0.3)
    publish(stage, "db2")
    got += receive(client, len(data) - len(got))
    sender.join(10)
    assert bytes(got) == data
    assert connection.received[-len(data):] == data
    assert echoes(client)
    assert set(stage.met(MANY)) == {"db3"}


@pytest.mark.parametrize("age", [0, 0.7], ids=["young", "settled"])
def test_kept_session_gets_what_was_sent_while_it_was_held(make_direct, age):
    """A session gets its keepalive after a while, and is in another state then."""
    stage = make_direct(check_interval="200ms")
    stage.start("--direct-on-promote=keep")
    client = stage.direct_on("db2")
    holds_for(lambda: echoes(client), age, step=0.05)
    connection = stage.servers["db2"].sessions()[-1]
    stage.promote("db2")
    publish(stage, "")
    client.sendall(b"sent while it was held")
    publish(stage, "")
    assert b"while it was held" not in connection.received
    publish(stage, "db2")
    connection.wait_for_bytes(b"sent while it was held")
    assert receive(client, 22) == b"sent while it was held"
    assert connection.received.count(b"while") == 1


def test_kept_session_is_one_of_the_leader_from_then_on(make_direct):
    stage = make_direct(check_interval="200ms")
    stage.start("--direct-on-promote=keep")
    client = stage.direct_on("db2")
    stage.promote("db2")
    publish(stage, "")
    publish(stage, "db2")
    assert echoes(client)
    stage.publish("")
    check_cut(stage, client, "leader-changed")


def test_client_that_ends_while_it_is_held_ends_at_the_server_afterwards(make_direct):
    stage = make_direct(check_interval="200ms")
    stage.start("--direct-on-promote=keep")
    client = stage.direct_on("db2")
    connection = stage.servers["db2"].sessions()[-1]
    stage.promote("db2")
    publish(stage, "")
    client.sendall(b"last words")
    client.close()
    publish(stage, "db2")
    assert connection.wait_for_end() == "fin"
    assert connection.received.endswith(b"last words")


@pytest.mark.full
def test_held_session_is_cut_when_nothing_comes_of_the_promotion(make_direct):
    stage = make_direct(check_interval="200ms")
    stage.start("--direct-on-promote=keep")
    client = stage.direct_on("db2")
    stage.promote("db2")
    publish(stage, "")
    began = time.monotonic()
    assert end_of(client, 35) == "rst"
    assert 28 <= time.monotonic() - began <= 32
    stage.proxy.wait_for_log("session .*reason=member-changed")


@pytest.mark.parametrize("on_promote", [None, "keep", "cut"])
def test_local_standby_that_is_promoted(make_direct, on_promote):
    """Kept unless told otherwise; new clients go there as to the leader."""
    stage = make_direct(check_interval="200ms")
    stage.start("--local-member=db2",
                *([f"--direct-on-promote={on_promote}"] if on_promote else []), target="local")
    client = stage.direct_on("db2")
    stage.promote("db2")
    publish(stage, "")
    if on_promote == "cut":
        check_cut(stage, client, "member-changed")
    assert stage.met() == [None]
    publish(stage, "db2")
    stage.wait_for_members("db2")
    if on_promote != "cut":
        assert echoes(client)


@pytest.mark.parametrize("target", ["replicas", "any", "local"])
def test_member_that_leaves_loses_its_sessions(make_direct, target):
    stage = make_direct(check_interval="200ms")
    stage.start("--local-member=db2", target=target)
    client = stage.direct_on("db2")
    del stage.members["db2"]
    stage.publish("db1")
    check_cut(stage, client, "member-changed")
    assert "db2" not in stage.met(MANY)


def test_member_that_is_cloned_anew_is_another(replicas):
    """The same keeper at the same address, with a database of another uid."""
    client = replicas.direct_on("db2")
    new = {**replicas.members.pop("db2"), "uid": "db2-anew", "generation": 1}
    replicas.members["db2-anew"] = new
    replicas.publish("db1")
    check_cut(replicas, client, "member-changed")
    replicas.acknowledged()
    replicas.wait_for_members("db2", "db3")


def test_member_that_goes_and_comes_back_is_another(replicas):
    client = replicas.direct_on("db2")
    gone = replicas.members.pop("db2")
    publish(replicas, "db1")
    replicas.members["db2"] = gone
    publish(replicas, "db1")
    check_cut(replicas, client, "member-changed")
    replicas.wait_for_members("db2", "db3")


def test_sessions_do_not_follow_a_member_that_moves(replicas):
    client = replicas.direct_on("db2")
    moved = RecordingServer(host="127.0.0.2", port=replicas.servers["db2"].port,
                            greeting=b"moved\n")
    replicas.servers["moved"] = moved
    replicas.change("db2", listenAddress="127.0.0.2")
    replicas.publish("db1")
    check_cut(replicas, client, "member-changed")
    replicas.acknowledged()
    replicas.wait_for_members("moved", "db3")


def test_port_that_changes_is_another_place_too(replicas):
    client = replicas.direct_on("db2")
    server = replicas.servers["moved"] = RecordingServer(greeting=b"moved\n")
    replicas.change("db2", port=str(server.port))
    replicas.publish("db1")
    check_cut(replicas, client, "member-changed")
    replicas.acknowledged()
    replicas.wait_for_members("moved", "db3")


def test_each_session_says_why_it_was_cut(make_direct):
    stage = make_direct(check_interval="200ms", proxy_timeout="1s")
    stage.start(target="any")
    on_leader = stage.direct_on("db1")
    stage.publish("")
    check_cut(stage, on_leader, "leader-changed")
    publish(stage, "db1")
    on_leader, on_standby = stage.direct_on("db1"), stage.direct_on("db2")
    stage.store.lose()
    check_cut(stage, on_leader, "deadline")
    assert echoes(on_standby)
    stage.store.bring_back()
    wait_until(lambda: "db1" in stage.met(4))
    assert echoes(on_standby)
