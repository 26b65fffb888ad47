"""A proxy that cannot confirm its leader holds no session past the deadline, and
forwards no byte after it: stalled threads, a stopped process."""

import signal
import time

import pytest

from harness import Stage, connect, echoes, end_of, probe, wait_for_probe, wait_until
from harness.fence import DeafConnection, check_promises

TIMEOUT_S = 1.0  # proxyTimeout
SLACK_S = 0.3


@pytest.fixture
def timed(store, shim, request):
    """A stage with a short deadline, whose proxy is open for db1. A parameter:
    --splice."""
    s = Stage(store, check_interval="200ms", proxy_timeout=f"{int(TIMEOUT_S * 1000)}ms")
    s.add_member("db1", rcvbuf=32768)
    s.add_member("db2")
    s.start_proxy("--workers=2", f"--splice={getattr(request, 'param', 'auto')}",
                  launcher=shim.launcher)
    s.publish("db1")
    s.acknowledged()
    s.open("db1")  # once more: the timings are in force after the first publish
    yield s
    s.close()


def check_cut_at_the_deadline(stage, clients, stalled_at):
    assert {end_of(c, TIMEOUT_S + 2) for c in clients} == {"rst"}
    took = time.monotonic() - stalled_at
    assert took <= TIMEOUT_S + SLACK_S, f"cut {took:.3f} s after the stall"
    wait_until(lambda: not stage.servers["db1"].live())
    assert all(c.end == "rst" for c in stage.servers["db1"].connections if c.end != "fin")
    assert stage.proxy.is_running()
    stage.proxy.wait_for_log("reason=deadline")


def test_stalled_control_thread_keeps_no_session_past_the_deadline(timed, shim):
    clients = [timed.client() for _ in range(10)]
    shim.block("epoll", thread="control")
    shim.wait_until_held("epoll")
    check_cut_at_the_deadline(timed, clients, time.monotonic())
    assert probe(timed.proxy.port) == "closed"
    shim.clear()
    wait_for_probe(timed.proxy.port, "forwards")


@pytest.mark.parametrize("operation", ["rename", "open"])
def test_stalled_store_keeps_no_session_past_the_deadline(timed, shim, operation):
    clients = [timed.client() for _ in range(10)]
    shim.block(operation, thread="store")
    shim.wait_until_held(operation)
    check_cut_at_the_deadline(timed, clients, time.monotonic())
    shim.clear()
    wait_for_probe(timed.proxy.port, "forwards")


def test_listeners_that_open_late_bring_no_older_snapshot(timed, shim):
    """The publish that succeeds after the deadline opens listeners and leader at
    once; workers that are quicker than the control thread see one after the other."""
    client = timed.client()
    shim.block("rename", thread="store")
    shim.wait_until_held("rename")
    assert end_of(client, TIMEOUT_S + 2) == "rst"
    timed.proxy.wait_for_log("listening no more")
    shim.delay("write", 1000, 5, least_ms=5, thread="control")
    shim.clear("rename")
    wait_for_probe(timed.proxy.port, "forwards")
    timed.publish("db2")
    timed.acknowledged()
    assert timed.proxy.is_running()


def test_answers_that_take_long_do_not_move_the_deadline_by_that_time(timed, shim):
    """The time counts from when the last good check's read was sent."""
    client = timed.client()
    shim.block("open", thread="store")
    shim.wait_until_held("open")
    sent_at = time.monotonic()
    before = timed.store.info_text(timed.proxy.uid)
    wait_until(lambda: time.monotonic() >= sent_at + 0.7 * TIMEOUT_S)
    shim.clear("open")
    wait_until(lambda: timed.store.info_text(timed.proxy.uid) != before)
    shim.block("open", thread="store")  # the next check gets no answer
    assert end_of(client, TIMEOUT_S + 2) == "rst"
    assert time.monotonic() <= sent_at + TIMEOUT_S + SLACK_S
    shim.clear()
    wait_for_probe(timed.proxy.port, "forwards")


def stall_worker(stage, shim):
    """A session whose worker hangs in a send to the server."""
    client = stage.client()
    shim.block("send", thread="worker-0")
    client.sendall(b"this is stuck")
    shim.wait_until_held("send")
    return client


@pytest.fixture(params=["auto", "always"])
def single(store, shim, request):
    s = Stage(store, check_interval="200ms", proxy_timeout=f"{int(TIMEOUT_S * 1000)}ms")
    s.add_member("db1", rcvbuf=32768)
    s.add_member("db2")
    s.start_proxy("--workers=1", f"--splice={request.param}", launcher=shim.launcher)
    s.publish("db1")
    s.acknowledged()
    s.open("db1")
    yield s
    s.close()


def test_stalled_worker_ends_the_process_and_nothing_is_acknowledged(single, shim):
    stage = single
    clients = [stage.client() for _ in range(5)]
    deaf = DeafConnection(stage, stage.servers["db1"])
    stuck = stall_worker(stage, shim)
    stalled_at = time.monotonic()
    before = stage.generation
    stage.publish("")
    assert stage.proxy.wait(TIMEOUT_S + 3) == 70
    took = time.monotonic() - stalled_at
    assert took <= TIMEOUT_S + 1.0 + SLACK_S, f"ended {took:.3f} s after the stall"
    assert stage.store.info(stage.proxy.uid)["Generation"] == before
    deaf.check_after_acknowledgement()
    wait_until(lambda: not stage.servers["db1"].live())
    ends = [c.end for c in stage.servers["db1"].connections if b"echo" in c.received]
    assert ends.count("rst") >= 6
    for c in [*clients, stuck]:
        c.close()


def test_worker_that_wakes_in_time_forwards_nothing_that_was_withdrawn_meanwhile(single, shim):
    """The stuck bytes had their permission; what comes after the news has none."""
    stage = single
    client = stall_worker(stage, shim)
    connection = stage.servers["db1"].connections[-1]
    stage.publish("")
    stage.proxy.wait_for_log("routing to nobody")  # the worker has the news, unread
    client.sendall(b"too late")
    shim.clear()
    stage.acknowledged()
    assert connection.wait_for_end() == "rst"
    assert b"too late" not in connection.received
    check_promises(shim.notes(), {0: set(), 1: {stage.servers["db1"].port},
                                  2: {stage.servers["db1"].port}, 3: set()})


def wake_rounds(stage, rounds):
    for i in range(rounds):
        leader, other = ("db1", "db2") if i % 2 == 0 else ("db2", "db1")
        stage.open(leader)
        clients = [stage.client() for _ in range(20)]
        server = stage.servers[leader]
        frozen_at = time.monotonic()
        stage.proxy.freeze()
        stage.publish("")
        stage.publish(other)
        wait_until(lambda at=frozen_at: time.monotonic() >= at + TIMEOUT_S, TIMEOUT_S + 1)
        for c in clients[::2]:
            c.sendall(b"late, before it wakes")
        stage.proxy.thaw()
        for c in clients:
            try:
                c.sendall(b"late, on waking")
            except ConnectionError:
                pass  # cut already
        for c in clients:
            end_of(c)
            c.close()
        wait_until(lambda s=server: not s.live())
        assert b"late" not in server.received
        stage.acknowledged()


@pytest.mark.parametrize("timed", ["auto", "always"], indirect=True)
def test_woken_proxy_forwards_nothing_to_the_old_leader(timed):
    wake_rounds(timed, 4)


@pytest.mark.full
def test_woken_proxy_forwards_nothing_to_the_old_leader_long(timed):
    wake_rounds(timed, 60)


def test_stop_shorter_than_the_deadline_cuts_nobody(timed):
    client = timed.client()
    timed.proxy.freeze()
    timed.proxy.send_signal(signal.SIGCONT)
    assert echoes(client)
    with connect(timed.proxy.port) as c:
        assert echoes(c)
