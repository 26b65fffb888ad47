"""A leader that is known by name: what its sessions meet when the name changes."""

import time

import pytest

from harness import (NameServer, RecordingServer, echoes, end_of, holds_for, probe,
                     wait_for_probe)

NAME = "leader.test"
# Longer than one round of questions, which comes at least every second.
ROUND = 1.2


@pytest.fixture
def names():
    server = NameServer({NAME: ["127.0.0.1"]})
    yield server
    server.close()


@pytest.fixture
def named(stage, names):
    """Forwards to db1 by its name."""
    stage.timings = {"check_interval": "100ms", "proxy_timeout": "5s"}
    stage.add_member("db1", address=NAME)
    stage.start_proxy("--store-timeout=2s", names.option)
    stage.open("db1")
    stage.store.wait_for_info(stage.proxy.uid, lambda i: i["ProxyTimeout"] == 5000000000)
    return stage


def wait_for_round(names):
    """Until an answer that was given after this call has arrived: the one behind it
    is asked for."""
    names.wait_for_queries(4)


def test_session_survives_an_answer_that_still_holds_its_address(named, names):
    """Also behind another address: rotation cuts nobody."""
    client = named.client()
    for addresses in (["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.3"],
                      ["::1", "127.0.0.1"]):
        names.answers[NAME] = addresses
        wait_for_round(names)
        assert echoes(client)
    assert len(named.servers["db1"].live()) >= 1


def test_session_ends_when_the_name_loses_its_address(named, names):
    client = named.client()
    names.answers[NAME] = ["127.0.0.2"]
    assert end_of(client, 5) == "rst"
    named.proxy.wait_for_log("reason=address-gone")


def test_name_that_vanishes_ends_its_sessions_and_comes_back(named, names):
    client = named.client()
    del names.answers[NAME]
    assert end_of(client, 5) == "rst"
    named.proxy.wait_for_log("cannot be resolved")
    assert probe(named.proxy.port) == "closed"
    names.answers[NAME] = ["127.0.0.1"]
    wait_for_probe(named.proxy.port, "forwards")


def test_name_that_loses_all_addresses_ends_its_sessions(named, names):
    client = named.client()
    names.answers[NAME] = []
    assert end_of(client, 5) == "rst"
    named.proxy.wait_for_log("cannot be resolved")


def test_silent_name_server_changes_nothing(named, names):
    """The last answer holds; checks go on, and a cut does not wait for it."""
    client = named.client()
    names.fault = "silent"
    wait_for_round(names)
    for _ in range(3):
        named.store.wait_for_new_info(named.proxy.uid)
    assert echoes(client)
    assert probe(named.proxy.port) == "forwards"
    began = time.monotonic()
    named.publish("")
    named.acknowledged()
    assert time.monotonic() - began < 0.3
    assert end_of(client) == "rst"


def test_new_leader_whose_name_is_not_answered_waits_closed(named, names):
    client = named.client()
    names.fault = "silent"
    named.members["db2"]["status"]["listenAddress"] = "other.test"
    published = named.store.info(named.proxy.uid)["Generation"]
    named.publish("db2")
    assert end_of(client, 1) == "rst"
    holds_for(lambda: probe(named.proxy.port) == "closed", ROUND, step=0.02)
    assert named.store.info(named.proxy.uid)["Generation"] == published
    names.answers["other.test"] = ["127.0.0.1"]
    names.fault = None
    wait_for_probe(named.proxy.port, "forwards", 15)
    assert named.servers["db2"].connections


def test_second_address_is_tried_when_the_first_refuses(named, names):
    names.answers[NAME] = ["127.0.0.9", "127.0.0.1"]  # nobody listens on the first
    wait_for_round(names)
    wait_for_probe(named.proxy.port, "forwards")


def test_leader_that_comes_back_is_routed_without_a_question(named, names):
    """What was known of its name still holds."""
    names.ttl = 30
    names.wait_for_queries(2)
    named.publish("db2")
    named.acknowledged()
    wait_for_probe(named.proxy.port, "forwards")
    names.fault = "silent"
    before = len(named.servers["db1"].connections)
    start = named.proxy.mark()
    named.publish("db1")
    named.acknowledged(1)
    wait_for_probe(named.proxy.port, "forwards", 1)
    assert len(named.servers["db1"].connections) > before
    assert not named.proxy.find_log("being resolved", start)


def test_listens_on_a_name_once_it_resolves(stage, names):
    stage.start_proxy(names.option, listen="later.test")
    stage.publish("db1")
    stage.proxy.wait_for_log("cannot listen")
    names.answers["later.test"] = ["127.0.0.1"]
    wait_for_probe(stage.proxy.port, "forwards")


def test_exit_is_quick_while_names_are_looked_up(named, names):
    names.fault = "silent"
    wait_for_round(names)
    code, took = named.proxy.stop()
    assert code == 0 and took < 2


@pytest.mark.parametrize("prefer, families", [
    (None, "46"), ("ipv4", "46"), ("ipv6", "64"), ("ipv4-only", "4"), ("ipv6-only", "6")])
def test_preferred_family_is_connected_to(stage, names, prefer, families):
    """And the other one if it does not answer, unless one was to be used alone."""
    first = stage.add_member("db1", address=NAME, host="127.0.0.1")
    servers = {"4": first, "6": RecordingServer(host="::1", port=first.port)}
    stage.servers["other"] = servers["6"]
    names.answers[NAME] = ["::1", "127.0.0.1"]
    stage.start_proxy(names.option, *([f"--dns-prefer={prefer}"] if prefer else []))
    stage.open("db1")
    wanted = servers[families[0]]
    assert wanted.connections and not servers["46".replace(families[0], "")].connections
    wanted.close()
    wait_for_probe(stage.proxy.port, "forwards" if len(families) > 1 else "closed")
