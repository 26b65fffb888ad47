"""SIGTERM and SIGINT: what is gone when the process is gone."""

import os
import signal
import socket
import struct

import pytest

from harness import Stall, end_of, holds_for, is_listening, wait_until

LIMIT = 2.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exit_is_0_within_2_s_and_aborts_sessions_and_withdraws(opened, number):
    clients = [opened.client() for _ in range(5)]
    server = opened.servers["db1"]
    code, took = opened.proxy.stop(number)
    assert code == 0 and took < LIMIT
    assert opened.store.proxies() == []
    assert [end_of(c) for c in clients] == ["rst"] * 5
    for connection in server.connections[-5:]:
        assert connection.wait_for_end() == "rst"
    assert opened.proxy.find_log("reason=shutdown")
    assert not is_listening(opened.proxy.port)


def test_sighup_ends_nothing(opened):
    client = opened.client()
    for _ in range(2):
        opened.proxy.process.send_signal(signal.SIGHUP)
    opened.proxy.wait_for_log("nothing to reload")
    client.sendall(b"still here")
    assert client.recv(100) == b"still here"
    assert opened.proxy.stop()[0] == 0


def test_port_is_free_at_once_for_the_next_instance(opened):
    """Also when a client of the old one still has not closed."""
    lingering = opened.client()
    port = opened.proxy.port
    opened.proxy.stop()
    proxy = opened.start_proxy(port=port)
    line = proxy.wait_for_log("msg=\"listening\"|cannot listen")
    assert "cannot listen" not in line
    opened.open("db1")
    lingering.close()


def test_exit_does_not_wait_for_clients_that_do_nothing(opened):
    sockets = [socket.create_connection(("127.0.0.1", opened.proxy.port)) for _ in range(20)]
    opened.servers["db1"].wait_for_connections(21)
    code, took = opened.proxy.stop()
    assert code == 0 and took < LIMIT
    for s in sockets:
        s.close()


def test_exit_aborts_a_session_whose_server_has_stopped_reading(opened):
    server = opened.servers["db1"]
    client = opened.client()
    server.stop_reading()
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        while True:
            client.send(bytes(65536))
    code, took = opened.proxy.stop()
    assert code == 0 and took < LIMIT
    server.resume_reading()
    assert server.connections[-1].wait_for_end() == "rst"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exit_is_0_within_2_s_with_a_store_that_hangs(opened, number):
    client = opened.client()
    with Stall(opened.proxy, "store"):
        code, took = opened.proxy.stop(number)
    assert code == 0 and took < LIMIT
    assert end_of(client) == "rst"
    assert opened.proxy.find_log("store takes too long")


def test_exit_is_0_while_servers_of_the_direct_port_still_answer(make_direct):
    """They are measured until the end, which a store that hangs draws out; what they
    say is no news any more."""
    stage = make_direct(standbys=8, server={"delay": 0.05})
    proxy = stage.start("--direct-balance=nearest")
    stage.wait_for_members("db2", tries=1)
    with Stall(proxy, "store"):
        answers = sum(s.answers for s in stage.servers.values())
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait(2) == 0
        assert sum(s.answers for s in stage.servers.values()) > answers


def test_exit_during_a_publish_under_way_still_withdraws(opened):
    """The delete comes after the write: else the ProxyInfo would come back."""
    with Stall(opened.proxy, "store") as stall:
        opened.publish("")
        opened.proxy.send_signal(signal.SIGTERM)
        opened.proxy.wait_for_log("stopping")
        stall.release()
        assert opened.proxy.wait() == 0
    assert opened.store.proxies() == []


def test_second_signal_ends_at_once(opened):
    with Stall(opened.proxy, "store"):
        opened.proxy.send_signal(signal.SIGTERM)
        opened.proxy.wait_for_log("stopping")
        _, took = opened.proxy.stop(signal.SIGTERM)
    assert took < 0.5


def test_exit_before_the_store_exists(start_pgsplice, store):
    store.remove()
    proxy = start_pgsplice()
    proxy.wait_for_log("cannot read")
    code, took = proxy.stop()
    assert code == 0 and took < LIMIT
    assert not os.path.exists(store.directory)


def test_sigpipe_and_resets_do_not_end_it(opened):
    """Clients that reset while bytes are on their way, on both sides."""
    for _ in range(50):
        s = socket.create_connection(("127.0.0.1", opened.proxy.port))
        s.sendall(bytes(100000))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    wait_until(lambda: not opened.servers["db1"].live(), what="servers' sides to end")
    holds_for(opened.proxy.is_running, 0.1)
    opened.client()
