"""The table of situations of a check: what each does to the listener, to open
sessions and to our ProxyInfo, and whether the check counts as good.

"Bad" checks are told from good ones by the deadline: it cuts, and closes the
listener, only if no check has been good for a proxyTimeout."""

import time

import pytest

from harness import (cluster_data, echoes, end_of, holds_for, is_listening, probe, wait_for_probe,
                     wait_until)

INTERVAL, TIMEOUT = 0.1, 0.8
PAST_TIMEOUT = TIMEOUT + 2 * INTERVAL


@pytest.fixture
def fast(stage):
    """Forwards to db1, with timings in force that let a deadline pass soon."""
    stage.timings = {"check_interval": "100ms", "proxy_timeout": "800ms"}
    stage.start_proxy()
    stage.open("db1")
    stage.store.wait_for_info(stage.proxy.uid, lambda i: i["ProxyTimeout"] == 800000000)
    return stage


def assert_cut_at_deadline(stage, client, since):
    """since: when the last good read may have been sent, at the latest."""
    assert end_of(client, 5) == "rst"
    took = time.monotonic() - since
    assert TIMEOUT - INTERVAL - 0.1 < took < TIMEOUT + 0.25, took
    stage.proxy.wait_for_log("nobody has confirmed the leader in time")


def assert_checks_are_good(stage):
    """No deadline passes: the listener stays open."""
    holds_for(lambda: is_listening(stage.proxy.port), PAST_TIMEOUT, "it stopped listening",
              step=0.02)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


def assert_publishes(stage, yes):
    before = stage.store.info_text(stage.proxy.uid)
    if yes:
        stage.store.wait_for_new_info(stage.proxy.uid, 2)
    else:
        holds_for(lambda: stage.store.info_text(stage.proxy.uid) == before, 3 * INTERVAL,
                  "it published")


@pytest.mark.parametrize("stop_listening", [True, False])
def test_unreachable_store_cuts_at_the_timeout_and_closes_the_listener_if_asked(
        stage, stop_listening):
    stage.timings = {"check_interval": "100ms", "proxy_timeout": "800ms"}
    stage.start_proxy(f"--stop-listening={str(stop_listening).lower()}")
    stage.open("db1")
    stage.store.wait_for_info(stage.proxy.uid, lambda i: i["ProxyTimeout"] == 800000000)
    client = stage.client()
    lost_at = time.monotonic()
    stage.store.lose()
    stage.proxy.wait_for_log("cannot read the cluster data")
    assert echoes(client)
    assert_cut_at_deadline(stage, client, lost_at)
    if stop_listening:
        stage.proxy.wait_for_log("listening no more")
        wait_for_probe(stage.proxy.port, "refused")  # the workers let go a moment later
    else:
        assert probe(stage.proxy.port) == "closed"
    stage.store.bring_back()
    wait_for_probe(stage.proxy.port, "forwards")
    assert_publishes(stage, True)


def test_unreachable_store_at_start_is_not_fatal_and_nothing_listens(stage):
    stage.store.lose()
    stage.start_proxy()
    stage.proxy.wait_for_log("cannot read the cluster data")
    assert probe(stage.proxy.port) == "refused"
    stage.store.bring_back()
    stage.publish("db1")
    wait_for_probe(stage.proxy.port, "forwards")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", '{"proxy":{"generation":"x"}}'])
def test_undecodable_data_leaves_all_until_the_timeout(fast, text):
    client = fast.client()
    put_at = time.monotonic()
    fast.store.put(text)
    fast.proxy.wait_for_log("cannot be decoded")
    assert_publishes(fast, False)
    assert echoes(client)
    assert_cut_at_deadline(fast, client, put_at)
    wait_for_probe(fast.proxy.port, "refused")
    fast.publish("db1")
    wait_for_probe(fast.proxy.port, "forwards")


@pytest.mark.parametrize("absent", [True, False], ids=["absent", "null"])
def test_absent_data_closes_publishes_nothing_and_is_good(fast, absent):
    client = fast.client()
    if absent:
        fast.store.delete()
    else:
        fast.store.put("null")
    assert end_of(client) == "rst"
    fast.proxy.wait_for_log("there is no cluster data")
    assert_publishes(fast, False)
    assert fast.store.proxies() == [fast.proxy.uid]
    assert_checks_are_good(fast)
    assert probe(fast.proxy.port) == "closed"


def test_bad_spec_closes_at_once_is_bad_and_listens_again_after_the_timeout(fast):
    client = fast.client()
    put_at = time.monotonic()
    fast.store.put({**fast.document("db1"), "formatVersion": 2})
    assert end_of(client) == "rst"
    assert time.monotonic() - put_at < TIMEOUT / 2
    assert_publishes(fast, False)
    fast.proxy.wait_for_log("listening no more")
    mark = fast.proxy.mark()
    wait_for_probe(fast.proxy.port, "closed", 2)
    holds_for(lambda: probe(fast.proxy.port) == "closed", PAST_TIMEOUT,
              "it accepts and closes for ever", step=0.02)
    assert not fast.proxy.find_log("confirmed the leader in time", mark)


@pytest.mark.parametrize("generation, change", [
    (0, lambda d: d.update(proxy=None)),
    (77, lambda d: d["proxy"].update(generation=77, spec={})),
    (77, lambda d: d["proxy"].update(generation=77, spec={"masterDbUid": "nosuch"})),
], ids=["no-proxy-object", "no-leader", "unknown-leader"])
def test_without_a_leader_it_closes_then_publishes_and_is_good(fast, generation, change):
    client = fast.client()
    document = fast.document("db1")
    change(document)
    fast.store.put(document)
    fast.store.wait_for_generation(fast.proxy.uid, generation)
    assert fast.servers["db1"].connections[-1].wait_for_end(1) == "rst"
    assert end_of(client) == "rst"
    assert_publishes(fast, True)
    assert probe(fast.proxy.port) == "closed"
    assert_checks_are_good(fast)


def test_without_a_leader_the_check_is_good_even_if_the_publish_fails(fast):
    client = fast.client()
    fast.store.refuse_info()
    fast.publish("")
    assert end_of(client) == "rst"
    fast.proxy.wait_for_log("cannot write our proxy info")
    assert_checks_are_good(fast)
    fast.store.accept_info()
    fast.acknowledged()


def test_failing_publish_leaves_sessions_until_the_timeout(fast):
    client = fast.client()
    refused_at = time.monotonic()
    fast.store.refuse_info()
    fast.proxy.wait_for_log("cannot write our proxy info")
    assert echoes(client)
    assert_cut_at_deadline(fast, client, refused_at)
    fast.store.accept_info()
    wait_for_probe(fast.proxy.port, "forwards")


def test_new_leader_is_not_opened_while_the_publish_fails(fast):
    client = fast.client()
    fast.store.refuse_info()
    fast.publish("db2")
    assert end_of(client) == "rst"
    fast.proxy.wait_for_log("cannot write our proxy info")
    holds_for(lambda: not fast.servers["db2"].connections and
              probe(fast.proxy.port) != "forwards", PAST_TIMEOUT, "opened unacknowledged",
              step=0.02)
    fast.store.accept_info()
    fast.acknowledged()
    wait_for_probe(fast.proxy.port, "forwards")
    assert fast.servers["db2"].connections


def test_not_enabled_closes_and_publishes_and_is_good(fast):
    client = fast.client()
    fast.publish("db1", enabled=["00000000"])
    assert end_of(client) == "rst"
    fast.acknowledged()
    assert_publishes(fast, True)
    assert probe(fast.proxy.port) == "closed"
    assert_checks_are_good(fast)
    fast.open("db1")


def test_sessions_survive_what_does_not_concern_their_leader(fast):
    client = fast.client()
    fast.publish("db1")
    fast.acknowledged()
    fast.members["db1"]["status"]["healthy"] = False
    fast.members["db1"]["spec"]["role"] = "standby"
    fast.members["db2"]["status"]["listenAddress"] = "192.0.2.1"
    fast.publish("db1")
    fast.acknowledged()
    fast.publish("db1", enabled=["00000000", fast.proxy.uid])
    fast.acknowledged()
    assert echoes(client)
    assert len(fast.servers["db1"].live()) == 1


def test_other_address_of_the_same_leader_cuts_and_opens_there(fast):
    client = fast.client()
    fast.members["db1"]["status"]["port"] = str(fast.servers["db2"].port)
    fast.publish("db1")
    assert end_of(client) == "rst"
    fast.acknowledged()
    wait_for_probe(fast.proxy.port, "forwards")
    assert fast.servers["db2"].connections


def test_leader_change_without_a_pause_cuts_before_it_publishes(fast):
    """stolon always passes through "no leader"; if that was missed, it is the same."""
    client = fast.client()
    fast.publish("db2")
    fast.acknowledged()
    assert fast.servers["db1"].connections[-1].wait_for_end(1) == "rst"
    assert end_of(client) == "rst"
    wait_for_probe(fast.proxy.port, "forwards")


def test_data_for_another_cluster_is_not_read(fast, tmp_path):
    client = fast.client()
    other = tmp_path / "store" / "stolon" / "cluster" / "other"
    other.mkdir()
    (other / "clusterdata").write_text("{")
    fast.publish("db1")
    fast.acknowledged()
    assert echoes(client)


def test_generation_is_echoed_as_64_bits(fast):
    fast.store.put(cluster_data(2**62, "", (), fast.members.values(), "100ms", "800ms"))
    fast.store.wait_for_generation(fast.proxy.uid, 2**62)


def test_going_back_in_generations_is_followed(fast):
    """A cluster that was initialised anew starts again at 1."""
    fast.store.put(cluster_data(1, "", (), fast.members.values(), "100ms", "800ms"))
    fast.store.wait_for_generation(fast.proxy.uid, 1)
    wait_until(lambda: not fast.servers["db1"].live())
