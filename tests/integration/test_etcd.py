"""The whole flow on a real etcd: follow, cut, acknowledge, open; and our key's life."""

import json
import re
import socket
import time

from harness import echoes, end_of, holds_for, member, probe, wait_for_probe, wait_until

pytest_plugins = ["harness.etcd_stage"]


def test_a_change_is_cut_acknowledged_and_opened_within_milliseconds(shared_stage):
    """All by the watch: with an interval of 4 s, reads have no part in it."""
    stage = shared_stage.ready(check_interval="4s", proxy_timeout="15s")
    cuts, acknowledgements, openings = [], [], []
    for turn in range(6):
        old, new = ("db1", "db2") if turn % 2 == 0 else ("db2", "db1")
        client = stage.client()
        session = stage.servers[old].connections[-1]
        began = time.monotonic()
        stage.publish("")
        stage.acknowledged(2)
        acknowledgements.append(time.monotonic() - began)
        wait_until(lambda: session.end, 2, "the old leader's session")
        cuts.append(session.ended_at - began)
        assert session.end == "rst"
        assert end_of(client) == "rst"
        began = time.monotonic()
        stage.publish(new)
        stage.new_client().close()
        openings.append(time.monotonic() - began)
    for times in (cuts, acknowledgements, openings):
        assert sorted(times)[len(times) // 2] < 0.1, (cuts, acknowledgements, openings)


def is_reset(session):
    """Whether the server's kernel has the reset, even if nobody has read of it yet."""
    try:
        closed = session.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 7
    except OSError:
        closed = session.closed
    return closed and session.end != "fin"


def test_no_acknowledgement_before_the_old_session_has_ended(shared_stage):
    stage = shared_stage.ready()
    for _ in range(10):
        with stage.client():
            session = stage.servers["db1"].connections[-1]
            stage.publish("")
            stage.acknowledged(2)
            assert is_reset(session)
        stage.open("db1")


def test_proxyinfo_is_exactly_what_stolon_writes(shared_stage):
    stage = shared_stage.ready(check_interval="1s", proxy_timeout="15s")
    found = stage.store.client.get(stage.store.info_key(stage.proxy.uid))
    assert re.fullmatch(r'\{"infoUID":"[0-9a-f]{8}","UID":"' + stage.proxy.uid +
                        r'","Generation":' + str(stage.generation) +
                        r',"ProxyTimeout":15000000000\}', found["value"])
    assert stage.store.proxies() == [stage.proxy.uid]


def test_the_key_expires_after_two_timeouts_but_never_below_twenty_seconds(shared_stage):
    stage = shared_stage.ready(check_interval="1s", proxy_timeout="5s")

    def granted():
        return stage.store.client.time_to_live(stage.store.lease_of(stage.proxy.uid))

    wait_until(lambda: granted()["grantedTTL"] == 20, 5, lambda: f"{granted()}")
    # 2 x 10.3 s is no whole number of seconds: rounded up, never down.
    for timeout, ttl in (("15s", 30), ("10300ms", 21), ("30s", 60), ("5s", 20)):
        stage.publish("db1", proxy_timeout=timeout)
        wait_until(lambda: granted()["grantedTTL"] == ttl, 5, lambda: f"{timeout}: {granted()}")
        assert granted()["keys"] == [stage.store.info_key(stage.proxy.uid)]


def test_the_lease_is_kept_alive_by_every_publish(shared_stage):
    stage = shared_stage.ready(check_interval="500ms", proxy_timeout="5s")
    client, uid = stage.store.client, stage.proxy.uid
    lease = stage.store.lease_of(uid)
    # The TTL is in whole seconds, cut off: without refreshes it sinks below 19.
    holds_for(lambda: client.time_to_live(lease)["TTL"] >= 18, 4, "it was not refreshed",
              step=0.1)
    assert stage.store.lease_of(uid) == lease  # not a new one for each
    assert client.time_to_live(lease)["TTL"] >= 18


def test_at_exit_the_lease_is_revoked_and_the_key_gone(shared_stage):
    stage = shared_stage.ready()
    client, uid = stage.store.client, stage.proxy.uid
    lease = stage.store.lease_of(uid)
    code, took = stage.proxy.stop()
    assert code == 0 and took < 1.5
    assert stage.store.proxies() == []
    assert client.time_to_live(lease)["TTL"] == -1


def test_a_lease_that_goes_behind_our_back_is_replaced(shared_stage):
    stage = shared_stage.ready(check_interval="500ms", proxy_timeout="5s")
    client, uid = stage.store.client, stage.proxy.uid
    session = stage.client()
    for _ in range(3):
        lease = stage.store.lease_of(uid)
        client.revoke(lease)
        stage.store.wait_for_info(uid, timeout=0.5 + 0.3)
        found = stage.store.lease_of(uid)
        assert found and found != lease
    assert echoes(session)
    assert not stage.proxy.find_log("cannot write our proxy info")


def test_a_key_that_is_deleted_or_changed_by_others_is_written_again(shared_stage):
    stage = shared_stage.ready(check_interval="500ms", proxy_timeout="5s")
    client, key = stage.store.client, stage.store.info_key(stage.proxy.uid)
    for spoil in (lambda: client.delete(key), lambda: client.put(key, '{"UID":"x"}')):
        spoil()
        stage.store.wait_for_info(stage.proxy.uid, lambda i: i.get("Generation"), 0.5 + 0.3)
        wait_until(lambda: stage.store.lease_of(stage.proxy.uid), 2, "a lease on it")


def test_only_one_lease_is_held(shared_stage):
    stage = shared_stage.ready(check_interval="200ms", proxy_timeout="5s")
    client = stage.store.client
    before = set(client.leases())
    for _ in range(10):
        stage.store.wait_for_new_info(stage.proxy.uid)
    assert set(client.leases()) == before


def test_neighbours_of_the_key_are_not_taken_for_it(shared_stage):
    """clusterdata2, clusterdata/x, and a cluster whose name goes on."""
    stage = shared_stage.ready(check_interval="300ms", proxy_timeout="5s")
    client = stage.store.client
    session = stage.client()
    mark = stage.proxy.mark()
    wrong = json.dumps(stage.document("db2", generation=99))
    for key in (stage.store.key + "2", stage.store.key + "/x", stage.store.key[:-1],
                stage.store.root + "2/clusterdata", "/" + stage.store.key):
        client.put(key, wrong)
    for _ in range(4):
        stage.store.wait_for_new_info(stage.proxy.uid)
    assert echoes(session)
    assert stage.store.info(stage.proxy.uid)["Generation"] == stage.generation
    assert not stage.proxy.find_log("routing to", mark)


def test_prefixes_are_flat_and_keep_their_first_slash(shared_etcd, make_stage):
    stage = make_stage([shared_etcd.url], cluster="slash", prefix="/stolon/cluster")
    stage.ready()
    assert stage.store.client.get(f"/stolon/cluster/slash/proxies/info/{stage.proxy.uid}")
    assert stage.store.client.get(f"stolon/cluster/slash/proxies/info/{stage.proxy.uid}") is None


def test_a_deleted_key_is_no_cluster_data_and_cuts(shared_stage):
    stage = shared_stage.ready(check_interval="2s", proxy_timeout="8s")
    client = stage.client()
    began = time.monotonic()
    stage.store.delete()
    assert end_of(client) == "rst"
    assert time.monotonic() - began < 1
    wait_for_probe(stage.proxy.port, "closed", 1)
    stage.open("db1")


def test_large_cluster_data_is_followed(shared_stage):
    """Hundreds of members: frames far beyond one packet, one read and one chunk."""
    stage = shared_stage.ready()
    stage.members.update({f"d{n}": member(f"d{n}", 1, status_filler="x" * 1000)
                          for n in range(800)})
    for _ in range(3):
        stage.publish("")
        stage.acknowledged(3)
        stage.publish("db1")
        stage.new_client().close()


def test_etcd_may_start_after_the_proxy(own_etcd, own_stage):
    own_etcd.stop()
    own_stage.add_member("db1")
    proxy = own_stage.start_proxy()
    proxy.wait_for_log(r"cannot read the cluster data.*" + re.escape(own_etcd.url))
    assert probe(proxy.port) == "refused"
    own_etcd.start()
    own_stage.open("db1")


def test_a_compaction_while_disconnected_is_survived(own_etcd, own_stage):
    """The watch would go on at a revision that is gone: it reads instead."""
    stage = own_stage.ready(check_interval="4s", proxy_timeout="15s")
    client = stage.client()
    stage.proxy.freeze()
    for n in range(20):
        stage.store.client.put("other", str(n))
    stage.store.client.compact()
    own_etcd.stop()
    own_etcd.start()  # the stream is broken while the proxy stands
    for n in range(20):
        stage.store.client.put("other", str(n))
    stage.store.client.compact()
    stage.proxy.thaw()
    stage.store.wait_for_new_info(stage.proxy.uid, 6)
    assert echoes(client)
    acknowledged, opened = stage.change_leader("db2")
    assert acknowledged < 2.5 and opened < 2.5


def test_an_open_watch_outlives_a_compaction(own_stage):
    stage = own_stage.ready(check_interval="4s", proxy_timeout="15s")
    for n in range(5):
        stage.store.client.put("other", str(n))
        stage.store.client.compact()
        acknowledged, opened = stage.change_leader("db2" if n % 2 == 0 else "db1")
        assert acknowledged < 1 and opened < 1
