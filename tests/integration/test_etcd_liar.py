"""A store that misbehaves: memory stays bounded, the log names the endpoint,
nothing is forwarded or acknowledged on a doubt, and it recovers."""

import json
import re
import time

import pytest

from harness import echoes, end_of, holds_for, probe, wait_for_probe, wait_until
from harness import liar as lies
from harness.etcd_store import encode

pytest_plugins = ["harness.etcd_stage"]

MEGABYTE = 1024  # kB
MOST_KB = 48 * MEGABYTE


@pytest.fixture
def liar(shared_etcd):
    server = lies.Liar(shared_etcd.url)
    yield server
    server.close()


@pytest.fixture
def lied_to(liar, shared_etcd, make_stage):
    """A stage whose proxy knows etcd only by way of the liar."""
    return make_stage([shared_etcd.url], [liar.url])


SHORT = {"check_interval": "500ms", "proxy_timeout": "2s"}

# What every read meets, and what the log says of it.
FAULTS = {
    "silent": (lies.silent, "no answer in time"),
    "late": (lies.delayed(3), "no answer in time"),
    "error 500": (lies.status(500), "HTTP 500 it does not work"),
    "error 503 of 3.4": (lies.status(503, '{"error":"etcdserver: request timed out","code":14}'),
                         "HTTP 503.*request timed out"),
    "unknown 400": (lies.status(400, "what?"), "HTTP 400"),
    "empty": (lies.status(200, ""), "HTTP 200, which is not what"),
    "page": (lies.status(200, "<html>hello</html>"), "HTTP 200, which is not what was asked for: <html>hello"),
    "empty object": (lies.status(200, "{}"), "HTTP 200, which is not what"),
    "wrong types": (lies.status(200, '{"header":{"cluster_id":"9"},"kvs":[{"value":3}]}'),
                    "HTTP 200, which is not what"),
    "garbage": (lies.garbage, "bad answer"),
    "redirects": (lies.redirect, "HTTP 302"),
    "cut in a chunk": (lies.cut_in_chunk, "connection lost"),
    "length too long": (lies.length_too_long, "connection lost"),
    "length too short": (lies.length_too_short, "HTTP 200, which is not what"),
    "100 MB": (lies.huge(100 << 20), "too large"),
    "countless parts": (lies.huge(7 << 20, b'{},' * 20000, b'{"header":{},"x":['), "HTTP 200, which is not what"),
    "endless headers": (lies.endless_headers, "too large"),
    "trickle": (lies.trickle, "no answer in time"),
}

QUICK = {"silent", "error 500", "100 MB", "trickle"}


@pytest.mark.parametrize("fault", [
    f if f in QUICK else pytest.param(f, marks=pytest.mark.full) for f in FAULTS])
def test_reads_that_lie_are_an_outage_until_the_deadline(liar, lied_to, fault):
    rule, says = FAULTS[fault]
    stage = lied_to.ready("--store-timeout=1s", **SHORT)
    client = stage.client()
    liar.rule(rule)
    lied_since = time.monotonic()
    line = stage.proxy.wait_for_log(r"cannot read the cluster data")
    assert re.search(re.escape(liar.url), line) and re.search(says, line), line
    assert echoes(client)
    most = 0

    def cut():
        nonlocal most
        most = max(most, stage.proxy.memory_kb())
        return stage.servers["db1"].connections[-1].end

    wait_until(cut, 5, step=0.002)
    last_good = max(r.at for r in liar.seen("range") if r.at < lied_since)
    assert 2.0 - 0.1 < stage.servers["db1"].connections[-1].ended_at - last_good < 2.0 + 0.3
    assert end_of(client) == "rst"
    wait_until(lambda: probe(stage.proxy.port) == "refused", 1, "a closed listener")
    assert most < MOST_KB, most
    # What happens meanwhile is neither acknowledged nor routed to.
    before = stage.store.info_text(stage.proxy.uid)
    stage.publish("")
    stage.publish("db2")
    holds_for(lambda: stage.store.info_text(stage.proxy.uid) == before, 0.8, step=0.02)
    assert not stage.servers["db2"].connections
    liar.be_honest()
    wait_for_probe(stage.proxy.port, "forwards", 3)
    stage.acknowledged()
    stage.proxy.wait_for_log("the cluster data can be read again")
    assert stage.servers["db2"].connections


@pytest.mark.parametrize("fault", ["silent", pytest.param("late", marks=pytest.mark.full),
                                   pytest.param("error 500", marks=pytest.mark.full),
                                   pytest.param("garbage", marks=pytest.mark.full)])
def test_no_opening_while_acknowledgements_fail(liar, lied_to, fault):
    """Reads are fine, writes are not: a cut takes place, an opening does not."""
    stage = lied_to.ready("--store-timeout=1s", **SHORT)
    client = stage.client()
    liar.rule(FAULTS[fault][0], "txn")
    began = time.monotonic()
    stage.publish("")
    assert end_of(client) == "rst"
    assert time.monotonic() - began < 0.5
    stage.publish("db2")
    stage.proxy.wait_for_log("cannot write our proxy info.*" + re.escape(liar.url))
    holds_for(lambda: not stage.servers["db2"].connections and
              probe(stage.proxy.port) != "forwards", 2, step=0.05)
    liar.be_honest()
    wait_for_probe(stage.proxy.port, "forwards", 4)
    stage.acknowledged()
    assert stage.servers["db2"].connections


@pytest.mark.full
def test_replies_late_by_less_than_the_timeout_do_not_cut(liar, lied_to):
    stage = lied_to.ready("--store-timeout=2s", check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    liar.rule(lies.delayed(0.7), "range", "txn", "grant", "keepalive")
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid, 4)
    assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


def test_the_key_never_loses_its_lease_when_keepalives_are_late(liar, lied_to):
    """A late "that lease is gone" between two tries of a put once made a key that
    stayed for ever."""
    stage = lied_to.ready("--store-timeout=2s", check_interval="200ms", proxy_timeout="5s")
    client, uid = stage.store.client, stage.proxy.uid
    liar.rules(keepalive=lies.delayed(0.35), txn=lies.delayed(0.1))
    for _ in range(6):
        client.revoke(stage.store.lease_of(uid))
        for _ in range(4):
            stage.store.wait_for_new_info(uid, 3)
            assert stage.store.lease_of(uid), "a key without lease"


# The watch


def created_and_canceled(request):
    request.begin_chunks()
    request.chunk(lies.frame(header={"cluster_id": "7", "revision": "5"}, watch_id="-1",
                             created=True, canceled=True, cancel_reason="permission denied"))
    request.wait()


def compacted(request):
    request.begin_chunks()
    request.chunk(lies.frame(header={"revision": "5"}, created=True))
    request.chunk(lies.frame(header={}, canceled=True, compact_revision="8"))
    request.wait()


def dumb(request):
    """Created, and then nothing."""
    def only_created(text):
        return text if "created" in text else ""
    request.forward(only_created)


def unreadable_frames(request):
    request.begin_chunks()
    for _ in range(1000):
        request.chunk('{"result":{"events":[{"kv":\n')
    request.wait()


def endless_line(request):
    request.begin_chunks()
    request.chunk(b'{"result":{"x":"')
    while not request.liar.stopping:
        request.chunk(b"x" * 65536)


def far_future(request):
    body = json.loads(request.body)
    body["create_request"]["start_revision"] = "9000000000000"
    request.body = json.dumps(body).encode()
    request.forward()


WATCH_FAULTS = {
    "never created": lies.silent,
    "created and canceled": created_and_canceled,
    "compacted": compacted,
    "goes dumb": dumb,
    "unreadable frames": unreadable_frames,
    "endless line": endless_line,
    "future revision": far_future,
    "error 401": lies.status(401, '{"error":"etcdserver: invalid auth token","code":16}'),
    "cut in a chunk": lies.cut_in_chunk,
    "trickle": lies.trickle,
    "redirects": lies.redirect,
}


QUICK_WATCH = {"created and canceled", "goes dumb"}


@pytest.mark.parametrize("fault", [
    f if f in QUICK_WATCH else pytest.param(f, marks=pytest.mark.full) for f in WATCH_FAULTS])
def test_a_bad_watch_delays_a_change_by_one_interval_at_most(liar, shared_etcd, make_stage, fault):
    stage = make_stage([shared_etcd.url], [liar.url])
    liar.rule(WATCH_FAULTS[fault], "watch")
    stage.ready("--store-timeout=1s", check_interval="1s", proxy_timeout="5s")
    client = stage.client()
    most = 0
    for uid in ("db2", "db1"):
        began = time.monotonic()
        stage.publish("")
        stage.acknowledged(3)
        assert time.monotonic() - began < 1 + 0.3
        began = time.monotonic()
        stage.publish(uid)
        stage.new_client().close()
        assert time.monotonic() - began < 1 + 0.3
        most = max(most, stage.proxy.memory_kb())
    assert end_of(client) == "rst"
    assert most < MOST_KB, most
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")
    liar.be_honest()

    def is_fast():
        began = time.monotonic()
        stage.publish("")
        stage.acknowledged(3)
        fast = time.monotonic() - began < 0.1
        stage.publish("db1")
        stage.acknowledged(3)
        return fast

    wait_until(is_fast, 10, "the watch does not come back", step=0.1)


def test_a_bad_watch_is_not_tried_in_a_loop(liar, lied_to):
    liar.rule(created_and_canceled, "watch")
    stage = lied_to.ready("--store-timeout=1s", check_interval="1s", proxy_timeout="5s")
    stage.store.wait_for_new_info(stage.proxy.uid)
    before = len(liar.seen("watch"))
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid)
    assert len(liar.seen("watch")) - before < 20


def test_an_old_value_on_the_watch_changes_nothing(liar, lied_to):
    """A watch that repeats the past: neither routed nor acknowledged."""
    stage = lied_to
    kept = []

    def repeat(request):
        def change(text):
            if "events" in text:
                kept.append(text)
                return text + kept[0]
            return text
        request.forward(change)

    liar.rule(repeat, "watch")
    stage.ready(check_interval="1s", proxy_timeout="5s")
    for uid in ("db1", "", "db2"):
        stage.publish(uid)
        stage.acknowledged()
    wait_until(lambda: len(kept) >= 2, what="events")
    client = stage.new_client()
    for _ in range(2):
        stage.store.wait_for_new_info(stage.proxy.uid)
        assert stage.store.info(stage.proxy.uid)["Generation"] == stage.generation
    assert echoes(client)


def test_old_reads_are_refused_loudly(liar, lied_to):
    """A stale member: what it says of the past is no check, though it is an answer."""
    stage = lied_to.ready("--store-timeout=1s", **SHORT)
    old = stage.store.client.call("/kv/range", {"key": encode(stage.store.key)})
    stage.publish("")
    stage.acknowledged()
    stage.publish("db2")
    client = stage.new_client()
    stage.store.wait_for_new_info(stage.proxy.uid)

    def stale(request):
        wanted = json.loads(request.body)["key"] == encode(stage.store.key)
        if wanted:
            request.answer(200, json.dumps(old))
        else:
            request.forward()

    liar.rule(stale, "range")
    stage.proxy.wait_for_log("another cluster, or an older state.*" + re.escape(liar.url))
    assert end_of(client, 4) == "rst"
    # The rest of etcd answers in its right state: it is not taken for another one.
    assert not stage.proxy.find_log("is taken from now on")
    count = len(stage.servers["db1"].connections)
    holds_for(lambda: probe(stage.proxy.port) != "forwards", 1, step=0.05)
    assert len(stage.servers["db1"].connections) == count
    liar.be_honest()
    wait_for_probe(stage.proxy.port, "forwards", 3)


@pytest.mark.parametrize("first_is_bad", [True, pytest.param(False, marks=pytest.mark.full)])
def test_one_bad_endpoint_of_two_is_as_good_as_none(liar, shared_etcd, make_stage, first_is_bad):
    """Whatever it answers, the other one is asked, for reads and for writes."""
    urls = [liar.url, shared_etcd.url]
    stage = make_stage([shared_etcd.url], urls if first_is_bad else urls[::-1])
    stage.ready("--store-timeout=1s", check_interval="300ms", proxy_timeout="2s")
    client = stage.client()
    for fault in ("empty object", "error 500", "garbage", "page", "unknown 400", "redirects",
                  "cut in a chunk", "wrong types", "silent"):
        liar.rule(FAULTS[fault][0])
        for _ in range(3):
            stage.store.wait_for_new_info(stage.proxy.uid, 2)
        assert echoes(client), fault
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


def test_a_passing_404_of_something_in_between_is_no_other_version(liar, lied_to):
    stage = lied_to.ready("--store-timeout=1s", **SHORT)
    liar.rule(lies.status(404, "404 page not found"))
    stage.proxy.wait_for_log("cannot read the cluster data")

    def only_v3(request):
        if request.path.startswith("/v3/"):
            request.forward()
        else:
            request.answer(404, "404 page not found")

    liar.rule(only_v3)  # as releases to come
    wait_for_probe(stage.proxy.port, "forwards", 4)


def test_the_prefix_of_etcd_3_3_is_found(liar, lied_to):
    def only_v3beta(request):
        if request.path.startswith("/v3beta/"):
            request.path = request.path.replace("/v3beta/", "/v3/")
            request.path = request.path.replace("/v3/kv/lease/revoke", "/v3/lease/revoke")
            request.forward()
        else:
            request.answer(404, "404 page not found")

    liar.rule(only_v3beta)
    stage = lied_to.ready(check_interval="4s", proxy_timeout="15s")
    assert stage.change_leader("db2")[0] < 0.5  # by the watch
    stage.proxy.stop()
    assert stage.store.proxies() == []
