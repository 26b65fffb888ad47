"""What a session costs while nothing happens: memory and descriptors."""

import os
import re
import resource

import pytest

from harness import connect, echoes, wait_until

IDLE_SESSIONS = 5000
MOST_BYTES_EACH = 600
DESCRIPTORS, MANY_SESSIONS = 20000, 9000

# A sanitizer keeps memory of its own beside each allocation: nothing could be said of ours.
pytestmark = pytest.mark.skipif(os.environ.get("PGSPLICE_SOAK_SANITIZED") == "1",
                                reason="not its own memory")


@pytest.fixture
def room():
    """This process may have that many descriptors, and the launcher's too."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    if old[1] < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (old[1], old[1]))
    yield ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"]
    resource.setrlimit(resource.RLIMIT_NOFILE, old)


@pytest.fixture
def many(stage, room):
    stage.start_proxy("--workers=2", launcher=room)
    stage.open("db1")
    return stage


def private_bytes(proxy):
    return 1024 * sum(int(kb) for kb in re.findall(r"^Private_\w+: +(\d+) kB",
                                                   proxy.proc("smaps_rollup"), re.M))


def open_sessions(port, servers, sockets, count):
    """Each has a session that is open, not merely a place in a queue."""
    def opened():
        return sum(len(s.connections) for s in servers)

    before = opened()
    for _ in range(count):
        sockets.append(connect(port))
    wait_until(lambda: opened() - before >= count, 60, lambda: f"{opened() - before} sessions")


def check_idle_sessions(proxy, port, servers):
    sockets = []
    try:
        # What each worker's first sessions bring with them.
        open_sessions(port, servers, sockets, 100)
        at_start = private_bytes(proxy)
        open_sessions(port, servers, sockets, IDLE_SESSIONS)
        each = (private_bytes(proxy) - at_start) / IDLE_SESSIONS
        print(f"\n{each:.0f} bytes for each of {IDLE_SESSIONS} idle sessions")
        assert each <= MOST_BYTES_EACH
    finally:
        for s in sockets:
            s.close()


def test_idle_sessions_cost_600_bytes_each(many):
    check_idle_sessions(many.proxy, many.proxy.port, [many.servers["db1"]])


def test_idle_sessions_of_the_direct_port_cost_600_bytes_each(make_direct, room):
    stage = make_direct()
    stage.start("--workers=2", launcher=room)
    check_idle_sessions(stage.proxy, stage.direct_port,
                        [stage.servers["db2"], stage.servers["db3"]])


def test_9000_sessions_fit_into_20000_descriptors(many):
    sockets = []
    try:
        open_sessions(many.proxy.port, [many.servers["db1"]], sockets, MANY_SESSIONS)
        assert all(echoes(s) for s in sockets[::500])
        assert many.proxy.find_log("accepting is paused") == []
    finally:
        for s in sockets:
            s.close()
