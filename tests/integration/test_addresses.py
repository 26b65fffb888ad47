"""The leader's address: names, families, and what must not be connected to."""

import socket
import time

import pytest

from harness import (RecordingServer, connect, echoes, end_of, holds_for, probe, wait_for_probe,
                     wait_until)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "LOCALHOST", "0.0.0.0"])
def test_leader_by_address_or_name(stage, address):
    stage.add_member("db1", address=address)
    stage.start_proxy()
    stage.open("db1")


def test_leader_by_ipv6_literal(stage):
    stage.add_member("db1", address="::1", host="::1")
    stage.start_proxy()
    stage.open("db1")


def test_leader_by_ipv6_zone(stage):
    """With ::1 there is no zone to check; a link-local address must be parsed."""
    stage.members["db1"]["status"]["listenAddress"] = "fe80::1%lo"
    stage.start_proxy()
    stage.publish("db1")
    stage.acknowledged()
    assert "[fe80::1%lo]" in stage.proxy.wait_for_log("routing to the leader") or \
        "fe80::1%lo" in stage.proxy.find_log("routing to the leader")[0]


def test_name_that_cannot_be_resolved_routes_nobody_and_publishes_nothing(opened):
    client = opened.client()
    opened.members["db1"]["status"]["listenAddress"] = "no-such-host.invalid"
    published = opened.store.info(opened.proxy.uid)["Generation"]
    opened.publish("db1")
    assert end_of(client) == "rst"
    opened.proxy.wait_for_log("cannot be resolved")
    wait_for_probe(opened.proxy.port, "closed")
    assert opened.store.info(opened.proxy.uid)["Generation"] == published
    opened.members["db1"]["status"]["listenAddress"] = "localhost"
    opened.open("db1")


@pytest.mark.parametrize("address", [" ", "a b", "host:5432", "-", "x" * 300, "1.2.3.4.5"])
def test_nonsense_as_an_address_is_refused_and_explained(opened, address):
    client = opened.client()
    mark = opened.proxy.mark()
    opened.members["db1"]["status"]["listenAddress"] = address
    opened.publish("db1")
    assert end_of(client) == "rst"
    opened.proxy.wait_for_log("nobody is routed", start=mark)
    wait_for_probe(opened.proxy.port, "closed")  # the other worker may know it later
    opened.members["db1"]["status"]["listenAddress"] = "127.0.0.1"
    opened.open("db1")


@pytest.mark.parametrize("missing", ["listenAddress", "port"])
def test_empty_address_or_port_is_refused_with_a_clear_line(opened, missing):
    client = opened.client()
    opened.members["db1"]["status"][missing] = ""
    opened.publish("db1")
    assert end_of(client) == "rst"
    opened.acknowledged()
    line = opened.proxy.wait_for_log("address or port is empty")
    assert "level=error" in line and "db=db1" in line
    holds_for(lambda: probe(opened.proxy.port) == "closed", 0.3, step=0.02)


@pytest.mark.parametrize("listen, leader", [
    ("127.0.0.1", "127.0.0.1"), ("127.0.0.1,::1", "localhost"), ("127.0.0.1", "0.0.0.0"),
    ("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.9"), ("::1", "::1"), ("::", "::1"),
    ("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::"), ("::", "0.0.0.0"),
])
def test_loop_to_our_own_listener_is_refused(stage, listen, leader):
    host = "::1" if listen == "::1" else "127.0.0.1"
    stage.start_proxy(listen=listen)
    stage.members["db1"]["status"] = {"listenAddress": leader, "port": str(stage.proxy.port)}
    stage.publish("db1")
    stage.proxy.wait_for_log("leads back to this proxy")
    before = stage.proxy.fd_count()
    assert probe(stage.proxy.port, host) == "closed"
    holds_for(lambda: stage.proxy.fd_count() <= before + 1, 0.2)
    stage.acknowledged()
    # It heals by itself.
    stage.members["db1"]["status"]["listenAddress"] = "127.0.0.1"
    stage.members["db1"]["status"]["port"] = str(stage.servers["db1"].port)
    stage.publish("db1")
    stage.acknowledged()
    wait_for_probe(stage.proxy.port, "forwards", host=host)


def test_refused_connection_closes_the_client_at_once(opened):
    opened.servers["db1"].close()
    began = time.monotonic()
    with connect(opened.proxy.port) as s:
        assert end_of(s) in ("fin", "rst")
    assert time.monotonic() - began < 1
    opened.proxy.wait_for_log("session .*reason=connect.* by=server")


def test_connect_time_out_closes_the_client(stage):
    """A server whose queue is full answers no connect."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    stage.members["db1"]["status"]["port"] = str(port)
    stage.start_proxy("--connect-timeout=300ms")
    stage.publish("db1")
    stage.acknowledged()
    stage.proxy.wait_for_log("routing to the leader")
    filling = [socket.socket() for _ in range(4)]
    for s in filling:
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
    began = time.monotonic()
    with connect(stage.proxy.port) as s:
        end_of(s)
    assert 0.25 < time.monotonic() - began < 1.0
    stage.proxy.wait_for_log("session .*closed.*timeout")
    for s in filling + [full]:
        s.close()


def test_leader_that_starts_later_is_reached_without_a_change(stage):
    server = RecordingServer()
    port = server.port
    server.close()
    stage.members["db1"]["status"]["port"] = str(port)
    stage.start_proxy()
    stage.publish("db1")
    stage.acknowledged()
    wait_until(lambda: probe(stage.proxy.port) == "closed")
    server = RecordingServer(port=port)
    wait_for_probe(stage.proxy.port, "forwards")
    with connect(stage.proxy.port) as s:
        assert echoes(s)
    server.close()
