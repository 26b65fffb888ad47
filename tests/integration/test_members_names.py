"""--members: names with several addresses, and members that move."""

import time

import pytest

from harness import HostFiles, NameServer, PostgresPair, free_port, holds_for, wait_until
from harness.members import (CheckedMembers, Session, ask_through, by_sql, timings,
                             wait_for_server)

NAMES_S = 1.5  # a TTL of 1 s, and some time to notice
LEADER, STANDBY, ELSEWHERE = "127.0.0.2", "127.0.0.3", "127.0.0.4"


class PlacedPair(PostgresPair):
    """On one port: the leader at 127.0.0.2 (and .4), the standby at 127.0.0.3."""

    class server_class(PostgresPair.server_class):  # pylint: disable=invalid-name
        port_of_all = None

        def __init__(self, folder, name):
            super().__init__(folder, name)
            PlacedPair.server_class.port_of_all = PlacedPair.server_class.port_of_all or self.port
            self.port = self.port_of_all
            self.address = LEADER if name == "leader" else STANDBY
            self.listen_addresses = f"{LEADER}, {ELSEWHERE}" if name == "leader" else STANDBY


@pytest.fixture(scope="module")
def placed():
    pair = PlacedPair()
    yield pair
    pair.close()


@pytest.fixture
def names():
    server = NameServer({})
    server.ttl = 1
    yield server
    server.close()


def start(start_pgsplice, names, *members, **times):
    direct_port = free_port()
    proxy = start_pgsplice(*by_sql(*members, **times), f"--dns-server={names.host}:{names.port}",
                           "--direct-target=replicas", f"--direct-port={direct_port}", store=None)
    return proxy, direct_port


def address_behind(port):
    return ask_through(port, "select host(inet_server_addr())")


def wait_for_address(port, address, timeout=10.0):
    seen = []

    def met():
        seen[:] = [address_behind(port)]
        return seen[0] == address

    wait_until(met, timeout, lambda: f"a session reaches {seen}, not {address}")


def test_each_address_of_a_name_is_a_member(placed, names, start_pgsplice):
    names.answers["app.test"] = [STANDBY, LEADER]
    proxy, direct_port = start(start_pgsplice, names, f"app.test:{placed.leader.port}")
    wait_for_address(proxy.port, LEADER)
    wait_for_address(direct_port, STANDBY)
    # The standby leaves, and is back.
    names.answers["app.test"] = [LEADER]
    wait_for_address(direct_port, None, NAMES_S + 2)
    names.answers["app.test"] = [LEADER, STANDBY]
    wait_for_address(direct_port, STANDBY, NAMES_S + 2)
    session = Session(proxy.port)
    # So does the leader: nobody is left who writes.
    names.answers["app.test"] = [STANDBY]
    wait_for_address(proxy.port, None, NAMES_S + 2)
    assert not session.works()


def test_leader_that_moves_is_followed(placed, names, start_pgsplice):
    names.answers.update({"db1.test": [LEADER], "db2.test": [STANDBY]})
    port = placed.leader.port
    proxy, _ = start(start_pgsplice, names, f"db1.test:{port}", f"db2.test:{port}")
    wait_for_address(proxy.port, LEADER)
    session = Session(proxy.port)
    moved = time.monotonic()
    names.answers["db1.test"] = [ELSEWHERE]
    wait_for_address(proxy.port, ELSEWHERE, NAMES_S + 2)
    print(f"\nfollowed after {1000 * (time.monotonic() - moved):.0f} ms, with a TTL of 1000 ms")
    assert not session.works()


def test_name_servers_that_fail_change_nothing(placed, names, start_pgsplice):
    names.answers.update({"db1.test": [LEADER], "db2.test": [STANDBY]})
    port = placed.leader.port
    proxy, _ = start(start_pgsplice, names, f"db1.test:{port}", f"db2.test:{port}")
    wait_for_address(proxy.port, LEADER)
    session = Session(proxy.port)
    for fault in ("servfail", "silent", "garbage"):
        names.fault = fault
        holds_for(session.works, 0.5)
    assert address_behind(proxy.port) == LEADER


def test_names_that_lead_nowhere_count_for_the_majority(placed, names, start_pgsplice):
    names.answers["db1.test"] = [LEADER]
    port = placed.leader.port
    members = [f"db{i}.test:{port}" for i in (1, 2, 3)]
    proxy, _ = start(start_pgsplice, names, *members)
    proxy.wait_for_log("reason=no-majority")
    assert address_behind(proxy.port) is None
    names.answers["db2.test"] = [STANDBY]
    wait_for_address(proxy.port, LEADER, 15)


# /etc/hosts can be replaced for one process only where we may mount; root, as in CI, may.
@pytest.mark.skipif(not HostFiles.is_possible(), reason="needs root and mount namespaces")
def test_hosts_file_that_changes_counts(placed, start_pgsplice, tmp_path):
    files = HostFiles(str(tmp_path))
    files.write_hosts(f"{LEADER} app.test\n{STANDBY} app.test\n")
    proxy = start_pgsplice(*by_sql(f"app.test:{placed.leader.port}"), store=None,
                           launcher=files.launcher)
    wait_for_address(proxy.port, LEADER)
    changed = time.monotonic()
    files.write_hosts(f"{ELSEWHERE} app.test\n{STANDBY} app.test\n")
    wait_for_address(proxy.port, ELSEWHERE, 3)
    assert time.monotonic() - changed < 1


# Many members


class WidePair(PostgresPair):
    class server_class(PostgresPair.server_class):  # pylint: disable=invalid-name
        listen_addresses = "*"

        def init(self):
            super().init()
            self.configure("max_connections = 300")


def at_rest(proxy, seconds=10):
    """(share of a core, RssAnon in kB) once all is quiet."""
    before, began = proxy.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (proxy.cpu_seconds() - before) / (time.monotonic() - began), proxy.memory_kb()


def many(port):
    """100 places of one standby but one, as two lists that fit into a name each."""
    return [f"127.0.1.{i}" for i in range(1, 100)], port


@pytest.mark.full
def test_a_hundred_members_by_sql_cost_little(names, start_pgsplice):
    pair = WidePair()
    try:
        hosts, port = many(pair.standby.port)
        names.answers["standby.test"] = hosts
        names.ttl = 60
        rest = []
        for members in ([pair.leader], [pair.leader, f"standby.test:{port}"]):
            proxy = start_pgsplice(*by_sql(*members, interval_s=1, timeout_s=2, fall=3),
                                   f"--dns-server={names.host}:{names.port}", store=None)
            wait_for_server(proxy.port, pair.leader)
            wait_until(lambda n=len(members): pair.standby.sql(
                "select count(*) from pg_stat_activity where application_name = 'pgsplice'")
                == ("99" if n == 2 else "0"), 20)
            rest.append(at_rest(proxy))
            proxy.stop()
        check_rest("by SQL", *rest)
    finally:
        pair.close()


def check_rest(how, one, hundred):
    print(f"\n100 members {how}: {100 * hundred[0]:.2f} % of a core (1 member: "
          f"{100 * one[0]:.2f} %), RssAnon {hundred[1]} kB (1 member: {one[1]} kB)")
    assert hundred[0] < 0.01
    assert hundred[1] - one[1] < 2048


@pytest.mark.full
def test_a_hundred_members_by_http_cost_little(names, start_pgsplice):
    members = CheckedMembers(100)
    try:
        # One port for all: the roles are all that counts here.
        names.answers["all.test"] = [m.host for m in members.all]
        names.ttl = 60
        rest = []
        for member in (f"{members[0].host}:{members[0].port}", f"all.test:{members[0].port}"):
            proxy = start_pgsplice(f"--members={member}", "--probe=http",
                                   f"--probe-http-port={members.check_port}",
                                   f"--dns-server={names.host}:{names.port}",
                                   *timings(interval_s=1, timeout_s=2, fall=3), store=None)
            proxy.wait_for_log("routing to the leader", 20)
            rest.append(at_rest(proxy))
            proxy.stop()
        assert all(m.check.asked > 5 for m in members.all)
        check_rest("by http", *rest)
    finally:
        members.close()
