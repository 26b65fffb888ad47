"""Another etcd, or an older state of it, behind the same address: loud, no check
until it is clear, then taken and served rightly."""

import json
import os
import re
import subprocess

import pytest

from harness import echoes, end_of, wait_for_probe
from harness.etcd import Etcd

pytest_plugins = ["harness.etcd_stage"]

LOUD = "another cluster, or an older state of it, answers"
ADOPTED = "this cluster is taken from now on"


def grow(etcd, count=50):
    """Other keys, so that revisions are far from those of a new etcd."""
    for n in range(count):
        etcd.client.put("other", str(n))


def assert_adopted(stage, leader, other, timeout=4):
    stage.proxy.wait_for_log(LOUD, timeout)
    stage.proxy.wait_for_log(ADOPTED, timeout)
    stage.store.wait_for_info(stage.proxy.uid, timeout=timeout)
    wait_for_probe(stage.proxy.port, "forwards", timeout)
    with stage.client() as client:
        assert echoes(client)
        assert stage.servers[leader].connections[-1].is_live()
    # The watch is of the new one, from its own revisions.
    acknowledged, opened = stage.change_leader(other)
    assert acknowledged < 1 and opened < 1
    assert len(stage.proxy.find_log(ADOPTED)) == 1


def test_a_wiped_data_directory(own_etcd, own_stage):
    stage = own_stage.ready("--store-timeout=1s", check_interval="500ms", proxy_timeout="5s")
    grow(own_etcd)
    stage.store.wait_for_new_info(stage.proxy.uid)
    client = stage.client()
    own_etcd.kill()
    own_etcd.wipe()
    own_etcd.start()
    stage.generation = 3  # all starts again
    stage.publish("db2")
    stage.acknowledged()
    assert end_of(client) == "rst"
    assert_adopted(stage, "db2", "db1")


def test_an_empty_etcd_is_no_cluster_data(own_etcd, own_stage):
    """After it was taken: cut, and nothing forwarded until there is data again."""
    stage = own_stage.ready("--store-timeout=1s", check_interval="500ms", proxy_timeout="5s")
    grow(own_etcd)
    stage.store.wait_for_new_info(stage.proxy.uid)
    client = stage.client()
    own_etcd.kill()
    own_etcd.wipe()
    own_etcd.start()
    stage.proxy.wait_for_log(ADOPTED)
    stage.proxy.wait_for_log("there is no cluster data")
    assert end_of(client) == "rst"
    wait_for_probe(stage.proxy.port, "closed", 1)  # each worker cuts by itself
    stage.publish("db2")
    assert_adopted(stage, "db2", "db1")


def test_another_cluster_behind_the_same_address(own_etcd, own_stage, tmp_path):
    """Its id differs, and its revisions may be higher."""
    stage = own_stage.ready("--store-timeout=1s", check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    own_etcd.kill()
    other = Etcd(tmp_path, "two", options=["--initial-cluster-token=two"])
    other.url, other.client = own_etcd.url, own_etcd.client
    try:
        other.start()
        grow(other, 100)
        stage.publish("db2")
        stage.acknowledged()
        assert end_of(client) == "rst"
        assert_adopted(stage, "db2", "db1")
    finally:
        other.kill()


def test_a_snapshot_restored(own_etcd, own_stage, tmp_path):
    """The past: another leader, a lower revision, our key with a lease that may be
    gone. What it says is what counts, once taken."""
    stage = own_stage.ready("--store-timeout=1s", check_interval="500ms", proxy_timeout="5s")
    environment = {**os.environ, "ETCDCTL_API": "3"}
    snapshot = str(tmp_path / "snapshot")
    subprocess.run(["etcdctl", "--endpoints", own_etcd.url, "snapshot", "save", snapshot],
                   check=True, env=environment, capture_output=True)
    grow(own_etcd)
    stage.change_leader("db2")
    client = stage.client()
    own_etcd.kill()
    own_etcd.wipe()
    subprocess.run(["etcdctl", "snapshot", "restore", snapshot, "--data-dir", own_etcd.data,
                    "--name", own_etcd.name, "--initial-cluster", own_etcd.initial,
                    "--initial-advertise-peer-urls", own_etcd.peer_url], check=True,
                   env=environment, capture_output=True)
    own_etcd.start()
    assert end_of(client) == "rst"
    assert_adopted(stage, "db1", "db2")


def test_two_clusters_behind_one_list_are_never_taken(own_etcd, make_stage, tmp_path):
    """One of two endpoints is astray: loud, the known one goes on being served."""
    stray = Etcd(tmp_path, "stray", options=["--initial-cluster-token=two"]).start()
    try:
        stage = make_stage([own_etcd.url], [own_etcd.url, stray.url])
        stage.ready("--store-timeout=1s", check_interval="500ms", proxy_timeout="4s")
        wrong = json.dumps(stage.document("db2", generation=77))
        stray.client.put(stage.store.key, wrong)
        client = stage.client()
        own_etcd.freeze()  # the stray one is asked now
        stage.proxy.wait_for_log(LOUD + ".*" + re.escape(stray.url))
        own_etcd.thaw()
        for _ in range(3):
            stage.store.wait_for_new_info(stage.proxy.uid, 4)
        assert echoes(client)
        assert not stage.servers["db2"].connections
        assert not stray.client.keys(stage.store.infos)
        assert not stage.proxy.find_log(ADOPTED)
    finally:
        stray.kill()


def test_nothing_is_acknowledged_to_a_cluster_that_is_not_taken(own_etcd, make_stage, tmp_path):
    """The known one is gone for long, only the stray one answers: taken after all,
    but only by a full read, with a cut before its generation is acknowledged."""
    stray = Etcd(tmp_path, "stray", options=["--initial-cluster-token=two"]).start()
    try:
        stage = make_stage([own_etcd.url], [own_etcd.url, stray.url])
        stage.ready("--store-timeout=1s", check_interval="500ms", proxy_timeout="4s")
        client = stage.client()
        stage.store.client.urls = [stray.url]
        stage.publish("db2")
        own_etcd.kill()
        stage.acknowledged(6)
        assert end_of(client, 1) == "rst"
        stage.proxy.wait_for_log(LOUD)
        stage.proxy.wait_for_log(ADOPTED)
        stage.new_client().close()
        assert stage.servers["db2"].connections
    finally:
        stray.kill()
