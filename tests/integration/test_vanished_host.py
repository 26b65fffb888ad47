"""A host that vanishes says nothing: its sessions end by TCP keepalive, whatever
they were doing, and those of hosts that are only slow do not."""

import time

import pytest

from harness import RecordingServer, Stage, connect, echoes, end_of, holds_for, wait_until
from harness.fence import DeafConnection
from harness.namespaces import Namespaces

KEEPALIVE_S = 3  # one second of silence, two probes
SWEEP_S = 5  # how often it looks for bytes that nobody confirms
SLACK_S = 1.5


@pytest.fixture
def apart(store, shim, request):
    """A stage whose server db1 is on another host, with keepalive shortened. A
    parameter: --splice."""
    with Namespaces(1) as places:
        s = Stage(store, check_interval="5s", proxy_timeout="30s")
        address = places.place(0)[0]
        with places.inside(0):
            s.servers["db1"] = RecordingServer(host=address, rcvbuf=32768)
        s.add_member("db1", address, s.servers["db1"].port)
        s.start_proxy(f"--splice={getattr(request, 'param', 'auto')}",
                      launcher=[*shim.launcher, "SHIM_KEEPALIVE=1"])
        s.open("db1")
        s.vanish = lambda: places.cut_from_us(0)
        yield s
        s.close()


def check_it_ends(stage, client, limit_s):
    cpu, began = stage.proxy.cpu_seconds(), time.monotonic()
    end_of(client, limit_s + 20)
    took = time.monotonic() - began
    assert took <= limit_s + SLACK_S, f"it took {took:.1f} s"
    assert stage.proxy.cpu_seconds() - cpu < 0.3, "it spins"
    stage.proxy.wait_for_log("reason=server-reset")


def test_idle_session_of_a_vanished_host_ends_by_keepalive(apart):
    client = apart.client()
    apart.vanish()
    check_it_ends(apart, client, KEEPALIVE_S)


@pytest.mark.parametrize("apart", ["always"], indirect=True)
def test_session_whose_host_vanishes_while_it_sends_ends_by_keepalive(apart):
    client = apart.client()
    server = apart.servers["db1"].connections[-1]
    server.send(bytes(256 << 20))
    wait_until(lambda: len(client.recv(1 << 20)) > 0)
    apart.vanish()
    check_it_ends(apart, client, KEEPALIVE_S)


@pytest.mark.parametrize("apart", ["off", "always"], indirect=True)
def test_session_with_bytes_for_a_vanished_host_ends_by_keepalive(apart):
    """The kernel itself would send them again for a quarter of an hour."""
    client = apart.client()
    apart.servers["db1"].mode = "silent"
    client.setblocking(False)
    chunk = bytes(1 << 20)
    client.send(chunk)
    apart.vanish()

    def is_full():
        try:
            client.send(chunk)
            return False
        except BlockingIOError:
            return True

    wait_until(is_full)
    check_it_ends(apart, client, KEEPALIVE_S + SWEEP_S)


def test_session_with_bytes_for_a_vanished_client_ends_by_keepalive(store):
    with Namespaces(1) as places:
        stage = Stage(store, check_interval="5s", proxy_timeout="30s")
        server = stage.add_member("db1")
        stage.start_proxy("--tcp-keepalive-idle=1", "--tcp-keepalive-interval=1",
                          "--tcp-keepalive-count=2", listen="0.0.0.0")
        stage.open("db1")
        with places.inside(0):
            client = connect(stage.proxy.port, places.our_address(0))
        assert echoes(client)
        connection = server.connections[-1]
        connection.send(bytes(64 << 20))
        places.cut_from_us(0)
        try:
            connection.wait_for_end(KEEPALIVE_S + SWEEP_S + SLACK_S)
            stage.proxy.wait_for_log("reason=client-reset")
        finally:
            client.close()
            stage.close()


def test_session_of_a_host_that_stopped_reading_survives(apart):
    deaf = DeafConnection(apart, apart.servers["db1"])
    holds_for(deaf.connection.is_live, KEEPALIVE_S + SWEEP_S + SLACK_S, step=0.1)
    size = deaf.connection.size
    apart.servers["db1"].mode = "silent"
    apart.servers["db1"].call(lambda: deaf.set_reading(True))
    wait_until(lambda: deaf.connection.size > size + 65536)
    deaf.client.close()
