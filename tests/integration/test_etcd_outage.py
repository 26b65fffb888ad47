"""etcd restarted, killed or silent under open sessions: they live until the
deadline, and not longer."""

import re
import signal
import threading
import time

import pytest

from harness import echoes, end_of, holds_for, probe, wait_for_probe, wait_until

pytest_plugins = ["harness.etcd_stage"]

SLACK = 0.3


class Reads:
    """When the proxy's last good check may have been sent: between the last
    publish that was seen and one before it, found by polling."""

    def __init__(self, stage):
        self._stage = stage
        self._info = None
        self._stop = threading.Event()
        self.seen_at = []  # when a new infoUID was seen
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                text = self._stage.store.info_text(self._stage.proxy.uid)
            except OSError:
                continue
            if text != self._info:
                self._info = text
                self.seen_at.append(time.monotonic())
            self._stop.wait(0.003)

    def stop(self):
        self._stop.set()
        self._thread.join(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_etcd_cuts_no_session(own_etcd, own_stage, number):
    stage = own_stage.ready(check_interval="1s", proxy_timeout="5s")
    clients = [stage.client() for _ in range(5)]
    own_etcd.stop(number)
    stage.proxy.wait_for_log(r"cannot read the cluster data.*" + re.escape(own_etcd.url))
    own_etcd.start()
    stage.store.wait_for_new_info(stage.proxy.uid, 3)
    assert all(echoes(c) for c in clients)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")
    stage.proxy.wait_for_log("the cluster data can be read again")
    acknowledged, opened = stage.change_leader("db2")
    assert acknowledged < 1.5 and opened < 1.5


@pytest.mark.full
def test_many_short_restarts_cut_no_session(own_etcd, own_stage):
    stage = own_stage.ready(check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    for turn in range(8):
        own_etcd.stop(signal.SIGKILL if turn % 2 == 0 else signal.SIGTERM)
        own_etcd.start()
        stage.store.wait_for_new_info(stage.proxy.uid, 4)
        assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


def assert_cut_at_the_deadline(stage, client, last_publish, frozen, interval, timeout):
    """The last good check was sent after last_publish, and before etcd froze."""
    assert end_of(client, timeout + 5) == "rst"
    cut = time.monotonic()
    assert cut > last_publish - 0.1 + timeout, "too early"
    assert cut < frozen + timeout + SLACK, "too late"
    stage.proxy.wait_for_log("nobody has confirmed the leader in time")
    stage.proxy.wait_for_log("listening no more")
    wait_for_probe(stage.proxy.port, "refused", 1)


@pytest.mark.parametrize("interval, timeout", [
    ("500ms", "2s"),
    pytest.param("5s", "15s", marks=pytest.mark.full),
])
def test_a_silent_etcd_cuts_a_timeout_after_the_last_good_read_was_sent(
        own_etcd, own_stage, interval, timeout):
    interval_s = 0.5 if interval == "500ms" else 5
    timeout_s = int(timeout[:-1])
    stage = own_stage.ready(check_interval=interval, proxy_timeout=timeout)
    reads = Reads(stage)
    client = stage.client()
    stage.store.wait_for_new_info(stage.proxy.uid)
    wait_until(lambda: len(reads.seen_at) >= 2, what="publishes")
    own_etcd.freeze()
    frozen = time.monotonic()
    reads_end = threading.Thread(target=reads.stop)
    reads_end.start()
    # A publish follows its read at once: the last one seen dates the last read.
    last = reads.seen_at[-1]
    holds_for(lambda: echoes(client), last + timeout_s - 0.2 - time.monotonic(),
              "cut too early", step=0.05)
    assert_cut_at_the_deadline(stage, client, last, frozen, interval_s, timeout_s)
    stage.proxy.wait_for_log(r"cannot read the cluster data.*no answer.*")
    own_etcd.thaw()
    thawed = time.monotonic()
    wait_for_probe(stage.proxy.port, "forwards", interval_s + 1)
    assert time.monotonic() - thawed < interval_s + SLACK
    reads_end.join()


def test_a_pause_shorter_than_the_deadline_cuts_nothing(own_etcd, own_stage):
    stage = own_stage.ready("--store-timeout=1s", check_interval="500ms", proxy_timeout="5s")
    client = stage.client()
    for _ in range(2):
        own_etcd.freeze()
        # timeout - interval - store-timeout, and a little less than that
        holds_for(lambda: echoes(client), 3.2, "cut", step=0.05)
        own_etcd.thaw()
        stage.store.wait_for_new_info(stage.proxy.uid, 2)
    assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")


def test_a_change_made_while_the_proxy_was_disconnected_is_found(own_etcd, own_stage):
    """The stream goes on where it ended, or a read finds it: the leader that was
    current before is not served any more once etcd answers."""
    stage = own_stage.ready(check_interval="1s", proxy_timeout="5s")
    client = stage.client()
    stage.proxy.freeze()
    own_etcd.kill()
    own_etcd.start()
    stage.publish("")
    stage.publish("db2")
    stage.proxy.thaw()
    thawed = time.monotonic()
    assert end_of(client) == "rst"
    assert time.monotonic() - thawed < 1 + SLACK
    stage.acknowledged()
    stage.new_client().close()
    assert stage.servers["db2"].connections


def test_nothing_is_left_behind_by_outages(own_etcd, own_stage):
    stage = own_stage.ready(check_interval="200ms", proxy_timeout="2s")

    def cycle():
        own_etcd.kill()
        stage.proxy.wait_for_log("cannot read the cluster data", start=stage.proxy.mark())
        own_etcd.start()
        stage.store.wait_for_new_info(stage.proxy.uid, 5)
        wait_for_probe(stage.proxy.port, "forwards")

    for _ in range(2):
        cycle()
    before = stage.proxy.fd_count()
    for _ in range(4):
        cycle()
    # What is kept for the next request may be there or not; one an outage would be four.
    wait_until(lambda: stage.proxy.fd_count() <= before + 3, 5,
               lambda: f"{stage.proxy.fd_count()} descriptors, {before} before")


def test_exit_is_quick_while_etcd_is_silent(own_etcd, own_stage):
    stage = own_stage.ready()
    client = stage.client()
    own_etcd.freeze()
    code, took = stage.proxy.stop()
    own_etcd.thaw()
    assert code == 0 and took < 1.7
    assert end_of(client) in ("rst", "fin")
