"""Patroni's keys without Patroni: what their coming and going does to clients of a real
server that is writable all the time."""

import json
import os

import pytest

from harness import FileStore, Pgsplice, holds_for, wait_until
from harness.members import Session, server_behind, wait_for_server

# For so long a server that no lock vouches for counts as writable after it said so.
FRESH_S = 5


class Keys:
    """In the directory that is the proxy's store."""

    def __init__(self, folder):
        self.store = FileStore(folder, "main", "service")
        os.makedirs(os.path.join(self.store.root, "members"))

    def put(self, key, value):
        text = value if isinstance(value, str) else json.dumps(value)
        temporary = os.path.join(self.store.directory, ".new")
        with open(temporary, "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(temporary, os.path.join(self.store.root, key))

    def delete(self, key):
        os.unlink(os.path.join(self.store.root, key))

    def put_member(self, name, server, role):
        self.put("members/" + name, {
            "conn_url": f"postgres://127.0.0.1:{server.port}/postgres", "state": "running",
            "api_url": "http://127.0.0.1:1/patroni", "role": role, "timeline": 1,
            "version": "4.1.5", "replication_state": "streaming"})

    def put_config(self, **more):
        self.put("config", {"ttl": 30, "loop_wait": 10, "retry_timeout": 10, **more})


@pytest.fixture
def keys(postgres, tmp_path):
    k = Keys(tmp_path / "keys")
    k.put_config()
    k.put_member("pg1", postgres.leader, "primary")
    k.put_member("pg2", postgres.standby, "replica")
    k.put("leader", "pg1")
    return k


@pytest.fixture
def start_proxy(keys):
    """One that leads to pg1."""
    started = []

    def start(*options):
        started.append(Pgsplice(None, [
            "--cluster-format=patroni", "--cluster-name=main", "--store-backend=file",
            f"--store-endpoints={keys.store.directory}", "--probe-conninfo=user=postgres",
            *options]))
        started[-1].wait_for_log("routing to the leader")
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()


def is_kept(session, proxy, server):
    return session.works() and server_behind(proxy.port) == server.port


def test_a_paused_leader_outlives_its_lock_and_its_record(postgres, keys, start_proxy):
    """Which expire together when its Patroni is stopped; however seldom it is asked."""
    proxy = start_proxy("--probe-interval=20s")
    session = Session(proxy.port)
    keys.put_config(pause=True)
    keys.delete("leader")
    keys.delete("members/pg1")
    proxy.wait_for_log("reason=kept-paused")
    holds_for(lambda: is_kept(session, proxy, postgres.leader), FRESH_S + 1, step=0.1)
    mark = proxy.mark()
    keys.put_member("pg1", postgres.leader, "primary")
    keys.put("leader", "pg1")
    proxy.wait_for_log("reason=routed", start=mark)
    assert is_kept(session, proxy, postgres.leader)
    session.close()


def test_the_end_of_a_pause_is_the_end_of_a_leader_without_a_lock(keys, start_proxy):
    proxy = start_proxy()
    session = Session(proxy.port)
    keys.put_config(pause=True)
    keys.delete("leader")
    proxy.wait_for_log("reason=kept-paused")
    assert session.works()
    keys.put_config()
    wait_until(lambda: not session.works(), 2)
    wait_for_server(proxy.port, None)
    session.close()


@pytest.mark.parametrize("record", [None, "{"], ids=["missing", "unreadable"])
def test_a_leader_with_its_lock_may_lose_its_record(postgres, keys, start_proxy, record):
    """As with Consul, where that is deleted and made anew with another session."""
    proxy = start_proxy()
    session = Session(proxy.port)
    if record is None:
        keys.delete("members/pg1")
    else:
        keys.put("members/pg1", record)
    holds_for(lambda: is_kept(session, proxy, postgres.leader), 1, step=0.05)
    keys.put_member("pg1", postgres.leader, "primary")
    holds_for(lambda: is_kept(session, proxy, postgres.leader), 0.5, step=0.05)
    assert not proxy.find_log("sessions are cut")
    session.close()


def test_without_a_pause_a_lock_that_is_gone_cuts_at_once(keys, start_proxy):
    proxy = start_proxy()
    session = Session(proxy.port)
    keys.delete("leader")
    wait_until(lambda: not session.works(), 2)
    wait_for_server(proxy.port, None)
    session.close()
