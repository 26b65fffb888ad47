"""What a session costs while nothing happens: memory and descriptors."""

import os
import re
import resource

import pytest

from harness import connect, echoes, wait_until

IDLE_SESSIONS = 5000
MOST_BYTES_EACH = 600
DESCRIPTORS, MANY_SESSIONS = 20000, 9000

pytestmark = pytest.mark.skipif(os.environ.get("PGSPLICE_SOAK_SANITIZED") == "1",
                                reason="not its own memory")


@pytest.fixture
def many(stage):
    """A stage whose proxy has that many descriptors; so has this process."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    if old[1] < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (old[1], old[1]))
    stage.start_proxy("--workers=2",
                      launcher=["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"])
    stage.open("db1")
    yield stage
    resource.setrlimit(resource.RLIMIT_NOFILE, old)


def private_bytes(proxy):
    return 1024 * sum(int(kb) for kb in re.findall(r"^Private_\w+: +(\d+) kB",
                                                   proxy.proc("smaps_rollup"), re.M))


def open_sessions(stage, sockets, count):
    """Each has a session that is open, not merely a place in a queue."""
    server = stage.servers["db1"]
    before = len(server.live())
    for _ in range(count):
        sockets.append(connect(stage.proxy.port))
    wait_until(lambda: len(server.connections) - before >= count, 60,
               lambda: f"{len(server.connections) - before} sessions")


def test_idle_sessions_cost_600_bytes_each(many):
    sockets = []
    try:
        open_sessions(many, sockets, 100)  # what each worker's first sessions bring with them
        at_start = private_bytes(many.proxy)
        open_sessions(many, sockets, IDLE_SESSIONS)
        each = (private_bytes(many.proxy) - at_start) / IDLE_SESSIONS
        print(f"\n{each:.0f} bytes for each of {IDLE_SESSIONS} idle sessions")
        assert each <= MOST_BYTES_EACH
    finally:
        for s in sockets:
            s.close()


def test_9000_sessions_fit_into_20000_descriptors(many):
    sockets = []
    try:
        open_sessions(many, sockets, MANY_SESSIONS)
        assert all(echoes(s) for s in sockets[::500])
        assert many.proxy.find_log("accepting is paused") == []
    finally:
        for s in sockets:
            s.close()
