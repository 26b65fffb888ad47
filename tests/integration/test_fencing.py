"""A published generation is a promise: no byte of a client reaches the old leader
through this proxy any more."""

import random
import signal

import pytest

from harness import Stage, end_of, wait_for_probe
from harness.fence import DeafConnection, Streamers, check_promises


@pytest.fixture(params=["auto", "always"])
def fenced(store, shim, request):
    """A stage whose proxy runs with the shim, for each --splice that splices;
    servers with small windows."""
    s = Stage(store, check_interval="500ms", proxy_timeout="10s")
    for uid in ("db1", "db2"):
        s.add_member(uid, rcvbuf=32768)
    s.start_proxy("--workers=3", f"--splice={request.param}", launcher=shim.launcher)
    s.always_splices = request.param == "always"
    yield s
    s.close()


def delay_at_random(shim):
    """Delays in workers, store and log, of another kind each time."""
    shim.clear()
    for operation, thread, most_ms in (("send", "worker", 8), ("close", "worker", 8),
                                       ("rename", "store", 20), ("open", "store", 10),
                                       ("read", "store", 10), ("log", "log", 20),
                                       ("epoll", "worker", 5), ("epoll", "control", 5)):
        if random.random() < 0.6:
            shim.delay(operation, random.choice((50, 200, 500)), most_ms, thread=thread)


def change_leader(stage, permitted, leader):
    """What is written is noted in permitted."""
    generation = stage.publish(leader)
    permitted[generation] = {stage.servers[leader].port} if leader else set()


def run_storm(stage, shim, rounds):
    permitted = {0: set()}
    leader = "db1"
    change_leader(stage, permitted, leader)
    streamers = Streamers(stage.proxy.port, 4)
    try:
        for _ in range(rounds):
            stage.acknowledged(30)
            shim.clear()
            deaf = DeafConnection(stage, stage.servers[leader])
            delay_at_random(shim)
            leader = "db2" if leader == "db1" else "db1"
            if random.random() < 0.7:
                change_leader(stage, permitted, "")
                if random.random() < 0.7:
                    stage.acknowledged(30)
                    deaf.check_after_acknowledgement()
                    deaf = None
            change_leader(stage, permitted, leader)
            stage.acknowledged(30)
            if deaf is not None:
                deaf.check_after_acknowledgement()
    finally:
        streamers.stop()
    shim.clear()
    check_promises(shim.notes(), permitted)
    sends = [n for n in shim.notes("send") if n.result > 0]
    assert len(sends) > 50 * rounds, "the clients hardly streamed"
    if stage.always_splices:
        assert all(n.spliced for n in sends)


def test_no_byte_reaches_the_old_leader_after_the_acknowledgement(fenced, shim):
    run_storm(fenced, shim, 20)


@pytest.mark.full
def test_no_byte_reaches_the_old_leader_after_the_acknowledgement_long(fenced, shim):
    run_storm(fenced, shim, 120)


def test_nothing_is_acknowledged_while_one_worker_still_closes(fenced, shim):
    """Not the random kind: every close takes its time."""
    stage = fenced
    permitted = {0: set()}
    change_leader(stage, permitted, "db1")
    wait_for_probe(stage.proxy.port, "forwards")
    clients = [stage.client() for _ in range(12)]
    shim.delay("close", 1000, 20, least_ms=10, thread="worker")
    change_leader(stage, permitted, "")
    stage.acknowledged()
    shim.clear()
    check_promises(shim.notes(), permitted)
    assert {end_of(c) for c in clients} == {"rst"}


def test_server_that_stopped_reading_gets_no_byte_after_the_acknowledgement(fenced):
    stage = fenced
    stage.open("db1")
    deaf = DeafConnection(stage, stage.servers["db1"])
    stage.publish("")
    stage.acknowledged()
    deaf.check_after_acknowledgement()


def test_killed_proxy_leaves_resets_behind(fenced):
    stage = fenced
    stage.open("db1")
    clients = [stage.client() for _ in range(20)]
    deaf = DeafConnection(stage, stage.servers["db1"])
    live = stage.servers["db1"].live()
    assert len(live) == 21
    stage.proxy.send_signal(signal.SIGKILL)
    stage.proxy.wait()
    deaf.check_after_acknowledgement()
    assert {c.wait_for_end() for c in live} == {"rst"}
    for c in clients:
        c.close()


def test_slow_log_delays_no_cut(fenced, shim):
    stage = fenced
    stage.open("db1")
    client = stage.client()
    shim.block("log")
    stage.publish("")
    shim.wait_until_held("log")
    assert end_of(client, 1) == "rst"
    stage.acknowledged(1)
    stage.publish("db2")
    stage.acknowledged(1)
    wait_for_probe(stage.proxy.port, "forwards", 1)
    assert shim.held("log") > 0
