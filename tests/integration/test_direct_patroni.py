"""A Patroni cluster whose keys the test writes: what becomes of clients between two
leaders, on either port, and where Patroni's interface cannot be asked."""

import json

import pytest

from harness import Pgsplice, echoes, free_port, holds_for, wait_until
from harness.client import connect, receive
from harness.direct import STARTUP, MemberServer
from harness.tree import FileTree

SHORTLY_S = 0.4


class PatroniStage:
    """pg1 leads, pg2 is a replica. Records count as written when they change."""

    def __init__(self, folder):
        self.tree = FileTree(folder, "/service/main/")
        self.servers = {uid: MemberServer(uid) for uid in ("pg1", "pg2")}
        self.direct_port = free_port()
        self.api_port = None
        self.position = 1000
        self.proxy = None

    def record(self, uid, role, timeline=1):
        self.position += 8
        record = {"conn_url": f"postgres://127.0.0.1:{self.servers[uid].port}/postgres",
                  "state": "running", "role": role, "version": "4.1.5", "timeline": timeline,
                  "xlog_location": self.position}
        if self.api_port is not None:
            record["api_url"] = f"http://127.0.0.1:{self.api_port}/patroni"
        if role == "replica":
            record["replication_state"] = "streaming"
        self.tree.put(f"members/{uid}", json.dumps(record))

    def start(self, *args, **config):
        self.tree.put("config", json.dumps(config))
        self.record("pg2", "replica")
        self.record("pg1", "primary")
        self.tree.put("leader", "pg1")
        self.proxy = Pgsplice(None, ["--cluster-format=patroni", "--cluster-name=main",
                                     "--store-backend=file",
                                     f"--store-endpoints={self.tree.endpoints}",
                                     f"--direct-port={self.direct_port}", *args])
        self.proxy.wait_for_log("reason=un(confirmed|reachable)")
        self.record("pg1", "primary")
        self.proxy.wait_for_log("routing to the leader.*member=pg1")

    def move_lock(self):
        mark = self.proxy.mark()
        self.tree.put("leader", "pg2")
        self.proxy.wait_for_log("routing to nobody", start=mark)

    def promote(self):
        mark = self.proxy.mark()
        self.record("pg2", "primary", timeline=2)
        self.proxy.wait_for_log("routing to the leader.*member=pg2", start=mark)

    def client(self, port):
        sock = connect(port)
        sock.sendall(STARTUP)
        return sock

    def close(self):
        if self.proxy is not None:
            self.proxy.close()
        for server in self.servers.values():
            server.close()


@pytest.fixture
def stage(tmp_path):
    s = PatroniStage(tmp_path / "store")
    yield s
    s.close()


def said(sock):
    """What has come so far; b"" if the other end has closed."""
    sock.setblocking(False)
    try:
        return sock.recv(100)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b""
    finally:
        sock.setblocking(True)


def test_session_on_a_standby_that_is_promoted_is_kept(stage):
    stage.start("--confirm-leader=never", "--direct-target=local", "--local-member=pg2")
    sock = stage.client(stage.direct_port)
    assert receive(sock, 4) == b"pg2\n"
    stage.move_lock()
    before = stage.servers["pg2"].received
    sock.sendall(b"held")
    holds_for(lambda: said(sock) is None, SHORTLY_S)
    assert stage.servers["pg2"].received == before
    stage.promote()
    assert receive(sock, 4) == b"held"
    assert echoes(sock)


def test_client_that_comes_between_two_leaders_waits_for_the_next(stage):
    stage.start("--confirm-leader=never")
    stage.move_lock()
    sock = stage.client(stage.proxy.port)
    holds_for(lambda: said(sock) is None, SHORTLY_S)
    stage.promote()
    assert receive(sock, 4) == b"pg2\n"


def test_client_does_not_wait_longer_than_a_loop_of_patroni(stage):
    stage.start("--confirm-leader=never", loop_wait=1)
    stage.move_lock()
    sock = stage.client(stage.proxy.port)
    wait_until(lambda: said(sock) == b"", 3)
    assert not stage.servers["pg2"].sessions()


def test_interface_that_nobody_listens_at_keeps_nobody_out(stage):
    """Neither from the leader, whose record suffices then, nor from the standby."""
    stage.api_port = free_port()
    stage.start("--direct-target=replicas")
    for port, name in ((stage.proxy.port, b"pg1\n"), (stage.direct_port, b"pg2\n")):
        sock = stage.client(port)
        assert receive(sock, 4) == name
        assert echoes(sock)
    stage.proxy.wait_for_log("another answer.*member=pg2.*answer=refused")
    holds_for(lambda: receive(stage.client(stage.direct_port), 4) == b"pg2\n", 1)
    assert receive(stage.client(stage.proxy.port), 4) == b"pg1\n"
