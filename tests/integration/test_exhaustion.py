"""Descriptors run out: it waits, says so once, and goes on by itself."""

import re
import select
import time

import pytest

from harness import connect, echoes, holds_for, wait_for_probe, wait_until

COUNT = 60


def limited(stage, number):
    stage.start_proxy("--workers=2", launcher=["prlimit", f"--nofile={number}:{number}"])
    stage.open("db1")
    return stage.proxy


def send_to(socks):
    for s in socks:
        s.sendall(b"hello")


def answered(socks):
    ready, _, _ = select.select(socks, [], [], 0)
    return ready


@pytest.mark.parametrize("number", [80, 120])
def test_more_clients_than_descriptors_wait_and_are_served_later(stage, number):
    proxy = limited(stage, number)
    idle_fds = proxy.fd_count()
    clients = [connect(proxy.port) for _ in range(COUNT)]
    send_to(clients)
    proxy.wait_for_log("accepting is paused")
    wait_until(lambda: answered(clients))
    assert len(answered(clients)) < COUNT

    before = proxy.cpu_seconds()
    holds_for(proxy.is_running, 1.0)
    assert proxy.cpu_seconds() - before < 0.1, "it spins"
    assert len(proxy.find_log("accepting is paused")) == 1

    # Each that goes makes room for another, until all were served.
    waiting = set(clients)
    deadline = time.monotonic() + 20
    while waiting and time.monotonic() < deadline:
        ready, _, _ = select.select(list(waiting), [], [], 1)
        for s in ready:
            assert s.recv(100) == b"hello"
            s.close()
            waiting.discard(s)
    assert not waiting
    proxy.wait_for_log("accepting again")
    wait_until(lambda: proxy.fd_count() <= idle_fds, what=lambda: f"{proxy.fd_count()} fds")
    with connect(proxy.port) as s:
        assert echoes(s)
    code, took = proxy.stop()
    assert code == 0 and took < 2


def test_limit_too_low_for_its_own_needs_closes_some_but_recovers(stage):
    """Below what it reserves for itself a session may find no second descriptor."""
    proxy = limited(stage, 60)
    idle_fds = proxy.fd_count()
    clients = [connect(proxy.port) for _ in range(COUNT)]
    before = proxy.cpu_seconds()
    holds_for(proxy.is_running, 0.5)
    assert proxy.cpu_seconds() - before < 0.1, "it spins"
    for s in clients:
        s.close()
    wait_until(lambda: proxy.fd_count() <= idle_fds, what=lambda: f"{proxy.fd_count()} fds")
    with connect(proxy.port) as s:
        assert echoes(s)


def test_store_and_fencing_work_while_descriptors_are_short(stage):
    proxy = limited(stage, 60)
    clients = [connect(proxy.port) for _ in range(COUNT)]
    proxy.wait_for_log("accepting is paused")
    stage.publish("")
    stage.acknowledged()
    wait_until(lambda: not stage.servers["db1"].live())
    stage.publish("db2")
    stage.acknowledged()
    for s in clients:
        s.close()
    wait_for_probe(proxy.port, "forwards", 10)  # a moment after its generation


def test_limit_is_raised_to_the_hard_one_and_logged(stage):
    stage.start_proxy(launcher=["prlimit", "--nofile=64:1000"])
    assert "descriptors=1000" in stage.proxy.wait_for_log("capacity")
    assert "1000" in stage.proxy.proc("limits").split("Max open files")[1].splitlines()[0]


def test_no_descriptor_is_lost_over_many_sessions(opened):
    before = opened.proxy.fd_count()
    for _ in range(300):
        with connect(opened.proxy.port) as s:
            assert echoes(s)
    # No equality: the store or a probe may have had one open in that moment.
    wait_until(lambda: opened.proxy.fd_count() <= before)


def test_connections_to_servers_that_are_asked_are_not_for_sessions(start_pgsplice):
    """Else a leader would be lost because there are many clients."""
    def sessions(*args, **keywords):
        proxy = start_pgsplice("--workers=2", *args, launcher=["prlimit", "--nofile=1000:1000"],
                               **keywords)
        line = proxy.wait_for_log("msg=\"?capacity")
        return int(re.search(r"sessions=(\d+)", line).group(1))

    asking = sessions("--members=127.0.0.1:1", "--probe-conninfo=user=nobody", store=None)
    assert sessions() - asking >= 128 // 2
