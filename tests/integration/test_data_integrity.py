"""No byte is lost or altered, nothing leaks, and slow clients are left alone."""

import os
import random
import re
import subprocess

import pytest

from harness import Stage, binary, connect, echoes, free_port, holds_for, receive, wait_until


def traffic_program():
    path = os.environ.get("PGSPLICE_TRAFFIC") or os.path.join(
        os.path.dirname(binary()), "../tests/integration/traffic/traffic")
    if not os.path.exists(path):
        pytest.skip("no traffic program beside PGSPLICE_BIN")
    return path


@pytest.fixture
def forwarding(store):
    """A stage that forwards to a port on which nobody listens yet. Every session
    is logged, so that the log has all its memory soon."""
    s = Stage(store)
    s.server_port = free_port()
    s.add_member("db1", port=s.server_port)
    s.start_proxy("--workers=2", "--log-level=debug", listen="0.0.0.0")
    s.publish("db1")
    s.acknowledged()
    s.proxy.wait_for_log("routing to the leader")
    yield s
    s.close()


def run_traffic(stage, sessions, concurrency, max_bytes, limit_s):
    seed = random.randrange(1, 1 << 30)
    done = subprocess.run([traffic_program(), str(stage.proxy.port), str(stage.server_port),
                           str(sessions), str(concurrency), str(max_bytes), str(seed)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=limit_s, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
    counts = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", done.stdout)}
    assert counts["sessions"] == sessions and counts["wrong"] == 0
    return counts


def test_no_byte_is_lost_or_altered_in_10000_sessions(forwarding):
    fds = forwarding.proxy.fd_count()
    counts = run_traffic(forwarding, 10000, 200, 300000, 120)
    assert 3000 < counts["resets"] < 5000
    assert counts["bytes"] > 100e6
    wait_until(lambda: forwarding.proxy.fd_count() == fds, 5,
               lambda: f"{forwarding.proxy.fd_count()} descriptors, {fds} at the start")


def check_growth(stage, sessions, limit_s):
    run_traffic(stage, 5000, 100, 1000, limit_s)
    before, fds = stage.proxy.memory_kb(), stage.proxy.fd_count()
    run_traffic(stage, sessions, 100, 1000, limit_s)
    wait_until(lambda: stage.proxy.fd_count() <= fds, 5)
    grown = stage.proxy.memory_kb() - before
    assert grown <= 256, f"{grown} kB more after {sessions} sessions"


def test_memory_does_not_grow_with_sessions(forwarding):
    check_growth(forwarding, 20000, 60)


@pytest.mark.full
def test_memory_does_not_grow_over_100000_sessions(forwarding):
    check_growth(forwarding, 100000, 300)


def test_memory_at_start_is_at_most_3_mb(forwarding):
    assert forwarding.proxy.memory_kb() <= 3072


def check_silent_client(store, seconds):
    s = Stage(store)
    size = 16 << 20
    s.add_member("db1", greeting=random.randbytes(size))
    s.start_proxy("--tcp-keepalive-idle=1", "--tcp-keepalive-interval=1",
                  "--tcp-keepalive-count=2")
    s.publish("db1")
    s.acknowledged()
    s.proxy.wait_for_log("routing to the leader")
    try:
        with connect(s.proxy.port) as client, connect(s.proxy.port) as idle:
            server, _ = s.servers["db1"].wait_for_connections(2)
            wait_until(lambda: server.out)
            holds_for(lambda: server.is_live() and s.proxy.is_running(), seconds, step=0.1)
            assert receive(client, size) == s.servers["db1"].greeting
            assert echoes(client)
            assert receive(idle, size) == s.servers["db1"].greeting
    finally:
        s.close()


def test_client_that_reads_nothing_for_long_survives(store):
    check_silent_client(store, 5)


@pytest.mark.full
def test_client_that_reads_nothing_for_a_minute_survives(store):
    check_silent_client(store, 60)
