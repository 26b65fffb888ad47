"""A tree of a store, read and watched: what Patroni's state is to be followed by.

The program under test is store_cli; see harness/tree.py."""

import itertools
import json
import os
import re
import shutil
import signal
import time

import pytest

from harness import holds_for, wait_until
from harness import liar as lies
from harness.etcd import Etcd
from harness.etcd_store import EtcdClient, decode, encode
from harness.fake_consul import FakeConsul
from harness.tree import ConsulTree, EtcdTree, EtcdV2Tree, FileTree, TreeWatcher

pytest_plugins = ["harness.etcd_stage", "harness.consul_stage"]

KINDS = ["file", "etcdv3", "etcdv2", "consul"]

_numbers = itertools.count(1)


def new_prefix():
    return f"/service/t{next(_numbers)}/"


@pytest.fixture
def watch():
    """A function that starts a TreeWatcher on a tree."""
    started = []

    def start(tree, endpoints=None, **keywords):
        started.append(TreeWatcher(tree.backend, endpoints or tree.endpoints, tree.prefix,
                                   **keywords))
        return started[-1]

    yield start
    for watcher in started:
        watcher.close()


@pytest.fixture(scope="module")
def both_etcd(tmp_path_factory):
    """With both of its APIs."""
    server = Etcd(tmp_path_factory.mktemp("etcd-both"), options=["--enable-v2=true"]).start()
    yield server
    server.kill()


@pytest.fixture
def etcd_tree(both_etcd):
    return EtcdTree(both_etcd.client, new_prefix())


@pytest.fixture
def v2_tree(both_etcd):
    return EtcdV2Tree(both_etcd.url, new_prefix())


@pytest.fixture
def consul_tree(shared_consul):
    return ConsulTree(shared_consul.client, new_prefix())


@pytest.fixture(params=KINDS)
def tree(request, tmp_path):
    if request.param == "file":
        return FileTree(tmp_path / "store", new_prefix())
    fixture = {"etcdv3": "etcd_tree", "etcdv2": "v2_tree", "consul": "consul_tree"}
    return request.getfixturevalue(fixture[request.param])


# What all stores promise


def test_a_tree_is_listed_and_each_change_follows(tree, watch):
    seen = watch(tree, read_every=0.05)
    first = seen.wait_for({})
    assert first["fresh"]
    seen.wait_for_read({})
    here = {}

    def change(key, value):
        if value is None:
            tree.delete(key)
            del here[key]
        else:
            tree.put(key, value)
            here[key] = value
        return seen.wait_for(here, 3)

    change("leader", "pg1")
    first = change("members/pg1", '{"role": "primary"}')
    change("config", "")
    last = change("leader", "pg2")
    assert last["items"]["leader"]["mod"] > first["items"]["leader"]["mod"]
    if tree.backend != "etcdv2":  # there, to set a key is to make it anew
        assert last["items"]["leader"]["create"] == first["items"]["leader"]["create"]
    assert last["items"]["leader"]["mod"] <= last["revision"]
    assert last["items"]["members/pg1"] == first["items"]["members/pg1"]
    change("members/pg1", None)
    change("leader", None)
    last = change("leader", "pg1")
    assert last["items"]["leader"]["create"] > first["items"]["leader"]["create"]
    assert list(last["items"]) == sorted(last["items"])
    seen.wait_for_read(here)
    seen.assert_revisions_rise()


def test_what_is_beside_a_tree_is_not_in_it(tree, watch):
    name = tree.prefix.strip("/")
    tree.put("leader", "pg1")
    for beside in (name + "2/leader", name + ".old", "service/leader", name + "-x/members/pg1"):
        tree.put_beside("/" + beside, "other")
    seen = watch(tree)
    seen.wait_for({"leader": "pg1"})
    tree.put_beside("/" + name + "2/leader", "another")
    tree.put("sync", "s")
    seen.wait_for({"leader": "pg1", "sync": "s"})
    assert len(seen.updates) == 2


def test_many_rapid_changes_end_in_the_right_state(tree, watch):
    seen = watch(tree)
    seen.wait_for({})
    here = {}
    for n in range(100):
        key = f"members/pg{n % 7}"
        if n % 5 == 4 and key in here:
            tree.delete(key)
            del here[key]
        else:
            tree.put(key, str(n))
            here[key] = str(n)
    seen.wait_for(here, 5)
    seen.assert_revisions_rise()
    assert [u["fresh"] for u in seen.updates].count(True) == 1


def test_a_value_may_have_any_bytes_that_are_text(tree, watch):
    text = 'a "quoted" \\ line\nüber ' + "x" * 100000
    tree.put("config", text)
    watch(tree).wait_for({"config": text})


@pytest.mark.parametrize("kind", ["file", "etcdv3"])
def test_a_tree_with_too_many_keys_is_an_error_that_names_it(kind, request, tmp_path, watch):
    if kind == "file":
        tree = FileTree(tmp_path / "store", new_prefix())
        for n in range(4097):
            tree.path("").mkdir(parents=True, exist_ok=True)
            tree.path(f"k{n}").touch()
    else:
        tree = request.getfixturevalue("etcd_tree")
        for first in range(0, 4097, 128):
            tree.client.call("/kv/txn", {"success": [
                {"request_put": {"key": encode(f"{tree.prefix}k{n}")}}
                for n in range(first, min(first + 128, 4097))]})
    seen = watch(tree, read_every=0.05)
    error = seen.wait_for_error()
    assert re.match(re.escape(tree.prefix) + ": .*" + re.escape(tree.endpoints) +
                    ".*: more than 4096 keys", error), error
    assert not seen.updates
    tree.delete("k17")
    found = wait_until(lambda: seen.updates, 10, "a listing")
    assert len(found[0]["items"]) == 4096 and found[0]["fresh"]


def test_a_tree_that_is_too_large_is_an_error_that_names_it(etcd_tree, watch):
    for n in range(4):
        etcd_tree.put(f"k{n}", "x" * 1000000)
    seen = watch(etcd_tree, read_every=0.1, timeout=10.0)  # megabytes take their time
    wait_until(lambda: seen.updates and len(seen.updates[-1]["items"]) == 4, 10)
    etcd_tree.put("k5", "x" * 1000000)
    error = seen.wait_for_error()
    assert re.match(re.escape(etcd_tree.prefix) + ": .*more than .* 4 MiB", error), error
    etcd_tree.delete("k0")
    wait_until(lambda: "k5" in seen.updates[-1]["items"] and seen.updates[-1]["fresh"], 10)


# etcd v3


def put_held(tree, lease):
    """A leader and its member, and others that stay."""
    tree.put("config", "{}")
    tree.put("members/pg2", "{}")
    tree.put("leader", "pg1", lease)
    tree.put("members/pg1", "{}", lease)
    return {"config": "{}", "members/pg2": "{}"}


@pytest.mark.parametrize("ends", ["revoked", "expired"])
def test_keys_of_a_lease_vanish_in_one_step(etcd_tree, watch, ends):
    lease = etcd_tree.grant(1 if ends == "expired" else 60)
    rest = put_held(etcd_tree, lease)
    seen = watch(etcd_tree)
    first = seen.wait_for({**rest, "leader": "pg1", "members/pg1": "{}"})
    assert {k for k, item in first["items"].items() if item["held"]} == {"leader", "members/pg1"}
    if ends == "revoked":
        etcd_tree.client.revoke(lease)
    last = seen.wait_for(rest)
    assert len(seen.updates) == 2 and not last["fresh"], seen.updates
    assert last["revision"] == first["revision"] + 1


def test_a_transaction_is_one_step(etcd_tree, watch):
    etcd_tree.put("failover", "pg2")
    seen = watch(etcd_tree)
    seen.wait_for({"failover": "pg2"})
    prefix = etcd_tree.prefix
    etcd_tree.client.call("/kv/txn", {"success": [
        {"request_delete_range": {"key": encode(prefix + "failover")}},
        {"request_put": {"key": encode(prefix + "leader"), "value": encode("pg2")}},
        {"request_put": {"key": encode(prefix + "history"), "value": encode("[]")}}]})
    seen.wait_for({"leader": "pg2", "history": "[]"})
    assert len(seen.updates) == 2


def test_a_compaction_disturbs_no_watch(etcd_tree, watch):
    seen = watch(etcd_tree)
    seen.wait_for({})
    for n in range(5):
        etcd_tree.put("leader", str(n))
    seen.wait_for({"leader": "4"})
    etcd_tree.client.compact()
    etcd_tree.put("leader", "pg1")
    seen.wait_for({"leader": "pg1"})
    assert [u["fresh"] for u in seen.updates].count(True) == 1


@pytest.fixture
def liar(both_etcd):
    server = lies.Liar(both_etcd.url)
    yield server
    server.close()


def test_what_came_and_went_in_compacted_history_leaves_a_fresh_listing(liar, etcd_tree, watch):
    etcd_tree.put("leader", "pg1")
    seen = watch(etcd_tree, liar.url, timeout=0.5)
    seen.wait_for({"leader": "pg1"})
    etcd_tree.put("leader", "pg2")
    seen.wait_for({"leader": "pg2"}, fresh=False)
    before = len(liar.requests)
    liar.rule(lies.status(503))
    wait_until(lambda: liar.seen("range", before), 5, "reads that fail")
    etcd_tree.delete("leader")
    etcd_tree.put("leader", "pg2")
    etcd_tree.put("sync", "{}")
    etcd_tree.delete("leader")
    etcd_tree.client.compact()
    liar.be_honest()
    seen.wait_for({"sync": "{}"}, fresh=True)
    assert len(seen.updates) == 3
    etcd_tree.put("leader", "pg2")
    seen.wait_for({"sync": "{}", "leader": "pg2"}, fresh=False)


def created(request):
    request.begin_chunks()
    header = {"cluster_id": json.loads(request.true_range)["header"]["cluster_id"]}
    request.chunk(lies.frame(header=header, created=True))


def frames_then(*frames, then=lies.silent):
    def rule(request):
        connection = request.liar.connect()
        connection.request("POST", "/v3/kv/range", json.dumps({"key": "AA=="}))
        request.true_range = connection.getresponse().read()
        connection.close()
        created(request)
        for frame in frames:
            request.chunk(frame(request) if callable(frame) else frame)
        then(request)
    return rule


def event(revision=None, name=None):
    """Of the leader, unless another name is given."""
    def make(request):
        prefix = decode(json.loads(request.body)["create_request"]["key"])
        kv = {"key": encode(name or prefix + "leader"), "value": encode("lie")}
        if revision is not None:
            kv["mod_revision"] = kv["create_revision"] = str(revision)
        return lies.frame(header={"revision": "1"}, events=[{"kv": kv}])
    return make


def half(frame):
    return lambda request: frame(request)[:60]


def dumb(request):
    request.forward(lambda text: text if "created" in text else "")


WATCH_LIES = {
    "denied": frames_then(lies.frame(created=True, canceled=True, watch_id="-1",
                                     cancel_reason="permission denied")),
    "compacted": frames_then(lies.frame(header={}, canceled=True, compact_revision="8")),
    "half an event, then the end": frames_then(half(event(10**9)), then=lambda r: r.hang_up()),
    "half an event, then silence": frames_then(half(event(10**9))),
    "an event without revision": frames_then(event()),
    "an event of the past": frames_then(event(1)),
    "an event of another tree": frames_then(event(10**9, "/service/y/leader")),
    "a bad event behind a good one": frames_then(
        lambda r: event(10**9)(r).replace('}}]', '}},{"type":"DELETE"}]')),
    "garbage": frames_then("\x01\x02garbage\n" * 100),
    "an error": frames_then('{"error":{"grpc_code":14,"message":"transport is closing"}}\n'),
    "never created": lies.silent,
    "goes dumb": dumb,
}


@pytest.mark.parametrize("fault", WATCH_LIES)
def test_a_watch_that_lies_is_read_over_and_ends_in_a_fresh_listing(liar, etcd_tree, watch, fault):
    """It changes nothing that is told, but for being slower; reads are right all along."""
    etcd_tree.put("leader", "pg1")
    liar.rule(WATCH_LIES[fault], "watch")
    seen = watch(etcd_tree, liar.url, read_every=0.05, timeout=0.5)
    seen.wait_for({"leader": "pg1"})
    wait_until(lambda: liar.seen("watch"), 5, "a watch")
    etcd_tree.put("sync", "{}")
    etcd_tree.delete("leader")
    seen.wait_for_read({"sync": "{}"})
    seen.wait_for({"sync": "{}"}, fresh=True)
    before = len(seen.updates)
    liar.be_honest()
    seen.wait_for_read({"sync": "{}"})
    etcd_tree.put("leader", "pg2")
    seen.wait_for({"sync": "{}", "leader": "pg2"})
    told = [seen.values(u) for u in seen.updates]
    assert all("lie" not in t.values() for t in told), told
    assert before > 0 and seen.memory_kb() < 48 * 1024
    seen.assert_revisions_rise()


def test_events_that_are_repeated_change_nothing(liar, etcd_tree, watch):
    """Each frame is followed by the first one."""
    kept = []

    def repeat(request):
        def change(text):
            if "events" not in text:
                return text
            kept.append(text)
            return text + kept[0]
        request.forward(change)

    liar.rule(repeat, "watch")
    seen = watch(etcd_tree, liar.url)
    seen.wait_for({})
    told = [{}]
    for values in ({"leader": "pg1"}, {}, {"leader": "pg2"}, {"leader": "pg2", "sync": "{}"}):
        for key in set(told[-1]) - set(values):
            etcd_tree.delete(key)
        for key in set(values) - set(told[-1]):
            etcd_tree.put(key, values[key])
        seen.wait_for(values, fresh=False)
        told.append(values)
    assert [seen.values(u) for u in seen.updates] == told
    seen.assert_revisions_rise()


def test_a_denied_watch_is_not_tried_in_a_loop(liar, etcd_tree, watch):
    liar.rule(WATCH_LIES["denied"], "watch")
    seen = watch(etcd_tree, liar.url, timeout=0.5)
    seen.wait_for({})
    holds_for(lambda: len(liar.seen("watch")) < 14, 2, "a loop", step=0.05)


def test_answers_that_name_other_keys_are_no_listing(liar, etcd_tree, watch):
    etcd_tree.put("leader", "pg1")
    seen = watch(etcd_tree, liar.url, read_every=0.05, timeout=0.5)
    seen.wait_for({"leader": "pg1"})
    name = encode(etcd_tree.prefix + "leader")
    liar.rule(lambda r: r.forward(lambda text: text.replace(name, encode("/service/q/leader"))))
    assert etcd_tree.prefix in seen.wait_for_error()
    liar.be_honest()
    seen.wait_for_read({"leader": "pg1"})
    assert all(seen.values(u) == {"leader": "pg1"} for u in seen.updates)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_etcd_that_was_restarted_is_read_again(own_etcd, watch, number):
    """Though nothing has changed: who was confirmed before is to be confirmed again."""
    tree = EtcdTree(own_etcd.client)
    tree.put("leader", "pg1")
    seen = watch(tree, read_every=0.1, timeout=1.0)
    first = seen.wait_for({"leader": "pg1"})
    own_etcd.stop(number)
    assert tree.prefix in seen.wait_for_error()
    own_etcd.start()
    last = wait_until(lambda: seen.updates[1:] and seen.updates[1], 10, "another listing")
    assert last["fresh"] and last["items"] == first["items"]
    tree.put("leader", "pg2")
    seen.wait_for({"leader": "pg2"})


def test_an_etcd_that_was_wiped_is_taken_when_all_agree(own_etcd, watch):
    tree = EtcdTree(own_etcd.client)
    for n in range(20):
        tree.put("leader", str(n))
    seen = watch(tree, read_every=0.1, timeout=1.0)
    seen.wait_for({"leader": "19"})
    own_etcd.kill()
    own_etcd.wipe()
    own_etcd.start()
    tree.put("sync", "{}")
    seen.wait_for({"sync": "{}"}, fresh=None)
    assert any(u["fresh"] for u in seen.updates[1:])
    tree.put("leader", "pg2")
    seen.wait_for({"sync": "{}", "leader": "pg2"})
    seen.assert_revisions_rise()


def test_a_watched_member_that_is_killed_is_left_for_another(etcd_members, watch):
    first = etcd_members.members[0]
    client = EtcdClient([m.url for m in etcd_members.members[1:]])
    tree = EtcdTree(client)
    tree.put("leader", "pg1")
    seen = watch(tree, ",".join(etcd_members.urls), read_every=0.2, timeout=1.5)
    seen.wait_for({"leader": "pg1"})
    seen.wait_for_read({"leader": "pg1"})
    before = len(seen.updates)
    first.kill()
    etcd_members.leader(among=etcd_members.members[1:])
    tree.put("leader", "pg2")
    seen.wait_for_fresh({"leader": "pg2"}, before)
    began = time.monotonic()
    tree.put("leader", "pg3")
    seen.wait_for({"leader": "pg3"}, fresh=False)
    assert time.monotonic() - began < 1


# etcd v2


def test_keys_with_a_ttl_are_held_and_expire(v2_tree, watch):
    v2_tree.put("config", "{}")
    v2_tree.put("leader", "pg1", ttl=1)
    seen = watch(v2_tree)
    first = seen.wait_for({"config": "{}", "leader": "pg1"})
    assert first["items"]["leader"]["held"] and not first["items"]["config"]["held"]
    assert not seen.wait_for({"config": "{}"})["fresh"]


def test_a_folder_that_is_removed_takes_its_keys_along(v2_tree, watch):
    for n in range(3):
        v2_tree.put(f"members/pg{n}", "{}")
    v2_tree.put("config", "{}")
    seen = watch(v2_tree)
    wait_until(lambda: seen.updates and len(seen.updates[-1]["items"]) == 4, 5)
    v2_tree.delete_folder("members")
    seen.wait_for({"config": "{}"})
    assert len(seen.updates) == 2


CLEARED = ('{"errorCode":401,"message":"The event in requested index is outdated and cleared",'
           '"cause":"the requested history has been cleared [1069/5]","index":2068}')


@pytest.mark.parametrize("lie", ["history that is cleared", "garbage", "the end"])
def test_a_v2_watch_that_ends_badly_ends_in_a_fresh_listing(liar, v2_tree, watch, lie):
    rule = {"history that is cleared": lies.status(400, CLEARED), "garbage": lies.garbage,
            "the end": lambda request: request.hang_up()}[lie]
    polls = []

    def lying(request):
        if "wait=true" in request.path:
            polls.append(request.path)
            rule(request)
        else:
            request.forward()

    v2_tree.put("leader", "pg1")
    liar.rule(lying)
    seen = watch(v2_tree, liar.url, timeout=0.5)
    seen.wait_for({"leader": "pg1"}, fresh=True)
    wait_until(lambda: len(polls) > 1, 5, "polls")
    assert all("recursive=true" in p and "waitIndex=" in p for p in polls)
    v2_tree.put("leader", "pg2")
    seen.wait_for({"leader": "pg2"}, fresh=True)
    holds_for(lambda: len(polls) < 20, 1, "a loop", step=0.05)


# Consul


def test_keys_of_a_session_vanish_in_one_step(consul_tree, watch):
    session = consul_tree.session()
    rest = put_held(consul_tree, session)
    seen = watch(consul_tree)
    first = seen.wait_for({**rest, "leader": "pg1", "members/pg1": "{}"})
    assert {k for k, item in first["items"].items() if item["held"]} == {"leader", "members/pg1"}
    consul_tree.client.destroy(session)
    last = seen.wait_for(rest)
    assert len(seen.updates) == 2 and not last["fresh"], seen.updates


def test_queries_that_return_without_a_change_tell_nothing(consul_tree, watch):
    """Below an empty prefix the index is that of all keys."""
    seen = watch(consul_tree, read_every=0.05)
    seen.wait_for({})
    for n in range(20):
        consul_tree.put_beside("/elsewhere", str(n))
    seen.wait_for_read({})
    consul_tree.put("leader", "pg1")
    seen.wait_for({"leader": "pg1"})
    assert len(seen.updates) == 2, seen.updates


@pytest.fixture
def fake_tree():
    fake = FakeConsul()
    fake.longest_wait = 1.2
    yield fake, ConsulTree(fake.client)
    fake.close()


def test_a_consul_that_forgets_what_was_deleted_is_the_same_one(fake_tree, watch):
    """Its index for the tree goes back then, a quarter of an hour after the deletion."""
    fake, tree = fake_tree
    tree.put("leader", "pg1")
    tree.put("members/pg2", "2")
    seen = watch(tree, read_every=0.05)
    seen.wait_for({"leader": "pg1", "members/pg2": "2"})
    tree.delete("members/pg2")
    seen.wait_for({"leader": "pg1"})
    known = seen.wait_for_read({"leader": "pg1"})
    updates, reads = len(seen.updates), len(seen.reads)
    fake.forget_deletions()
    queries = len(fake.seen("index="))
    wait_until(lambda: len(fake.seen("index=")) > queries + 2)
    assert all(r.get("items") == known["items"] for r in seen.reads[reads:]), seen.reads[reads:]
    assert len(seen.updates) == updates
    tree.put("leader", "pg3")
    seen.wait_for({"leader": "pg3"}, fresh=False)
    seen.wait_for_read({"leader": "pg3"})
    seen.assert_revisions_rise()
    assert not [r for r in seen.reads if "error" in r]


def test_an_index_that_begins_anew_is_taken_when_it_stays(own_consul, watch):
    tree = ConsulTree(own_consul.client)
    for n in range(100):
        tree.put("leader", str(n))
    seen = watch(tree, read_every=0.2, timeout=1.0)
    first = seen.wait_for({"leader": "99"})
    own_consul.kill()
    own_consul.wipe()
    own_consul.start()
    tree.put("sync", "{}")
    last = seen.wait_for({"sync": "{}"}, 20)
    assert any(u["fresh"] for u in seen.updates[1:])
    assert last["revision"] > first["revision"]
    tree.put("leader", "pg2")
    last = seen.wait_for({"sync": "{}", "leader": "pg2"})
    assert last["items"]["leader"]["mod"] > first["items"]["leader"]["mod"]
    seen.assert_revisions_rise()


# Files


def test_what_is_no_key_is_not_listed(tmp_path, watch):
    tree = FileTree(tmp_path / "store", new_prefix())
    tree.put("leader", "pg1")
    tree.path(".pgsplice-abc").write_text("to be renamed", encoding="utf-8")
    tree.path("empty/folder").mkdir(parents=True)
    os.mkfifo(tree.path("fifo"))
    tree.path("nowhere").symlink_to("/nonexistent")
    seen = watch(tree, read_every=0.05)
    seen.wait_for({"leader": "pg1"})
    tree.put("empty/folder/key", "x")
    seen.wait_for({"leader": "pg1", "empty/folder/key": "x"})


def test_a_folder_moved_in_is_listed_with_all_below(tmp_path, watch):
    tree = FileTree(tmp_path / "store", new_prefix())
    seen = watch(tree)
    seen.wait_for({})
    other = FileTree(tmp_path / "store", "/aside/y/")
    other.put("leader", "pg1")
    other.put("members/pg1", "{}")
    tree.path("").parent.mkdir(parents=True, exist_ok=True)
    other.path("").rename(tree.path(""))
    seen.wait_for({"leader": "pg1", "members/pg1": "{}"})
    tree.put("members/pg2", "{}")
    seen.wait_for({"leader": "pg1", "members/pg1": "{}", "members/pg2": "{}"})
    shutil.rmtree(tree.path(""))
    seen.wait_for({})


def test_a_directory_that_is_lost_is_an_error_and_fresh_when_it_is_back(tmp_path, watch):
    tree = FileTree(tmp_path / "store", new_prefix())
    tree.put("leader", "pg1")
    seen = watch(tree, read_every=0.05)
    first = seen.wait_for({"leader": "pg1"})
    tree.root.rename(tmp_path / "lost")
    assert re.search(re.escape(tree.prefix) + ".*" + re.escape(str(tree.root)),
                     seen.wait_for_error())
    (tmp_path / "lost").rename(tree.root)
    last = wait_until(lambda: seen.updates[1:] and seen.updates[1], 5, "another listing")
    assert last["fresh"] and last["items"] == first["items"]


@pytest.mark.parametrize("prefix", ["/service/../", "..//", "service//x/", "/service/./x/"])
def test_no_prefix_leads_out_of_the_directory(tmp_path, prefix):
    seen = TreeWatcher("file", str(tmp_path), prefix)
    assert seen.process.wait(10) == 1
    seen.process.stdout.close()
