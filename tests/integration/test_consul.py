"""Consul as the store, the real one and the tests' own alike: the whole flow, and
the life of our key and its session."""

import re
import signal
import threading
import time

import pytest

from harness import echoes, end_of, wait_until
from harness.consul import ConsulClient
from harness.fake_consul import FakeConsul

pytest_plugins = ["harness.consul_stage"]

LOCK_FLAG = 0x2DDCCBC058A50C18  # of Consul's own clients, and so of stolon


@pytest.fixture(params=["fake", "real"])
def consul(request):
    if request.param == "real":
        yield request.getfixturevalue("shared_consul")
        return
    fake = FakeConsul()
    yield fake
    fake.close()


# Sessions that others take over, or that end by themselves, the fake does not have.
only_the_real_one = pytest.mark.parametrize("consul", ["real"], indirect=True)


@pytest.fixture
def stage(consul, make_consul_stage):
    return make_consul_stage(consul)


class Presence:
    """Whether our key is there, and with a value, all the time until stop()."""

    def __init__(self, stage):
        self._client = ConsulClient(stage.store.client.urls)
        self._key = stage.store.info_key(stage.proxy.uid)
        self.gaps = 0
        self.looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            found = self._client.get(self._key)
            self.looks += 1
            self.gaps += found is None or not found["Value"]

    def stop(self):
        self._stop.set()
        self._thread.join(10)
        assert self.looks > 10 and self.gaps == 0, f"{self.gaps} of {self.looks}"


def test_a_change_is_cut_acknowledged_and_opened_by_the_watch(stage):
    """With an interval of 4 s reads have no part in it."""
    stage.ready(check_interval="4s", proxy_timeout="15s")
    times = []
    for turn in range(4):
        old, new = ("db1", "db2") if turn % 2 == 0 else ("db2", "db1")
        client = stage.client()
        session = stage.servers[old].connections[-1]
        times.append(stage.change_leader(new))
        wait_until(lambda s=session: s.end, 2, "the old leader's session")
        assert session.end == "rst" and end_of(client) == "rst"
    cuts, opens = zip(*times)
    assert sorted(cuts)[1] < 0.5 and sorted(opens)[1] < 0.5, times


def test_proxyinfo_is_exactly_what_stolon_writes_and_never_empty(stage):
    stage.add_member("db1")
    stage.publish("db1", proxy_timeout="15s", check_interval="5s")
    stage.start_proxy()
    stage.acknowledged()
    found = stage.store.entry(stage.proxy.uid)
    assert re.fullmatch(r'\{"infoUID":"[0-9a-f]{8}","UID":"' + stage.proxy.uid +
                        r'","Generation":1,"ProxyTimeout":15000000000\}', found["Value"])
    assert found["Flags"] == LOCK_FLAG
    assert stage.store.proxies() == [stage.proxy.uid]


def first_version(stage):
    """The key as it was created, None if it changed before it was looked at."""
    known = set(stage.store.proxies())
    stage.start_proxy()
    uid = wait_until(lambda: set(stage.store.proxies()) - known, 10, step=0).pop()
    found = stage.store.entry(uid)
    stage.proxy.stop()
    return found if found["CreateIndex"] == found["ModifyIndex"] else None


def test_what_creates_the_key_gives_it_its_value(stage):
    """An empty one stops all sentinels."""
    stage.add_member("db1")
    stage.publish("db1", enabled=[])
    found = wait_until(lambda: first_version(stage), 60, "a key that was seen in time")
    assert '"Generation":1' in found["Value"]


def test_the_session_has_half_the_keys_life_and_depends_on_no_check(stage):
    stage.add_member("db1")
    stage.start_proxy()
    stage.publish("db1", proxy_timeout="15s", check_interval="1s")
    stage.acknowledged()
    made = stage.store.client.session(stage.store.session_of(stage.proxy.uid))
    assert (made["TTL"], made["Behavior"]) == ("15s", "delete")
    assert made["LockDelay"] in (1_000_000, "1ms")
    assert not made.get("Checks") and not made.get("NodeChecks")
    assert not made.get("ServiceChecks")


def test_another_timeout_means_another_session_but_no_moment_without_the_key(stage):
    stage.ready(check_interval="1s", proxy_timeout="5s")
    presence = Presence(stage)
    seen = {}
    for timeout, ttl in (("15s", "15s"), ("20s", "20s"), ("5s", "10s"), ("15s", "15s")):
        stage.publish("db1", proxy_timeout=timeout)

        def session():
            return stage.store.client.session(stage.store.session_of(stage.proxy.uid) or "none")

        wait_until(lambda t=ttl: (session() or {}).get("TTL") == t, 10, lambda: f"{session()}")
        seen[session()["ID"]] = ttl
    presence.stop()
    assert len(seen) == 4
    # All but the last are gone.
    wait_until(lambda: sum(bool(stage.store.client.session(s)) for s in seen) == 1, 5)


def test_the_exit_deletes_key_and_session(stage):
    stage.ready()
    session = stage.store.session_of(stage.proxy.uid)
    code, seconds = stage.proxy.stop()
    assert code == 0 and seconds < 2
    assert stage.store.proxies() == []
    assert not stage.store.client.session(session)


def test_a_session_that_is_destroyed_is_made_anew_and_nobody_is_cut(stage):
    stage.ready(check_interval="1s")
    client = stage.client()
    before = stage.store.session_of(stage.proxy.uid)
    stage.store.client.destroy(before)
    info = stage.store.wait_for_info(stage.proxy.uid, timeout=5)
    assert info["Generation"] == stage.generation
    assert stage.store.session_of(stage.proxy.uid) != before
    assert echoes(client)
    stage.proxy.wait_for_log("our session (is gone|has ended)")


def test_a_key_that_is_deleted_comes_back(stage):
    stage.ready(check_interval="1s")
    client = stage.client()
    stage.store.client.delete(stage.store.info_key(stage.proxy.uid))
    stage.store.wait_for_info(stage.proxy.uid, timeout=5)
    assert stage.store.session_of(stage.proxy.uid)
    assert echoes(client)


@only_the_real_one
def test_a_key_that_another_session_took_is_taken_back(consul, stage):
    stage.ready(check_interval="1s")
    key, ours = stage.store.info_key(stage.proxy.uid), stage.store.session_of(stage.proxy.uid)
    value = stage.store.info_text(stage.proxy.uid)
    other = consul.client.call("PUT", "/v1/session/create",
                               {"TTL": "60s", "Behavior": "delete", "LockDelay": "1ms"})["ID"]
    assert consul.client.put(key, value, f"release={ours}")
    assert consul.client.put(key, value, f"acquire={other}")
    wait_until(lambda: stage.store.session_of(stage.proxy.uid) == ours, 5,
               lambda: f"{stage.store.entry(stage.proxy.uid)}, ours is {ours}")
    stage.store.wait_for_new_info(stage.proxy.uid)
    # That one may end now: it takes nothing along.
    consul.client.destroy(other)
    assert stage.store.info_text(stage.proxy.uid)


def test_absent_and_null_data_close_and_come_back(stage):
    stage.ready()
    client = stage.client()
    stage.store.delete()
    assert end_of(client) == "rst"
    stage.open("db1")
    client = stage.client()
    stage.store.put("null")
    assert end_of(client) == "rst"
    stage.open("db1")


def test_a_prefix_with_a_first_slash_is_the_one_without(consul, make_consul_stage):
    stage = make_consul_stage(consul, prefix="stolon/cluster")
    stage.store.flags = lambda flags=stage.store.flags(): [
        f.replace("--store-prefix=", "--store-prefix=/") for f in flags]
    stage.ready()


@pytest.mark.full
@only_the_real_one
def test_the_key_of_a_killed_proxy_expires(stage, consul):
    """Nobody deletes it: Consul does, within twice the session's TTL."""
    stage.ready(check_interval="1s", proxy_timeout="5s")
    stage.proxy.send_signal(signal.SIGKILL)
    began = time.monotonic()
    wait_until(lambda: stage.store.proxies() == [], 40, "the key is still there", step=0.2)
    assert 9 < time.monotonic() - began < 25
