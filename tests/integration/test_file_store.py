"""The directory as a store: what counts as a change, and what it survives."""

import json
import os
import time

import pytest

from harness import (FileStore, cluster_data, echoes, end_of, holds_for, probe, wait_for_probe,
                     wait_until)


def test_change_is_acted_on_in_milliseconds(opened):
    """The check interval is a second: the watch must have brought it."""
    times = []
    for i in range(20):
        opened.publish("db1" if i % 2 else "")
        began = time.monotonic()
        opened.acknowledged()
        times.append(time.monotonic() - began)
    assert sorted(times)[len(times) // 2] < 0.05, times


def test_half_written_document_in_place_is_not_acted_on(opened):
    """Written without a rename, by a careless tool: the sessions live."""
    client = opened.client()
    opened.generation += 1
    text = json.dumps(opened.document("db1"))
    with open(opened.store.key, "w", encoding="utf-8") as f:
        f.write(text[:len(text) // 2])
        f.flush()
        opened.proxy.wait_for_log("cannot be decoded")
        assert echoes(client)
        f.write(text[len(text) // 2:])
    opened.acknowledged()
    assert echoes(client)
    assert len(opened.servers["db1"].live()) == 1


def test_empty_file_in_place_is_not_taken_for_absent_data(opened):
    client = opened.client()
    with open(opened.store.key, "w", encoding="utf-8"):
        pass
    opened.proxy.wait_for_log("cannot be decoded")
    assert echoes(client)


def test_fifo_in_its_place_blocks_nothing(opened):
    client = opened.client()
    os.unlink(opened.store.key)
    assert end_of(client) == "rst"  # absent: known, not guessed
    os.mkfifo(opened.store.key)
    opened.proxy.wait_for_log("cannot read the cluster data")
    holds_for(opened.proxy.is_running, 0.2)
    os.unlink(opened.store.key)
    opened.open("db1")
    code, took = opened.proxy.stop()
    assert code == 0 and took < 2


def test_fifo_renamed_into_its_place_leaves_sessions(opened):
    client = opened.client()
    fifo = os.path.join(opened.store.directory, "fifo")
    os.mkfifo(fifo)
    os.rename(fifo, opened.store.key)
    opened.proxy.wait_for_log("cannot read the cluster data")
    assert echoes(client)


def test_directory_in_its_place_is_a_read_error(opened):
    client = opened.client()
    folder = os.path.join(opened.store.directory, "folder")
    os.mkdir(folder)
    os.rename(opened.store.key, opened.store.key + ".old")
    assert end_of(client) == "rst"
    os.rename(folder, opened.store.key)
    opened.proxy.wait_for_log("cannot read the cluster data")
    os.rmdir(opened.store.key)
    os.rename(opened.store.key + ".old", opened.store.key)
    wait_for_probe(opened.proxy.port, "forwards")


def test_directory_missing_at_start_is_waited_for(stage):
    """And made by nobody but its owner: its absence is no absent cluster."""
    stage.store.remove()
    stage.start_proxy()
    stage.proxy.wait_for_log("cannot read the cluster data")
    assert probe(stage.proxy.port) == "refused"
    assert not os.path.exists(stage.store.directory)
    stage.store.create()
    began = time.monotonic()
    stage.publish("db1")
    wait_for_probe(stage.proxy.port, "forwards")
    assert time.monotonic() - began < 0.5


def test_missing_parents_at_start_are_waited_for(stage, tmp_path, start_pgsplice):
    store = FileStore(tmp_path / "a" / "b" / "c", create=False)
    proxy = start_pgsplice(store=store)
    proxy.wait_for_log("cannot read the cluster data")
    store.create()
    store.put(cluster_data(5, "", (), ()))
    store.wait_for_generation(proxy.uid, 5)


def test_directory_removed_and_created_again(opened):
    """Sessions outlive a short absence, and the watch works afterwards."""
    client = opened.client()
    opened.store.lose()
    opened.proxy.wait_for_log("cannot read the cluster data")
    assert echoes(client)
    # A new one that is complete when it appears: without cluster data it would
    # be a cluster that does not exist.
    new = FileStore(opened.store.directory + ".new")
    new.put(opened.document("db1"))
    os.rename(new.directory, opened.store.directory)
    opened.store.wait_for_info(opened.proxy.uid)
    assert echoes(client)
    began = time.monotonic()
    opened.publish("")
    opened.acknowledged()
    assert time.monotonic() - began < 0.5
    assert end_of(client) == "rst"


def test_folders_below_removed_and_created_again(opened):
    for i in range(5):
        mark = opened.proxy.mark()
        os.rename(os.path.join(opened.store.directory, "stolon"),
                  os.path.join(opened.store.directory, f"old{i}"))
        opened.proxy.wait_for_log("there is no cluster data", start=mark)
        opened.store.create()
        opened.open("db1")


def test_proxyinfo_is_replaced_atomically(opened):
    """A reader never finds a part of one, nor a foreign file among them."""
    opened.publish("db1", check_interval="10ms")
    seen = set()

    def read():
        assert opened.store.proxies() == [opened.proxy.uid]
        seen.add(opened.store.info(opened.proxy.uid)["infoUID"])
        return len(seen) >= 30

    wait_until(read, step=0)


def test_leaves_no_temporary_file(opened):
    opened.publish("db1", check_interval="10ms")
    for _ in range(10):
        opened.store.wait_for_new_info(opened.proxy.uid)
    opened.proxy.stop()
    assert os.listdir(opened.store.directory) == ["stolon"]


def test_prefix_and_cluster_make_one_path(start_pgsplice, tmp_path):
    """Duplicate and trailing slashes are removed, as in stolon."""
    store = FileStore(tmp_path / "dir", cluster="c1", prefix="a/b")
    store.put(cluster_data(3, "", (), ()))
    proxy = start_pgsplice("--cluster-name=c1", "--store-backend=file", "--store-prefix=a//b/",
                           f"--store-endpoints=file://{store.directory}/", store=None)
    store.wait_for_generation(proxy.uid, 3)


@pytest.mark.parametrize("name", ["../escape", "a/../../b", ".."])
def test_cluster_name_does_not_lead_out_of_the_directory(start_pgsplice, tmp_path, name):
    proxy = start_pgsplice(f"--cluster-name={name}", "--store-backend=file",
                           f"--store-endpoints={tmp_path}/d", store=None)
    assert proxy.wait() == 1
    assert proxy.find_log("bad cluster name")
