"""Where it listens, and what happens if somebody else does."""

import os
import signal
import socket
import struct

import pytest

from harness import (connect_unix, echoes, end_of, free_port, holds_for, is_listening, probe,
                     wait_for_probe, wait_until)


def hold_port(port, reuse_port=False, host="127.0.0.1"):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((host, port))
    s.listen(1)
    return s


@pytest.mark.parametrize("workers", [1, 4])
def test_second_instance_on_the_port_takes_over_when_the_first_ends(opened, workers):
    """It fails to listen beside the first, says so once, and is not fatal."""
    first = opened.proxy
    second = opened.start_proxy(f"--workers={workers}", port=first.port)
    line = second.wait_for_log("cannot listen")
    assert f"127.0.0.1:{first.port}" in line and "level=error" in line
    generation = opened.publish("db1", enabled=[first.uid, second.uid])
    opened.store.wait_for_generation(first.uid, generation)
    for _ in range(2):
        opened.store.wait_for_new_info(first.uid)
    # A proxy that nobody can reach acknowledges nothing, as stolon-proxy.
    assert opened.store.info_text(second.uid) is None
    before = len(opened.servers["db1"].connections)
    for _ in range(20):
        assert probe(first.port) == "forwards"
    assert len(opened.servers["db1"].connections) == before + 20
    assert len(second.find_log("cannot listen")) == 1
    assert not second.find_log(r"session \d")
    first.stop()
    wait_for_probe(second.port, "forwards", 3)
    assert second.find_log('msg="listening"')


def test_next_instance_takes_over_from_one_that_was_killed(opened):
    first = opened.proxy
    client = opened.client()
    second = opened.start_proxy(port=first.port)
    second.wait_for_log("cannot listen")
    first.kill()
    end_of(client)
    assert opened.servers["db1"].connections[-1].wait_for_end() == "rst"
    opened.publish("db1", enabled=[second.uid])
    wait_for_probe(second.port, "forwards", 3)


@pytest.mark.parametrize("reuse_port", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_foreign_listener_is_waited_for(stage, reuse_port, host):
    port = free_port()
    holder = hold_port(port, reuse_port, host)
    stage.start_proxy(port=port)
    stage.proxy.wait_for_log("cannot listen")
    stage.publish("db1")
    holds_for(lambda: stage.store.info_text(stage.proxy.uid) is None, 0.3)
    holder.close()
    stage.acknowledged()
    wait_for_probe(port, "forwards", 3)


def test_foreign_listener_cannot_join_the_port(opened):
    """Ours share the port with SO_REUSEPORT; nobody else without it may."""
    with pytest.raises(OSError):
        hold_port(opened.proxy.port)


def test_ipv4_ipv6_a_name_and_a_unix_socket_at_once(stage, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    stage.start_proxy("--listen-address=localhost,::1", f"--listen-address={folder}",
                      "--listen-address=127.0.0.2")
    stage.publish("db1")
    wait_for_probe(stage.proxy.port, "forwards")
    for host in ("::1", "127.0.0.2"):
        assert probe(stage.proxy.port, host) == "forwards"
    path = f"{folder}/.s.PGSQL.{stage.proxy.port}"
    with connect_unix(path) as s:
        assert echoes(s)
    stage.proxy.stop()
    assert not os.path.exists(path)


@pytest.mark.parametrize("text", ["", "0.0.0.0", "::"])
def test_all_addresses_of_both_families(stage, text):
    stage.start_proxy(listen=text)
    stage.publish("db1")
    wait_for_probe(stage.proxy.port, "forwards")
    for host in ("127.0.0.1", "127.0.0.3", "::1"):
        assert probe(stage.proxy.port, host) == "forwards"


def test_one_address_leaves_the_others_alone(opened):
    assert not is_listening(opened.proxy.port, "127.0.0.2")


def test_stale_socket_file_is_replaced_but_no_other_file(stage, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
    stage.start_proxy(listen=str(path))
    stage.publish("db1")
    stage.proxy.wait_for_log("routing to the leader")
    with connect_unix(str(path)) as s:
        assert echoes(s)
    stage.proxy.stop()
    path.write_text("precious", encoding="utf-8")
    stage.start_proxy(listen=str(path))
    stage.proxy.wait_for_log("cannot listen")
    stage.proxy.stop()
    assert path.read_text(encoding="utf-8") == "precious"


def test_second_instance_does_not_take_the_socket_file(stage, tmp_path):
    path = str(tmp_path / "socket")
    first = stage.start_proxy(listen=path)
    stage.publish("db1")
    first.wait_for_log("routing to the leader")
    second = stage.start_proxy(listen=path)
    second.wait_for_log("cannot listen")
    second.stop()
    with connect_unix(path) as s:
        assert echoes(s)


def test_all_or_none_of_the_addresses(stage):
    """One that is taken: no half of the service, and the rest is given back."""
    port = free_port()
    holder = hold_port(port, host="127.0.0.2")
    stage.start_proxy("--listen-address=127.0.0.1,127.0.0.2", port=port)
    stage.proxy.wait_for_log("cannot listen")
    assert not is_listening(port)
    holder.close()
    stage.publish("db1")
    wait_for_probe(port, "forwards", 3)


def test_workers_share_the_clients(stage):
    stage.start_proxy("--workers=4")
    stage.open("db1")
    clients = [stage.client() for _ in range(80)]
    for c in clients:
        c.close()

    def workers():  # from the numbers of their sessions
        lines = stage.proxy.find_log(r"session \d+: closed")
        return {int(line.split("session ")[1].split(":")[0]) % 4 for line in lines}

    wait_until(lambda: workers() == {0, 1, 2, 3}, what=workers)


def test_without_a_leader_clients_are_closed_without_a_word(stage):
    stage.start_proxy("--workers=1")
    stage.publish("")
    stage.acknowledged()
    s = socket.create_connection(("127.0.0.1", stage.proxy.port), 5)
    assert s.recv(100) == b""
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", stage.proxy.port)):
            pass
    lines = stage.proxy.find_log("clients closed, nobody is routed")
    assert len(lines) == 1  # counted, not repeated


def keepalive_timer(local, remote):
    """Seconds until the probe of the connection between these two ports."""
    with open("/proc/net/tcp", encoding="utf-8") as f:
        for fields in map(str.split, f):
            if fields[1].endswith(f":{local:04X}") and fields[2].endswith(f":{remote:04X}"):
                kind, when = fields[5].split(":")
                return int(when, 16) / os.sysconf("SC_CLK_TCK") if kind == "02" else None
    return None


def wait_for_keepalive(local, remote):
    """Once a retransmission timer of the last bytes is over."""
    return wait_until(lambda: keepalive_timer(local, remote), 5)


def test_keepalive_flags_are_those_of_accepted_sockets(stage):
    stage.start_proxy("--tcp-keepalive-idle=77", "--tcp-keepalive-interval=7",
                      "--tcp-keepalive-count=3")
    stage.open("db1")
    with stage.client() as client:
        server = stage.servers["db1"].connections[-1]
        assert 70 < wait_for_keepalive(stage.proxy.port, client.getsockname()[1]) <= 77
        assert 10 < wait_for_keepalive(server.peer_port, stage.servers["db1"].port) <= 15


def test_default_keepalive_is_gos_on_both_sides(opened):
    with opened.client() as client:
        server = opened.servers["db1"].connections[-1]
        assert 10 < wait_for_keepalive(opened.proxy.port, client.getsockname()[1]) <= 15
        assert 10 < wait_for_keepalive(server.peer_port, opened.servers["db1"].port) <= 15


def test_client_that_resets_before_it_is_accepted_harms_nobody(opened):
    opened.proxy.freeze()
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", opened.proxy.port))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    opened.proxy.thaw()
    assert probe(opened.proxy.port) == "forwards"
    holds_for(opened.proxy.is_running, 0)
    opened.proxy.send_signal(signal.SIGTERM)
    assert opened.proxy.wait() == 0
