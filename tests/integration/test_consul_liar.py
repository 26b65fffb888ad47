"""A Consul that is silent, slow, out of step, or lies: nothing is forwarded or
acknowledged on a doubt, late puts change nothing, and it recovers."""

import json
import re
import threading
import time

import pytest

from harness import echoes, end_of, holds_for, probe, wait_for_probe, wait_until
from harness import liar as lies
from harness.fake_consul import FakeConsul

pytest_plugins = ["harness.consul_stage"]

SHORT = {"check_interval": "500ms", "proxy_timeout": "2s"}
MOST_KB = 48 * 1024


@pytest.fixture
def fake():
    server = FakeConsul()
    yield server
    server.close()


@pytest.fixture
def stage(fake, make_consul_stage):
    return make_consul_stage(fake)


def is_read(request):
    return "clusterdata?consistent" in request.path


def is_poll(request):
    return "clusterdata?index=" in request.path


def is_clusterdata(request):
    return "clusterdata" in request.path


def is_put(request):
    return request.path == "/v1/txn"


FAULTS = {
    "silent": (lies.silent, "no answer in time"),
    "late": (lies.delayed(3), "no answer in time"),
    "no leader": (lies.status(500, "No cluster leader"), "HTTP 500: No cluster leader"),
    "too many requests": (lies.status(429, "Rate limit"), "HTTP 429"),
    "404 of something in between": (lies.status(404, "not here"), "not what Consul sends"),
    "empty": (lies.status(200, ""), "not what Consul sends"),
    "page": (lies.status(200, "<html>hello</html>"), "not what Consul sends"),
    "no index": (lies.status(200, "[]"), "not what Consul sends"),
    "wrong types": (lies.status(200, '[{"ModifyIndex":7,"Value":3}]'), "not what Consul sends"),
    "garbage": (lies.garbage, "bad answer"),
    "redirects": (lies.redirect, "HTTP 302"),
    "cut in a chunk": (lies.cut_in_chunk, "connection lost"),
    "length too long": (lies.length_too_long, "connection lost"),
    "100 MB": (lies.huge(100 << 20), "too large"),
    "endless headers": (lies.endless_headers, "too large"),
    "trickle": (lies.trickle, "no answer in time"),
}
QUICK = {"no leader", "404 of something in between", "100 MB"}


@pytest.mark.parametrize("fault", [
    pytest.param(f, marks=[] if f in QUICK else [pytest.mark.full]) for f in FAULTS])
def test_a_fault_of_the_reads_cuts_at_the_deadline_is_told_and_ends(fake, stage, fault):
    lie, text = FAULTS[fault]
    stage.ready("--store-timeout=1s", **SHORT)
    client = stage.client()
    began = time.monotonic()
    fake.lie(lie, is_clusterdata)
    stage.proxy.wait_for_log(r"cannot read the cluster data.*" + re.escape(fake.url) + ".*" + text)
    assert end_of(client, 10) == "rst"
    assert 1.3 < time.monotonic() - began < 2.6
    wait_until(lambda: probe(stage.proxy.port) == "refused", 3)
    assert stage.proxy.memory_kb() < MOST_KB
    # Once, not a flood: reads fail several times a second.
    assert len(stage.proxy.find_log("cannot read the cluster data")) <= 3
    fake.set_rules()
    wait_for_probe(stage.proxy.port, "forwards", 10)
    stage.proxy.wait_for_log("the cluster data can be read again")
    stage.change_leader("db2")


def test_a_revoked_token_fences_at_the_deadline_and_granted_again_it_recovers(
        fake, make_consul_stage):
    fake.client.token = fake.token = "secret-token"
    stage = make_consul_stage(fake, more=["--store-token=secret-token"])
    stage.ready(**SHORT)
    client = stage.client()
    fake.set_token("another")
    stage.proxy.wait_for_log(r"HTTP 403: ACL not found \(see --store-token\)")
    assert end_of(client, 5) == "rst"
    fake.set_token("secret-token")
    wait_for_probe(stage.proxy.port, "forwards", 10)
    assert "secret-token" not in "\n".join(stage.proxy.log())


def test_a_token_file_that_holds_another_token_is_read_again(fake, make_consul_stage, tmp_path):
    path = tmp_path / "token"
    path.write_text("first\n")
    fake.client.token = fake.token = "first"
    stage = make_consul_stage(fake, more=[f"--store-token-file={path}"])
    stage.ready(**SHORT)
    client = stage.client()
    path.write_text("second\n")
    fake.set_token("second")
    fake.client.token = "second"
    stage.store.wait_for_new_info(stage.proxy.uid)
    stage.store.wait_for_new_info(stage.proxy.uid)
    assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


# Puts out of step


class Held:
    """Puts that arrive and are carried out only when release() says so."""

    def __init__(self, fake):
        self._fake = fake
        self.held = []
        self.released = threading.Event()
        self.results = []
        self.holding = True

    def rule(self, request):
        if not (self.holding and is_put(request)):
            return False
        self.held.append(json.loads(request.body))
        return self._wait(request)

    def _wait(self, request):
        self.released.wait(30)
        with self._fake.changed:
            self.results.append(self._fake.transact(self.held[-1]))
        request.close_connection = True
        return True


def test_a_put_that_is_late_does_not_overtake_a_newer_one(fake, stage):
    stage.ready("--store-timeout=500ms", check_interval="500ms", proxy_timeout="5s")
    held = Held(fake)
    fake.set_rules(held.rule)
    wait_until(lambda: held.held, 5, "a put")
    held.holding = False
    stage.publish("")
    stage.acknowledged()
    text = stage.store.info_text(stage.proxy.uid)
    held.released.set()
    wait_until(lambda: held.results, 5, "the late put")
    assert held.results[0][0] is None, "the late put was carried out"
    assert json.loads(text)["Generation"] == stage.generation
    assert stage.store.info(stage.proxy.uid)["Generation"] == stage.generation


@pytest.mark.parametrize("first", [True, False], ids=["the first put", "a later put"])
def test_a_put_that_is_late_does_not_come_back_after_the_delete(fake, stage, first):
    held = Held(fake)
    if first:
        fake.set_rules(held.rule)
        stage.add_member("db1")
        stage.publish("db1", enabled=[])
        stage.start_proxy("--store-timeout=300ms")
    else:
        stage.ready("--store-timeout=300ms", check_interval="500ms", proxy_timeout="5s")
        fake.set_rules(held.rule)
    wait_until(lambda: held.held, 5, "a put")
    held.holding = False
    if first:
        # Another put with the same session may follow: that is not the late one.
        stage.store.wait_for_info(stage.proxy.uid)
    code, _ = stage.proxy.stop()
    assert code == 0
    assert stage.store.proxies() == []
    held.released.set()
    wait_until(lambda: held.results, 5, "the late put")
    assert stage.store.proxies() == [] and fake.live == {}


def test_a_put_whose_answer_was_lost_is_put_again(fake, stage):
    stage.ready(check_interval="1s", proxy_timeout="5s")
    lost = []

    def rule(request):
        if not is_put(request) or lost:
            return False
        with fake.changed:
            lost.append(fake.transact(json.loads(request.body)))
        request.connection.shutdown(2)
        request.close_connection = True
        return True

    fake.set_rules(rule)
    wait_until(lambda: lost, 5, "a put")
    assert lost[0][1] is None
    stage.store.wait_for_new_info(stage.proxy.uid)
    stage.change_leader("db2")


# The watch


def test_a_watch_that_hangs_is_found_by_the_reads_and_started_again(fake, stage):
    stage.ready(check_interval="500ms", proxy_timeout="5s")
    fake.lie(lies.silent, is_poll)
    polls = len(fake.seen("index="))
    stage.publish("db1")  # by the query that was held before; those from now on hang
    wait_until(lambda: len(fake.seen("index=")) > polls, 5, "a query that hangs")
    polls = len(fake.seen("index="))
    stage.publish("")
    stage.acknowledged(2)
    wait_until(lambda: len(fake.seen("index=")) > polls, 3, "another blocking query")
    fake.set_rules()
    stage.open("db2")


def test_answers_without_news_do_not_keep_it_busy(fake, stage):
    stage.ready(check_interval="4s", proxy_timeout="15s")

    def rule(request):
        if is_poll(request):
            with fake.changed:
                entry = fake.entries[stage.store.key]
            request.answer(200, [entry], entry["ModifyIndex"])
            return True
        return False

    fake.set_rules(rule)
    stage.publish("db1")  # wakes the query that is held
    before = len(fake.seen("index="))
    time_limit = 3.0
    holds_for(lambda: len(fake.seen("index=")) - before < 25, time_limit)


def test_indexes_that_only_pretend_news_are_asked_for_at_a_bounded_rate(fake, stage):
    stage.ready(check_interval="4s", proxy_timeout="15s")
    high = [1000]

    def rule(request):
        if is_poll(request):
            high[0] += 1
            request.answer(200, [fake.entries[stage.store.key]], high[0])
            return True
        return False

    fake.set_rules(rule)
    stage.publish("db1")
    wait_until(lambda: high[0] > 1060, 20, "60 queries")
    times = [r[0] for r in fake.seen("index=")][-40:]
    gaps = sorted(b - a for a, b in zip(times, times[1:]))
    assert gaps[len(gaps) // 2] > 0.009, gaps[:20]


def test_an_index_that_goes_back_is_told_and_taken_when_it_stays(fake, stage):
    stage.ready(check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    for _ in range(30):
        stage.store.client.put("other", "x")
    stage.publish("db1")
    stage.acknowledged()
    fake.set_back(20)
    stage.proxy.wait_for_log("an older state than the known one")
    stage.proxy.wait_for_log("its state is taken as it is")
    assert echoes(client)
    stage.change_leader("db2")
    assert end_of(client) == "rst"


def test_one_answer_that_is_older_moves_nothing(fake, stage):
    """As of a follower that is behind, or of a balancer that went astray."""
    stage.ready(check_interval="500ms", proxy_timeout="5s")
    old = dict(fake.entries[stage.store.key])
    stage.change_leader("db2")
    client = stage.client()
    lied = []

    def rule(request):
        if is_read(request) and not lied:
            lied.append(request.path)
            request.answer(200, [old], old["ModifyIndex"])
            return True
        return False

    fake.set_rules(rule)
    wait_until(lambda: lied, 5)
    stage.proxy.wait_for_log("an older state than the known one")
    stage.store.wait_for_new_info(stage.proxy.uid)
    assert echoes(client)
    assert stage.store.info(stage.proxy.uid)["Generation"] == stage.generation


# The node


def test_a_node_is_registered_and_registered_again_when_it_is_gone(fake, make_consul_stage):
    stage = make_consul_stage(fake, more=["--store-node=my-prefix/abc"])
    stage.ready(check_interval="500ms", proxy_timeout="5s")
    assert fake.nodes["my-prefix/abc"]["Address"]
    assert {made["Node"] for made in fake.live.values()} == {"my-prefix/abc"}
    client = stage.client()
    with fake.changed:
        fake.nodes.clear()
        for session in list(fake.live):
            fake.end_session(session)
    stage.store.wait_for_info(stage.proxy.uid, timeout=5)
    assert "my-prefix/abc" in fake.nodes
    assert echoes(client)
