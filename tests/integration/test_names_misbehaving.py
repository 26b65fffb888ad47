"""Name servers that do it wrong: what is known stays in use, and news is taken as
soon as there is any."""

import statistics
import time

import pytest

from harness import NameServer, RecordingServer, connect, echoes, end_of, probe, wait_for_probe
from harness.nameserver import A, AAAA

pytest_plugins = ["harness.etcd_stage"]

NAME = "leader.test"


@pytest.fixture
def names():
    server = NameServer({NAME: ["127.0.0.1"]})
    yield server
    server.close()


@pytest.fixture
def named(stage, names):
    """db1 is at NAME, which may also be 127.0.0.2. Checks are too rare to be what
    finds a change."""
    stage.timings = {"check_interval": "30s", "proxy_timeout": "60s"}
    server = stage.add_member("db1", address=NAME)
    stage.servers["moved"] = RecordingServer(host="127.0.0.2", port=server.port)
    stage.start_proxy(names.option, "--dns-max-ttl=2s")
    stage.open("db1")
    return stage


def move(named, names, limit):
    """The leader has another address now: sessions on the old one end within limit
    seconds, and the next one is led there."""
    client = named.client()
    before = len(named.servers["moved"].connections)
    began = time.monotonic()
    names.answers[NAME] = ["127.0.0.2"]
    assert end_of(client, limit + 5) == "rst"
    wait_for_probe(named.proxy.port, "forwards", 5)
    took = time.monotonic() - began
    assert len(named.servers["moved"].connections) > before
    assert took < limit, f"took {took:.2f} s"


# One error stands for all, and answers that cannot be read are cut up in test_dns_message.c.
FAULTS = ["silent", "servfail", "refused", "formerr", "wrong id", "wrong question", "garbage",
          "cut", "truncated"]
QUICK = {"silent", "servfail", "wrong id", "wrong question", "truncated"}


@pytest.mark.parametrize("fault", [
    f if f in QUICK else pytest.param(f, marks=pytest.mark.full) for f in FAULTS])
def test_fault_keeps_the_last_answer_and_its_end_is_noticed(named, names, fault):
    client = named.client()
    names.fault = fault
    names.answers[NAME] = ["127.0.0.3"]  # nobody is to learn of it
    names.wait_for_queries(3)
    assert echoes(client)
    assert probe(named.proxy.port) == "forwards"
    names.answers[NAME] = ["127.0.0.1"]
    names.fault = None
    # One question with its tries, and a second in which none is asked.
    move(named, names, 5)


def test_dropped_questions_are_asked_again(named, names):
    names.fault = "drops"
    move(named, names, 8)


def test_nxdomain_ends_the_sessions_at_once(named, names):
    client = named.client()
    names.fault = "nxdomain"
    assert end_of(client, 2.5) == "rst"
    assert probe(named.proxy.port) == "closed"
    names.fault = None
    wait_for_probe(named.proxy.port, "forwards", 3)


def test_one_family_that_fails_takes_nothing_from_the_other(named, names):
    client = named.client()
    answer = names._answer
    names._answer = lambda query, by_tcp: None if query[-15:-13] == b"\0\x1c" \
        else answer(query, by_tcp)
    names.wait_for_queries(4)
    assert echoes(client)
    move(named, names, 2.3)  # no later than without: a second, and another one


def test_sixty_addresses_come_by_tcp_and_in_order(stage, names):
    """More than a datagram holds. Nobody listens at any but the last."""
    addresses = [f"::ffff:127.0.1.{i}" for i in range(1, 60)] + ["::1"]
    names.answers[NAME] = addresses
    names.ttl = 30
    server = stage.add_member("db1", address=NAME, host="::1")
    stage.start_proxy(names.option, "--dns-prefer=ipv6-only")
    stage.open("db1")
    assert server.connections
    assert [by_tcp for _, _, kind, by_tcp in names.queries if kind == AAAA] == [False, True]


def test_ttl_of_0_is_asked_for_once_a_second(named, names):
    names.ttl = 0
    names.wait_for_queries(8)
    times = names.times_of(A)[1:]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert min(gaps) > 0.7 and statistics.median(gaps) < 1.5


def test_ttl_of_a_day_counts_as_the_highest_allowed(named, names):
    names.ttl = 86400
    names.wait_for_queries(2)
    move(named, names, 3)


def test_aliases_are_followed(stage, names):
    names.aliases = {"a.test": "b.test", "b.test": NAME}
    stage.add_member("db1", address="a.test")
    stage.start_proxy(names.option)
    stage.open("db1")


def test_alias_loop_keeps_the_last_answer(named, names):
    client = named.client()
    names.aliases = {NAME: "b.test", "b.test": NAME}
    names.wait_for_queries(12)
    assert echoes(client)
    names.aliases = {}
    move(named, names, 4)


def test_alias_loop_is_no_address(stage, names):
    names.aliases = {"a.test": "b.test", "b.test": "a.test"}
    stage.add_member("db1", address="a.test")
    stage.start_proxy(names.option)
    stage.publish("db1")
    stage.proxy.wait_for_log("cannot be resolved")
    names.aliases = {"a.test": NAME}
    stage.open("db1")


def time_of_connect(port):
    began = time.monotonic()
    with connect(port) as sock:
        assert echoes(sock)
    return time.monotonic() - began


def test_lookup_adds_nothing_to_a_connect(named, names):
    """Each answer takes a good part of its TTL to come: connects during a lookup
    against those between two."""
    names.delay = 0.5
    names.ttl = 2
    during, between = [], []
    until = time.monotonic() + 6
    while time.monotonic() < until:
        asked_at = max(names.times_of(A))
        took = time_of_connect(named.proxy.port)
        is_during = time.monotonic() - asked_at < names.delay
        (during if is_during else between).append(took)
    assert len(during) > 20 and len(between) > 20
    assert statistics.median(during) - statistics.median(between) < 0.001
    assert max(during) < names.delay / 2


def test_store_that_is_known_by_name_is_found_while_servers_fail(names, shared_etcd, make_stage):
    """A name that was found once: new connections to the store go on, and none waits
    for the time-out of a request."""
    names.answers["etcd.test"] = ["127.0.0.1"]
    by_name = shared_etcd.url.replace("127.0.0.1", "etcd.test")
    stage = make_stage([shared_etcd.url], proxy_urls=[by_name], check_interval="1s",
                       proxy_timeout="4s").ready(names.option, "--store-timeout=2s")
    names.fault = "silent"
    client = stage.client()
    for uid in ("db2", "db1"):
        stage.change_leader(uid, 3)
    assert end_of(client) == "rst"
    assert echoes(stage.new_client())
    assert not stage.proxy.find_log("store: .*resol")
