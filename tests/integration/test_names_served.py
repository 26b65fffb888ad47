"""A real authoritative server (nsd), and what /etc says in its place."""

import time

import pytest

from harness import HostFiles, NameServer, RecordingServer, echoes, end_of, probe, wait_for_probe

TTL = 2


@pytest.fixture
def two_places(stage):
    """db1 is leader.test, at 127.0.0.1 and, where it moves to, 127.0.0.2. Checks are
    too rare to be what finds a change."""
    stage.timings = {"check_interval": "30s", "proxy_timeout": "60s"}
    server = stage.add_member("db1", address="leader.test")
    stage.servers["moved"] = RecordingServer(host="127.0.0.2", port=server.port)
    return stage


def test_leader_that_moves_is_followed_within_its_ttl(two_places, start_nsd):
    nsd = start_nsd(f"leader {TTL} A 127.0.0.1")
    two_places.start_proxy(nsd.option)
    two_places.open("db1")
    for address in ("127.0.0.2", "127.0.0.1", "127.0.0.2"):
        client = two_places.client()
        nsd.serve(f"leader {TTL} A {address}")
        served = time.monotonic()
        assert end_of(client, TTL + 3) == "rst"
        wait_for_probe(two_places.proxy.port, "forwards", 3)
        assert time.monotonic() - served < TTL + 1
    assert two_places.servers["moved"].connections
    assert not two_places.proxy.find_log("reason=deadline")


def test_leader_that_vanishes_is_left_within_its_ttl(two_places, start_nsd):
    nsd = start_nsd(f"leader {TTL} A 127.0.0.1")
    two_places.start_proxy(nsd.option)
    two_places.open("db1")
    client = two_places.client()
    nsd.serve()
    served = time.monotonic()
    assert end_of(client, TTL + 3) == "rst"
    assert time.monotonic() - served < TTL + 1
    assert probe(two_places.proxy.port) == "closed"
    nsd.serve(f"leader {TTL} A 127.0.0.1")
    wait_for_probe(two_places.proxy.port, "forwards", TTL + 1)


def test_server_that_stops_and_refuses_changes_nothing(two_places, start_nsd):
    nsd = start_nsd("leader 1 A 127.0.0.1")
    two_places.start_proxy(nsd.option)
    two_places.open("db1")
    client = two_places.client()
    nsd.close()
    stopped = time.monotonic()
    while time.monotonic() - stopped < 4:  # several times its TTL
        assert echoes(client)
        assert probe(two_places.proxy.port) == "forwards"


def test_alias_and_long_answer_of_a_real_server(stage, start_nsd):
    # Nobody listens at the others, which refuse.
    many = [f"many 30 AAAA ::ffff:127.0.1.{i}" for i in range(1, 60)] + ["many 30 AAAA ::1"]
    nsd = start_nsd("one 30 CNAME two", "two 30 CNAME many", *many)
    server = stage.add_member("db1", address="one.test", host="::1")
    stage.start_proxy(nsd.option)
    stage.open("db1")
    assert server.connections


# /etc/hosts can be replaced for one process only where we may mount; root, as in CI, may.
needs_mounts = pytest.mark.skipif(not HostFiles.is_possible(),
                                  reason="needs root and mount namespaces")


@pytest.fixture
def files(tmp_path):
    return HostFiles(str(tmp_path))


@pytest.fixture
def start_name_server():
    """A function that starts a NameServer at port 53, as resolv.conf wants it."""
    started = []

    def start(answers, port=53):
        started.append(NameServer(answers, HostFiles.loopback_address(), port))
        return started[-1]

    yield start
    for server in started:
        server.close()


@needs_mounts
def test_hosts_file_comes_first_and_its_changes_count(two_places, files, start_name_server):
    names = start_name_server({"leader.test": ["127.0.0.3"]})
    files.write_resolv(f"nameserver {names.host}\n")
    files.write_hosts("127.0.0.1 leader.test\n")
    two_places.start_proxy(launcher=files.launcher)
    two_places.open("db1")
    client = two_places.client()
    files.write_hosts("127.0.0.2 leader.test\n")
    began = time.monotonic()
    assert end_of(client, 5) == "rst"
    wait_for_probe(two_places.proxy.port, "forwards")
    assert time.monotonic() - began < 1
    assert not names.queries


@needs_mounts
def test_changes_of_resolv_conf_count(two_places, files, start_name_server):
    first = start_name_server({"leader.test": ["127.0.0.1"]})
    second = start_name_server({"leader.test": ["127.0.0.2"]})
    first.ttl = second.ttl = 30
    files.write_resolv(f"nameserver {first.host}\n")
    two_places.start_proxy(launcher=files.launcher)
    two_places.open("db1")
    client = two_places.client()
    first.fault = "silent"
    files.write_resolv(f"nameserver {second.host}\n")
    began = time.monotonic()
    assert end_of(client, 5) == "rst"
    wait_for_probe(two_places.proxy.port, "forwards")
    assert time.monotonic() - began < 1


@needs_mounts
@pytest.mark.parametrize("resolv", ["", "# nameserver 127.0.0.1\nsearch test\n"])
def test_flys_server_is_asked_where_resolv_conf_names_none(stage, files, start_name_server,
                                                           resolv):
    names = start_name_server({"leader.test": ["127.0.0.1"]})
    files.write_resolv(resolv)
    stage.add_member("db1", address="leader.test")
    stage.start_proxy(launcher=files.launcher, env={"FLY_NAMESERVER": names.host})
    stage.open("db1")
    assert names.queries


@needs_mounts
def test_server_of_the_flag_beats_all_others(stage, files, start_name_server):
    others = start_name_server({})
    names = start_name_server({"leader.test": ["127.0.0.1"]})
    files.write_resolv(f"nameserver {others.host}\n")
    stage.add_member("db1", address="leader.test")
    stage.start_proxy(f"--dns-server={names.host}", launcher=files.launcher,
                      env={"FLY_NAMESERVER": others.host})
    stage.open("db1")
    assert not others.queries


@needs_mounts
def test_search_domains_of_resolv_conf_are_tried(stage, files, start_name_server):
    names = start_name_server({"leader.db.test": ["127.0.0.1"]})
    files.write_resolv(f"nameserver {names.host}\nsearch other.test db.test\n")
    stage.add_member("db1", address="leader")
    stage.start_proxy(launcher=files.launcher)
    stage.open("db1")
