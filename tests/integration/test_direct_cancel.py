"""CancelRequests on the direct port, which do not say whose backend they mean."""

import os
import socket
import time

import pytest

from harness import RecordingServer, echoes, end_of, receive, wait_until
from harness.client import connect
from harness.direct import SSL_REQUEST, STARTUP, cancel_request, receive_line

LIMIT_PER_SECOND = 100


@pytest.fixture(params=["replicas", "any"])
def cancelled(make_direct, request):
    stage = make_direct(standbys=3)
    stage.start(target=request.param)
    stage.targets = ["db2", "db3", "db4"] + (["db1"] if request.param == "any" else [])
    return stage


def check_everywhere(stage, packets):
    """Each server of the target has each packet once, complete and with an end behind;
    the others have nothing."""
    for uid, server in stage.servers.items():
        wanted = sorted(packets) if uid in stage.targets else []
        wait_until(lambda s=server, w=wanted: len(s.cancels()) >= len(w), what=uid)
        for c in server.cancels():
            assert c.wait_for_end() == "fin"
        assert sorted(c.received for c in server.cancels()) == wanted
        assert len(server.connections) == len(server.cancels()) + len(server.sessions())


def test_cancel_reaches_every_member_once(cancelled):
    packets = [cancel_request(i, os.urandom(4)) for i in range(20)]
    for packet in packets:
        with connect(cancelled.direct_port) as sock:
            sock.sendall(packet)
            assert end_of(sock) == "fin"  # as libpq waits for it
    check_everywhere(cancelled, packets)


@pytest.mark.parametrize("key_size", [4, 32, 256])
def test_cancel_byte_by_byte(cancelled, key_size):
    """Keys may be up to 256 bytes long since PostgreSQL 18."""
    packet = cancel_request(7, os.urandom(key_size))
    with connect(cancelled.direct_port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(packet)):
            sock.sendall(packet[i:i + 1])
        assert end_of(sock) == "fin"
    check_everywhere(cancelled, [packet])


def test_cancel_after_a_refused_request_for_encryption(cancelled):
    packet = cancel_request(9)
    with connect(cancelled.direct_port) as sock:
        sock.sendall(SSL_REQUEST)
        assert receive(sock, 1) == b"N"
        sock.sendall(packet)
        assert end_of(sock) == "fin"
    # The member that has said N has that packet, too.
    wait_until(lambda: sum(len(s.cancels()) for s in cancelled.servers.values()) ==
               len(cancelled.targets))
    everywhere = sorted(c.received for s in cancelled.servers.values() for c in s.cancels())
    assert everywhere == sorted([packet] * (len(cancelled.targets) - 1) + [SSL_REQUEST + packet])


def test_client_that_goes_at_once_has_its_cancel_delivered(cancelled):
    packets = [cancel_request(i) for i in range(20)]
    for packet in packets:
        with connect(cancelled.direct_port) as sock:
            sock.sendall(packet)
    check_everywhere(cancelled, packets)


def test_cancel_by_the_leaders_port_goes_to_the_leader_only(make_direct):
    stage = make_direct()
    stage.start()
    stage.targets = ["db1"]
    with connect(stage.proxy.port) as sock:
        sock.sendall(cancel_request(3))
        assert end_of(sock) == "fin"
    check_everywhere(stage, [cancel_request(3)])


def test_cancel_reaches_members_that_get_no_new_sessions(make_direct):
    """Their backends are just those that may be meant."""
    stage = make_direct(check_interval="200ms")
    stage.start()
    client = stage.direct_on("db2")
    stage.change("db2", healthy=False)
    stage.publish("db1")
    stage.acknowledged()
    assert set(stage.met(12)) == {"db3"}
    stage.targets = ["db2", "db3"]
    with connect(stage.direct_port) as sock:
        sock.sendall(cancel_request(3))
    check_everywhere(stage, [cancel_request(3)])
    assert echoes(client)


def test_member_that_refuses_is_in_no_cancels_way(make_direct):
    stage = make_direct()
    stage.start()
    stage.servers["db2"].close()
    stage.targets = ["db3"]
    del stage.servers["db2"]
    for i in range(5):
        with connect(stage.direct_port) as sock:
            sock.sendall(cancel_request(i))
    wait_until(lambda: {c.received for c in stage.servers["db3"].cancels()} ==
               {cancel_request(i) for i in range(5)})
    stage.met(4)


def test_flood_of_cancels_is_limited_and_said(make_direct):
    stage = make_direct()
    stage.start("--workers=1")
    count = 4 * LIMIT_PER_SECOND
    began = time.monotonic()
    socks = []
    for i in range(count):
        sock = connect(stage.direct_port)
        sock.sendall(cancel_request(i))
        socks.append(sock)
    for sock in socks:
        assert end_of(sock) == "fin"
    seconds = int(time.monotonic() - began) + 2  # of the proxy's clock that it may touch
    servers = (stage.servers["db2"], stage.servers["db3"])
    if seconds < count // LIMIT_PER_SECOND:
        stage.proxy.wait_for_log("too many cancel requests")
    wait_until(lambda: len({c.received for s in servers for c in s.cancels()}) == count)
    assert sum(len(s.cancels()) for s in servers) <= count + seconds * LIMIT_PER_SECOND
    assert 1 <= len(stage.proxy.find_log("too many cancel requests")) <= seconds
    with connect(stage.direct_port) as sock:
        sock.sendall(STARTUP)
        assert receive_line(sock) in ("db2", "db3")


def garbage():
    yield b"\x16\x03\x01" + os.urandom(200)  # a TLS hello without a request before it
    yield b"GET / HTTP/1.1\r\n\r\n"
    yield b"\0\0\0\x10\x04\xd2\x16\x2e" + os.urandom(2)  # a cancel that ends too early
    yield b"\0\0\0\x08\x04\xd2\x16\x2e"  # too short to be one
    yield b"\0\0\x20\0\x04\xd2\x16\x2e" + os.urandom(8184)  # too long
    yield b"\0\0\0"
    yield b"\0"
    yield b"\0" * 5000
    yield b"\xff" * 20000
    yield SSL_REQUEST + b"\x16\x03\x01" + os.urandom(500)
    yield SSL_REQUEST * 50
    yield os.urandom(100000)


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in pieces"])
def test_garbage_passes_unchanged_to_one_member(make_direct, at_once):
    stage = make_direct(standbys=0)
    for uid in ("db2", "db3"):
        stage.add_server(uid).close()
        stage.make_standby(uid, of="db1")
        stage.servers[uid] = RecordingServer(port=stage.servers[uid].port)
    stage.start()
    servers = (stage.servers["db2"], stage.servers["db3"])
    for data in garbage():
        before = sum(len(s.connections) for s in servers)
        with connect(stage.direct_port) as sock:
            for i in range(0, len(data), len(data) if at_once else max(1, len(data) // 7)):
                sock.sendall(data[i:i + (len(data) if at_once else max(1, len(data) // 7))])
            sock.shutdown(socket.SHUT_WR)
            assert receive(sock, len(data) + 1) == data
        connections = [c for s in servers for c in s.connections]
        assert len(connections) == before + 1
        assert any(c.received == data for c in connections)


def test_packet_that_comes_late_moves_nothing_before(make_direct):
    """Half a packet waits for the rest, and costs nothing meanwhile."""
    stage = make_direct()
    stage.start("--workers=1")
    packet = cancel_request(5)
    with connect(stage.direct_port) as sock:
        sock.sendall(packet[:13])
        wait_until(lambda: any(s.connections for s in (stage.servers["db2"],
                                                       stage.servers["db3"])))
        stage.met(4)  # others are served meanwhile
        before = stage.proxy.cpu_seconds()
        stage.met(4)
        assert stage.proxy.cpu_seconds() - before < 0.1
        assert not any(s.cancels() for s in stage.servers.values())
        sock.sendall(packet[13:])
        assert end_of(sock) == "fin"
    stage.targets = ["db2", "db3"]
    check_everywhere(stage, [packet])
