"""Three members: elections, silent and cut off ones, quorum lost and back."""

import signal
import subprocess
import time

import pytest

from harness import echoes, end_of, holds_for, probe, wait_for_probe, wait_until
from harness.etcd import EtcdCluster
from harness.namespaces import Namespaces

pytest_plugins = ["harness.etcd_stage"]


def rest(cluster, member):
    return [m for m in cluster.members if m is not member]


def watched_first(cluster, member):
    """URLs with this member first, which a proxy asks and watches first."""
    return [member.url] + [m.url for m in rest(cluster, member)]


@pytest.fixture
def staged(etcd_members, make_stage):
    """A function: a stage whose proxy asks this member first; the test the others."""
    def make(member, *args, **timings):
        stage = make_stage([m.url for m in rest(etcd_members, member)],
                           watched_first(etcd_members, member))
        stage.ready(*args, **timings)
        return stage
    return make


@pytest.mark.parametrize("number", [signal.SIGKILL,
                                    pytest.param(signal.SIGTERM, marks=pytest.mark.full)])
def test_an_election_cuts_no_session(etcd_members, staged, number):
    """The member that leads, and that is watched, ends."""
    leader = etcd_members.leader()
    stage = staged(leader, "--store-timeout=1s", check_interval="1s", proxy_timeout="5s")
    clients = [stage.client() for _ in range(5)]
    leader.stop(number)
    etcd_members.leader(among=rest(etcd_members, leader))
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid, 4)
    assert all(echoes(c) for c in clients)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")
    assert stage.change_leader("db2")[0] < 1.5
    leader.start()
    stage.store.wait_for_new_info(stage.proxy.uid, 4)
    assert stage.change_leader("db1")[0] < 1.5


def test_a_silent_endpoint_delays_nothing_by_more_than_about_a_second(etcd_members, staged):
    """The one that is asked first and watched stands still, a follower."""
    leader = etcd_members.leader()
    silent = rest(etcd_members, leader)[0]
    stage = staged(silent, check_interval="1s", proxy_timeout="15s")
    client = stage.client()
    silent.freeze()
    try:
        began = time.monotonic()
        stage.publish("")
        # A read within one interval, which goes elsewhere after a second; so does
        # the acknowledgement.
        stage.acknowledged(6)
        assert time.monotonic() - began < 1 + 1 + 1 + 0.5
        assert end_of(client) == "rst"
        for _ in range(3):  # and from now on the others are asked first
            began = time.monotonic()
            stage.store.wait_for_new_info(stage.proxy.uid)
            assert time.monotonic() - began < 1 + 0.5
        stage.open("db1")
        client = stage.client()
        holds_for(lambda: echoes(client), 3, "cut", step=0.1)
        assert not stage.proxy.find_log("cannot (read|write)")
    finally:
        silent.thaw()


def test_a_short_loss_of_quorum_cuts_nothing(etcd_members, staged):
    watched = etcd_members.members[0]
    others = rest(etcd_members, watched)
    stage = staged(watched, "--store-timeout=1s", check_interval="500ms", proxy_timeout="8s")
    client = stage.client()
    for member in others:
        member.kill()
    # timeout - interval - store-timeout, and time for an election
    holds_for(lambda: echoes(client), 3, "cut", step=0.1)
    for member in others:
        member.launch()
    others[0].wait_until_it_answers()
    stage.store.wait_for_new_info(stage.proxy.uid, 4)
    assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")
    assert stage.change_leader("db2")[0] < 1.5


def test_a_long_loss_of_quorum_fences(etcd_members, staged):
    """The member that is left still answers, but nothing it says counts."""
    watched = etcd_members.members[0]
    others = rest(etcd_members, watched)
    stage = staged(watched, "--store-timeout=1s", check_interval="500ms", proxy_timeout="2s")
    client = stage.client()
    began = time.monotonic()
    for member in others:
        member.kill()
    assert end_of(client) == "rst"
    assert time.monotonic() - began < 2 + 0.5
    wait_until(lambda: probe(stage.proxy.port) == "refused", 1)
    for member in others:
        member.launch()
    wait_for_probe(stage.proxy.port, "forwards", 15)


@pytest.mark.full
def test_members_end_one_after_the_other_and_nobody_notices(etcd_members, make_stage):
    urls = [m.url for m in etcd_members.members]
    stage = make_stage(urls).ready("--store-timeout=2s", check_interval="1s", proxy_timeout="8s")
    client = stage.client()
    for member in etcd_members.members:
        member.kill()
        etcd_members.leader(among=rest(etcd_members, member))
        stage.store.wait_for_new_info(stage.proxy.uid, 5)
        assert echoes(client)
        member.start()
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


@pytest.mark.parametrize("cut", ["from its peers",
                                 pytest.param("from everybody", marks=pytest.mark.full)])
def test_the_watched_member_is_partitioned(tmp_path, make_stage, cut):
    """Its stream stays open and quiet. The change is found at the others."""
    with Namespaces(3) as places:
        cluster = EtcdCluster(tmp_path, 3, places.place)
        try:
            cluster.start()
            watched = cluster.members[0]
            stage = make_stage([m.url for m in rest(cluster, watched)],
                               watched_first(cluster, watched))
            stage.ready("--store-timeout=2s", check_interval="1s", proxy_timeout="8s")
            client = stage.client()
            places.cut_from_peers(0)
            if cut == "from everybody":
                places.cut_from_us(0)
            cluster.leader(among=rest(cluster, watched))
            began = time.monotonic()
            stage.publish("")
            stage.acknowledged(8)
            assert time.monotonic() - began < 1 + 1 + 1 + 0.5
            assert end_of(client) == "rst"
            stage.publish("db2")
            client = stage.new_client()
            places.heal(0)
            watched.wait_until_it_answers()
            for _ in range(3):
                stage.store.wait_for_new_info(stage.proxy.uid, 4)
            assert echoes(client)
            assert not stage.proxy.find_log("nobody has confirmed the leader in time")
            assert stage.change_leader("db1")[0] < 1.5
        finally:
            cluster.stop()


def test_namespaces_are_removed():
    with Namespaces(1) as places:
        names = list(places.names)
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert not any(name in left.stdout for name in names)
