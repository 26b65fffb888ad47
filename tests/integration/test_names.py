"""A leader that is known by name, with a name server that misbehaves."""

import time

import pytest

from harness import (NameServer, echoes, end_of, holds_for, probe, wait_for_probe, wait_until)

pytestmark = pytest.mark.skipif(not NameServer.is_possible(),
                                reason="needs root and mount namespaces")
NAME = "leader.test"
# Longer than one refresh of the name, which comes with every check.
REFRESHES = 0.4


@pytest.fixture
def names(tmp_path):
    server = NameServer(str(tmp_path), {NAME: ["127.0.0.1"]})
    yield server
    server.close()


@pytest.fixture
def named(stage, names):
    """Forwards to db1 by its name."""
    stage.timings = {"check_interval": "100ms", "proxy_timeout": "5s"}
    stage.add_member("db1", address=NAME)
    stage.start_proxy("--store-timeout=2s", launcher=names.launcher)
    stage.open("db1")
    stage.store.wait_for_info(stage.proxy.uid, lambda i: i["ProxyTimeout"] == 5000000000)
    return stage


def wait_for_refresh(names):
    before = names.queries
    wait_until(lambda: names.queries >= before + 4)


def test_session_survives_an_answer_that_still_holds_its_address(named, names):
    """Also behind another address: rotation cuts nobody."""
    client = named.client()
    for addresses in (["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.3"],
                      ["::1", "127.0.0.1"]):
        names.answers[NAME] = addresses
        wait_for_refresh(names)
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


def test_silent_name_server_changes_nothing(named, names):
    """The last answer holds; checks go on, and a cut does not wait for it."""
    client = named.client()
    names.silent = True
    wait_for_refresh(names)
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
    names.silent = True
    named.members["db2"]["status"]["listenAddress"] = "other.test"
    published = named.store.info(named.proxy.uid)["Generation"]
    named.publish("db2")
    assert end_of(client, 1) == "rst"
    holds_for(lambda: probe(named.proxy.port) == "closed", REFRESHES, step=0.02)
    assert named.store.info(named.proxy.uid)["Generation"] == published
    names.answers["other.test"] = ["127.0.0.1"]
    names.silent = False
    wait_for_probe(named.proxy.port, "forwards", 10)
    assert named.servers["db2"].connections


def test_second_address_is_tried_when_the_first_refuses(named, names):
    names.answers[NAME] = ["127.0.0.9", "127.0.0.1"]  # nobody listens on the first
    wait_for_refresh(names)
    wait_for_probe(named.proxy.port, "forwards")


def test_hosts_file_comes_first(stage, names):
    with open(names.hosts, "a", encoding="utf-8") as f:
        f.write("127.0.0.1 in-hosts\n")
    stage.add_member("db1", address="in-hosts")
    stage.start_proxy(launcher=names.launcher)
    stage.open("db1")


def test_listens_on_a_name_once_it_resolves(stage, names):
    stage.start_proxy(listen="later.test", launcher=names.launcher)
    stage.publish("db1")
    stage.proxy.wait_for_log("cannot listen")
    names.answers["later.test"] = ["127.0.0.1"]
    wait_for_probe(stage.proxy.port, "forwards")


def test_exit_is_quick_while_names_are_looked_up(named, names):
    names.silent = True
    wait_for_refresh(names)
    code, took = named.proxy.stop()
    assert code == 0 and took < 2
