"""One behaviour on every store: directory, etcd v2 and v3, etcd with TLS, client
certificates and an account, Consul, Consul with TLS, client certificates and a
token."""

import json
import re
import signal
import time

import pytest

from harness import echoes, end_of, holds_for, probe, wait_for_probe, wait_until
from harness.stores import KINDS

pytest_plugins = ["harness.consul_stage"]

MOST_KB = 5 * 1024


# Without TLS etcd and Consul have tests of their own.
FULL_ONLY = {"etcdv3", "consul"}


@pytest.fixture(scope="module", params=[
    pytest.param(k, marks=[pytest.mark.full] if k in FULL_ONLY else []) for k in KINDS])
def kind(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param.startswith("consul"):
        made = KINDS[request.param](folder, request.getfixturevalue("consul_program"))
    else:
        made = KINDS[request.param](folder)
    yield made
    made.close()


@pytest.fixture
def stage(kind, make_store_stage):
    return make_store_stage(kind.new_store())


def test_a_change_is_followed_by_the_watch(stage):
    """Cut, acknowledged, opened, long before the next read."""
    stage.ready(check_interval="4s", proxy_timeout="15s")
    for new in ("db2", "db1", "db2"):
        client = stage.client()
        acknowledged, opened = stage.change_leader(new)
        assert end_of(client) == "rst"
        assert acknowledged < 1 and opened < 1, (acknowledged, opened)


def test_nothing_is_acknowledged_before_the_old_session_has_ended(stage):
    stage.ready()
    for _ in range(5):
        with stage.client():
            session = stage.servers["db1"].connections[-1]
            stage.publish("")
            stage.acknowledged()
            # The server has the reset by now; reading it may take a moment.
            wait_until(lambda s=session: s.end, 1)
            assert session.end == "rst"
        stage.open("db1")


def test_proxyinfo_is_exactly_what_stolon_writes(stage):
    stage.ready(proxy_timeout="15s")
    text = stage.store.info_text(stage.proxy.uid)
    assert re.fullmatch(r'\{"infoUID":"[0-9a-f]{8}","UID":"' + stage.proxy.uid +
                        r'","Generation":\d+,"ProxyTimeout":15000000000\}', text)
    assert stage.store.proxies() == [stage.proxy.uid]


def test_every_check_publishes_a_new_infouid(stage):
    stage.ready(check_interval="500ms", proxy_timeout="5s")
    seen = set()
    for _ in range(4):
        seen.add(stage.store.wait_for_new_info(stage.proxy.uid)["infoUID"])
    assert len(seen) == 4


def test_a_generation_alone_cuts_nobody(stage):
    stage.ready()
    client = stage.client()
    for _ in range(3):
        stage.publish("db1")
        stage.acknowledged()
    assert echoes(client)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_exit_withdraws_proxyinfo(stage, number):
    stage.ready()
    client = stage.client()
    code, seconds = stage.proxy.stop(number)
    assert code == 0 and seconds < 2
    assert end_of(client) == "rst"
    assert stage.store.proxies() == []


def test_two_proxies_each_have_their_own_key(stage):
    stage.ready()
    first = stage.proxy
    second = stage.start_proxy()
    stage.publish("db1", enabled=[first.uid, second.uid])
    for proxy in (first, second):
        stage.store.wait_for_generation(proxy.uid, stage.generation)
    assert sorted(stage.store.proxies()) == sorted([first.uid, second.uid])
    second.stop()
    assert stage.store.proxies() == [first.uid]


def test_data_that_cannot_be_decoded_acknowledges_nothing_and_cuts_at_the_deadline(stage):
    stage.ready(check_interval="500ms", proxy_timeout="2s")
    client = stage.client()
    before = stage.store.info_text(stage.proxy.uid)
    stage.store.put('{"formatVersion": 1, ')
    stage.proxy.wait_for_log("cannot be decoded")
    assert end_of(client, 5) == "rst"
    assert json.loads(stage.store.info_text(stage.proxy.uid) or before)["Generation"] == \
        stage.generation
    stage.open("db1")


def test_absent_data_closes(stage):
    stage.ready()
    client = stage.client()
    stage.store.delete()
    assert end_of(client) == "rst"
    assert probe(stage.proxy.port) == "closed"
    stage.open("db2")


def test_a_store_out_of_reach_is_fenced_at_the_deadline_and_found_again(kind, stage):
    stage.ready("--store-timeout=500ms", check_interval="500ms", proxy_timeout="2s")
    client = stage.client()
    began = time.monotonic()
    kind.silence()
    try:
        assert end_of(client, 10) == "rst"
        took = time.monotonic() - began
        wait_until(lambda: probe(stage.proxy.port) == "refused", 3)
    finally:
        kind.end_silence()
    assert 1.3 < took < 2.5
    stage.proxy.wait_for_log("nobody has confirmed the leader in time")
    wait_for_probe(stage.proxy.port, "forwards", 15)
    stage.change_leader("db2", 10)


def test_a_short_outage_cuts_nobody(kind, stage):
    stage.ready("--store-timeout=500ms", check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    kind.silence()
    try:
        stage.proxy.wait_for_log("cannot read the cluster data")
        holds_for(lambda: echoes(client), 1.0)
    finally:
        kind.end_silence()
    stage.store.wait_for_new_info(stage.proxy.uid, 10)
    assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


def test_a_large_document_is_read(stage):
    """400 kB, several reads of a socket and many TLS records."""
    stage.ready()
    stage.add_member("x" * 1000, port=1)
    for i in range(300):
        stage.members[f"m{i}"] = {**stage.members["db1"], "uid": f"m{i}",
                                  "padding": "p" * 1200}
    stage.change_leader("db2")


def test_anonymous_memory_stays_small(stage):
    stage.ready(check_interval="200ms", proxy_timeout="2s")
    for turn in range(10):
        stage.change_leader("db2" if turn % 2 == 0 else "db1")
    assert stage.proxy.memory_kb() <= MOST_KB


def test_descriptors_do_not_pile_up(stage):
    stage.ready(check_interval="100ms", proxy_timeout="2s")
    before = stage.proxy.fd_count()
    for turn in range(10):
        stage.change_leader("db2" if turn % 2 == 0 else "db1")
    wait_until(lambda: stage.proxy.fd_count() <= before + 2, 5,
               lambda: f"{before} before, {stage.proxy.fd_count()} now")
