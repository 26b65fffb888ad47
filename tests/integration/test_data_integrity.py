"""No byte is lost or altered, nothing leaks, and slow clients are left alone."""

import random

import pytest

from harness import Stage, connect, echoes, free_port, holds_for, receive, wait_until
from harness.descriptors import Descriptors
from harness.soak import run_traffic

WORKERS = 2


@pytest.fixture
def forwarding(store, request):
    """A stage that forwards to a port on which nobody listens yet. Every session
    is logged, so that the log has all its memory soon. A parameter: --splice."""
    s = Stage(store)
    s.server_port = free_port()
    s.add_member("db1", port=s.server_port)
    s.start_proxy(f"--workers={WORKERS}", "--log-level=debug",
                  f"--splice={getattr(request, 'param', 'auto')}", listen="0.0.0.0")
    s.publish("db1")
    s.acknowledged()
    s.proxy.wait_for_log("routing to the leader")
    yield s
    s.close()


@pytest.mark.parametrize("forwarding", ["auto", "always"], indirect=True)
def test_no_byte_is_lost_or_altered_in_10000_sessions(forwarding):
    before = Descriptors(forwarding.proxy)
    counts = run_traffic(forwarding, 10000, 200, 300000, 120)
    assert 3000 < counts["resets"] < 5000
    assert counts["bytes"] > 100e6
    before.check_same_but_pools(WORKERS)


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
