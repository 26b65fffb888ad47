"""Where the direct port listens, beside the leader's port and beside PostgreSQL."""

import os
import socket
import threading

import pytest

from harness import (cluster_data, connect_unix, echoes, end_of, probe, wait_until)
from harness.client import connect
from harness.direct import STARTUP, MemberServer, receive_line

WILDCARDS = {"0.0.0.0": "0.0.0.0", "[::]": "::"}


def accepts(port, host="127.0.0.1"):
    try:
        connect(port, host).close()
        return True
    except ConnectionError:  # reset: the listener was closed in that moment
        return False


def hold_port(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(1)
    return s


def test_port_that_is_taken_is_waited_for(make_direct):
    """And said clearly; the leader's port is not held up."""
    stage = make_direct(check_interval="200ms")
    holder = hold_port(stage.direct_port)
    stage.start()
    line = stage.proxy.wait_for_log("cannot listen")
    assert f"127.0.0.1:{stage.direct_port}" in line and "level=error" in line
    with connect(stage.proxy.port) as sock:
        sock.sendall(STARTUP)
        assert receive_line(sock) == "db1"
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid)
    assert len(stage.proxy.find_log("cannot listen")) == 1
    holder.close()
    wait_until(lambda: accepts(stage.direct_port))
    stage.wait_for_members("db2", "db3")


@pytest.mark.parametrize("address", WILDCARDS)
@pytest.mark.parametrize("runs", [True, False], ids=["it runs", "it is down"])
def test_addresses_of_postgresql_are_not_taken(make_direct, address, runs):
    """A wildcard would take the port of a member of this machine, which may be down just
    now: it could not start any more."""
    stage = make_direct(check_interval="200ms")
    stage.direct_port = stage.servers["db2"].port
    if not runs:
        stage.servers["db2"].close()
    stage.start(f"--direct-listen-address={WILDCARDS[address]}")
    line = stage.proxy.wait_for_log("not opened, since PostgreSQL of this machine")
    assert "level=error" in line and "member=db2" in line
    with connect(stage.proxy.port) as sock:
        sock.sendall(STARTUP)
        assert receive_line(sock) == "db1"
    for _ in range(3):
        stage.store.wait_for_new_info(stage.proxy.uid)
    assert len(stage.proxy.find_log("not opened, since PostgreSQL")) == 1
    assert not accepts(stage.direct_port, "127.0.0.5")
    if not runs:
        stage.start_again("db2")  # it can
    del stage.members["db2"]
    stage.servers["db2"].close()
    stage.publish("db1")
    wait_until(lambda: accepts(stage.direct_port))
    stage.wait_for_members("db3")


def test_way_is_made_for_a_member_that_moves_in(make_direct):
    """Listening already, when the data names a PostgreSQL at the same place."""
    stage = make_direct(check_interval="200ms")
    stage.start("--direct-listen-address=0.0.0.0")
    stage.wait_for_members("db2", "db3")
    client = stage.direct_on("db3")
    stage.change("db2", port=str(stage.direct_port))
    stage.publish("db1")
    stage.acknowledged()
    stage.proxy.wait_for_log("not opened, since PostgreSQL of this machine.*member=db2")
    MemberServer("db2", port=stage.direct_port).close()  # can have it
    assert echoes(client)


def test_ipv4_wildcard_leaves_ipv6_to_postgresql(make_direct):
    """As on a Fly machine, where PostgreSQL has the port on its IPv6 address."""
    stage = make_direct(check_interval="200ms")
    six = stage.add_server("db2", host="::1", port=None)
    stage.make_standby("db2", of="db1")
    stage.direct_port = six.port
    stage.start("--direct-listen-address=0.0.0.0")
    stage.wait_for_members("db2", "db3")
    assert accepts(stage.direct_port, "127.0.0.5")
    six.close()
    stage.start_again("db2")  # nothing of ours is in its way
    stage.wait_for_members("db2", "db3")


def test_unix_socket_in_the_folder(make_direct, tmp_path):
    stage = make_direct()
    folder = tmp_path / "run"
    folder.mkdir()
    stage.start(f"--direct-listen-address={folder}", f"--listen-address={folder}",
                "--listen-address=127.0.0.1")
    path = f"{folder}/.s.PGSQL.{stage.direct_port}"
    with connect_unix(path) as sock:
        sock.sendall(STARTUP)
        assert receive_line(sock) in ("db2", "db3")
    with connect_unix(f"{folder}/.s.PGSQL.{stage.proxy.port}") as sock:
        sock.sendall(STARTUP)
        assert receive_line(sock) == "db1"
    stage.proxy.stop()
    assert not os.path.exists(path)


def test_listens_where_the_leaders_port_does_unless_told(make_direct):
    stage = make_direct()
    stage.start(listen="127.0.0.2")
    with connect(stage.direct_port, "127.0.0.2") as sock:
        sock.sendall(STARTUP)
        assert receive_line(sock) in ("db2", "db3")
    assert not accepts(stage.direct_port, "127.0.0.1")


def test_end_cuts_the_sessions_of_the_direct_port_too(make_direct):
    stage = make_direct()
    stage.start(target="any")
    clients = [stage.direct_on(uid) for uid in ("db1", "db2", "db3")]
    ports = [c.getsockname()[1] for c in clients]
    code, took = stage.proxy.stop()
    assert code == 0 and took < 2
    assert {end_of(c) for c in clients} == {"rst"}
    for uid in ("db1", "db2", "db3"):
        assert not stage.servers[uid].live_sessions() or \
            stage.servers[uid].live_sessions()[0].wait_for_end() == "rst"
    for port in ports:
        assert stage.proxy.find_log(rf"session .*reason=shutdown .*client=127.0.0.1:{port} ")
    assert not accepts(stage.direct_port)


def test_deadline_leaves_the_direct_port_open(make_direct):
    """--stop-listening is about the leader's."""
    stage = make_direct(check_interval="200ms", proxy_timeout="1s")
    stage.start()
    stage.store.lose()
    wait_until(lambda: not accepts(stage.proxy.port))
    assert set(stage.met(24)) == {"db2", "db3"}
    stage.store.bring_back()
    wait_until(lambda: accepts(stage.proxy.port))
    assert set(stage.met(24)) == {"db2", "db3"}


def test_nobody_is_routed_and_replicas_serve_on(make_direct):
    """Without a leader, or with cluster data that names nobody."""
    stage = make_direct()
    stage.start(leader="")
    assert set(stage.met(24)) == {"db2", "db3"}
    assert probe(stage.proxy.port) == "closed"


def test_cluster_data_that_is_gone_leads_to_nobody(make_direct):
    stage = make_direct(check_interval="200ms")
    stage.start()
    client = stage.direct_on("db2")
    stage.members.clear()
    stage.store.put(cluster_data(9, "", [stage.proxy.uid]))
    assert end_of(client) == "rst"
    assert stage.met() == [None]


@pytest.mark.parametrize("workers", [2, 3])
def test_clients_that_workers_hand_over_land_on_their_port(make_direct, workers):
    """One worker has far more sessions at times, and passes clients of both ports on."""
    stage = make_direct()
    stage.start(f"--workers={workers}")
    failures = []

    def load(port, allowed, seed):
        held = []
        try:
            for i in range(250):
                sock = connect(port)
                sock.sendall(STARTUP)
                name = receive_line(sock)
                if name not in allowed:
                    failures.append((port, name))
                held.append(sock)
                if len(held) > 40 + seed:
                    for s in held[:30]:
                        s.close()
                    del held[:30]
        except OSError as e:
            failures.append((port, e))
        for s in held:
            s.close()

    threads = [threading.Thread(target=load, args=args) for args in (
        (stage.proxy.port, ("db1",), 0), (stage.direct_port, ("db2", "db3"), 7),
        (stage.proxy.port, ("db1",), 13), (stage.direct_port, ("db2", "db3"), 3))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert failures == []
