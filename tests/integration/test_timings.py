"""proxyCheckInterval and proxyTimeout, and the ProxyInfo that announces them."""

import re
import time

from harness import Stall, end_of, holds_for, probe, wait_for_probe, wait_until

SECOND = 1000000000


def test_proxyinfo_has_exactly_stolons_fields(opened):
    text = opened.store.info_text(opened.proxy.uid)
    assert re.fullmatch(r'\{"infoUID":"[0-9a-f]{8}","UID":"[0-9a-f]{8}",'
                        r'"Generation":\d+,"ProxyTimeout":\d+\}', text)
    assert opened.store.info(opened.proxy.uid)["UID"] == opened.proxy.uid


def test_every_publish_has_a_fresh_infouid(opened):
    opened.publish("db1", check_interval="50ms")
    seen = [opened.store.info(opened.proxy.uid)["infoUID"]]
    for _ in range(10):
        seen.append(opened.store.wait_for_new_info(opened.proxy.uid)["infoUID"])
    assert len(set(seen)) == len(seen)


def test_uid_is_drawn_anew_at_every_start(opened):
    first = opened.proxy.uid
    opened.proxy.stop()
    assert opened.start_proxy().uid != first


def test_publishes_at_least_every_check_interval(opened):
    """Also while nothing changes, and while the data changes all the time."""
    opened.publish("db1", check_interval="200ms")
    opened.store.wait_for_new_info(opened.proxy.uid)
    for changing in (False, True):
        for _ in range(5):
            began = time.monotonic()
            if changing:
                opened.publish("db1", check_interval="200ms")
            opened.store.wait_for_new_info(opened.proxy.uid)
            assert time.monotonic() - began < 0.2 + 0.15


def test_no_leader_is_published_every_check_interval_as_well(opened):
    opened.publish("", check_interval="100ms")
    opened.acknowledged()
    began = time.monotonic()
    for _ in range(5):
        opened.store.wait_for_new_info(opened.proxy.uid)
    assert time.monotonic() - began < 5 * 0.1 + 0.5


def test_timeout_published_is_never_below_the_one_in_force(opened):
    """Lowering it: one publish at least still carries the old one."""
    def published():
        return opened.store.info(opened.proxy.uid)["ProxyTimeout"]

    opened.publish("db1", proxy_timeout="20s")
    assert opened.acknowledged()["ProxyTimeout"] == 20 * SECOND
    for _ in range(2):  # in force once a read has vouched for it
        opened.store.wait_for_new_info(opened.proxy.uid)
    opened.publish("db1", proxy_timeout="3s")
    assert opened.acknowledged()["ProxyTimeout"] == 20 * SECOND
    wait_until(lambda: published() == 3 * SECOND)
    opened.publish("db1", proxy_timeout="30s")
    assert opened.acknowledged()["ProxyTimeout"] == 30 * SECOND


def test_lower_timeout_is_announced_only_when_the_deadline_follows_it(opened):
    """Changes that come faster than reads: none of them may announce 2 s while
    the sessions still have 60."""
    opened.publish("db1", check_interval="50s", proxy_timeout="60s")
    opened.store.wait_for_info(opened.proxy.uid, lambda i: i["ProxyTimeout"] == 60 * SECOND)
    client = opened.client()
    opened.publish("db1", check_interval="500ms", proxy_timeout="2s")
    opened.store.wait_for_info(opened.proxy.uid, lambda i: i["ProxyTimeout"] == 2 * SECOND)
    opened.store.lose()
    lost_at = time.monotonic()
    assert end_of(client, 10) == "rst"
    assert time.monotonic() - lost_at < 2.2


def test_timings_that_could_not_be_published_are_not_in_force(stage):
    """stolon's default of 15 s holds as long as no other was announced."""
    stage.timings = {"check_interval": "100ms", "proxy_timeout": "500ms"}
    stage.store.refuse_info()
    stage.start_proxy()
    stage.publish("db1")
    stage.proxy.wait_for_log("cannot write our proxy info")
    holds_for(lambda: probe(stage.proxy.port) == "closed", 1.0, "it stopped listening",
              step=0.02)
    stage.store.accept_info()
    stage.acknowledged()
    wait_for_probe(stage.proxy.port, "forwards")
    stage.store.wait_for_info(stage.proxy.uid, lambda i: i["ProxyTimeout"] == SECOND // 2)
    stage.store.lose()
    wait_for_probe(stage.proxy.port, "refused", 2)


def wait_for_end_of_check(stage, before=None):
    """The first one after the ProxyInfo `before`, or after now. Its write is seen; that it
    has ended as well is known once its thread rests."""
    before = before or stage.store.info(stage.proxy.uid)
    stage.store.wait_for_info(stage.proxy.uid, lambda i: i["infoUID"] != before["infoUID"])
    tid = next(tid for tid, name in stage.proxy.threads().items() if name == "store")
    wait_until(lambda: stage.proxy.thread_states()[tid] == "S", 5)


def test_deadline_counts_from_when_the_read_was_sent_not_answered(opened):
    """A store that answers late gives no time away: its answer is as old as the
    question. Reads are sent 1 s after the end of the check before."""
    opened.publish("db1", check_interval="1s", proxy_timeout="3s")
    opened.store.wait_for_info(opened.proxy.uid, lambda i: i["ProxyTimeout"] == 3 * SECOND)
    client = opened.client()
    for _ in range(2):  # the new timings are announced, then in force
        wait_for_end_of_check(opened)
    began = time.monotonic()
    before = opened.store.info(opened.proxy.uid)
    with Stall(opened.proxy, "store"):  # the read of 1.0 is answered at 1.8
        wait_until(lambda: time.monotonic() >= began + 1.8, 5)
    wait_for_end_of_check(opened, before)
    with Stall(opened.proxy, "store"):  # that of 2.8 never
        assert end_of(client, 5) == "rst"
        assert 3.8 < time.monotonic() - began < 4.5
