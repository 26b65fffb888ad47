"""--members with --probe=http: scripted check servers that change their minds faster
than PostgreSQL can, or never answer."""

import time

import pytest

from harness import connect, echoes, end_of, holds_for, wait_until
from harness.direct import receive_line
from harness.members import INTERVAL_S, TIMEOUT_S, WINDOW_S, CheckedMembers

SLACK_S = 0.5


@pytest.fixture
def make_members():
    """A function that starts so many members; the first one leads."""
    made = []

    def make(count, **keywords):
        made.append(CheckedMembers(count, **keywords))
        return made[-1]

    yield make
    for members in made:
        members.close()


def met(port):
    """The name of the member that a new client reaches; None: it is closed."""
    try:
        with connect(port) as sock:
            return receive_line(sock) or None
    except ConnectionError:
        return None


def wait_for_member(port, member, timeout=10.0):
    seen = []

    def reached():
        seen[:] = [met(port)]
        return seen[0] == (member.name if member else None)

    wait_until(reached, timeout, lambda: f"a client reaches {seen}")


def session(port):
    sock = connect(port)
    assert receive_line(sock)
    assert echoes(sock)
    return sock


def start(start_pgsplice, members, *args, **times):
    proxy = start_pgsplice(*members.options(**times), *args, store=None)
    wait_for_member(proxy.port, members[0])
    return proxy


def test_role_that_a_check_server_says_is_followed(make_members, start_pgsplice):
    members = make_members(2)
    proxy = start(start_pgsplice, members)
    client = session(proxy.port)
    for leader, other, word in ((1, 0, "primary"), (0, 1, '"leader"\n')):
        members[other].says("replica")
        members[leader].says(word)
        changed = time.monotonic()
        assert end_of(client) == "rst"
        wait_for_member(proxy.port, members[leader])
        assert time.monotonic() - changed < INTERVAL_S + SLACK_S
        client = session(proxy.port)
    wait_until(lambda: "rst" in {c.end for c in members[0].server.connections})


def test_two_that_say_that_they_lead_are_none(make_members, start_pgsplice):
    members = make_members(2)
    proxy = start(start_pgsplice, members)
    client = session(proxy.port)
    members[1].says("leader")
    assert end_of(client) == "rst"
    assert met(proxy.port) is None
    assert "level=error" in proxy.wait_for_log("two-writable")
    members[0].says("replica")
    wait_for_member(proxy.port, members[1])


def test_a_full_disk_is_no_leader(make_members, start_pgsplice):
    members = make_members(2)
    proxy = start(start_pgsplice, members)
    client = session(proxy.port)
    members[0].says("readonly")
    assert end_of(client) == "rst"
    assert met(proxy.port) is None


@pytest.mark.parametrize("says", [None, b"no http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\n", "flood",
                                  "", "nonsense", (500, "leader"), (404, "leader"),
                                  b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlea"],
                         ids=["hangs", "garbage", "half a head", "flood", "empty", "nonsense",
                              "500", "404", "half a body"])
def test_leader_whose_check_server_does_not_say_it_is_left_in_time(make_members, start_pgsplice,
                                                                   says):
    members = make_members(3)
    proxy = start(start_pgsplice, members)
    client = session(proxy.port)
    members[0].says(says)
    changed = time.monotonic()
    assert end_of(client) == "rst"
    assert time.monotonic() - changed < WINDOW_S + SLACK_S
    assert met(proxy.port) is None
    # It may be forgotten, and another one be led to.
    members[2].says("primary")
    wait_for_member(proxy.port, members[2], 2)
    members[2].says("replica")
    members[0].says("leader")
    wait_for_member(proxy.port, members[0], 2)


@pytest.mark.parametrize("says", [None, b"HTTP", "flood", (500, "")],
                         ids=["hangs", "garbage", "flood", "500"])
def test_check_server_of_a_replica_disturbs_nobody(make_members, start_pgsplice, says):
    members = make_members(3)
    proxy = start(start_pgsplice, members)
    client = session(proxy.port)
    members[1].says(says)
    asked = members[1].check.asked
    wait_until(lambda: members[1].check.asked > asked + 3)
    assert echoes(client)
    assert met(proxy.port) == "db1"


def test_check_server_that_ends_is_down_at_once(make_members, start_pgsplice):
    members = make_members(2)
    proxy = start(start_pgsplice, members)
    client = session(proxy.port)
    members[0].check.close()
    closed = time.monotonic()
    assert end_of(client) == "rst"
    assert time.monotonic() - closed < INTERVAL_S + SLACK_S
    proxy.wait_for_log("answer=refused")


def test_a_leader_is_led_to_only_while_a_majority_answers(make_members, start_pgsplice):
    members = make_members(3)
    proxy = start(start_pgsplice, members)
    client = session(proxy.port)
    members[1].says(None)
    holds_for(lambda: met(proxy.port) == "db1", WINDOW_S + TIMEOUT_S, step=0.02)
    members[2].check.close()
    closed = time.monotonic()
    assert end_of(client) == "rst"
    assert time.monotonic() - closed < INTERVAL_S + SLACK_S
    assert proxy.wait_for_log("reason=no-majority")
    members[1].says("replica")
    wait_for_member(proxy.port, members[0])


def test_nothing_goes_to_a_leader_after_it_was_left(make_members, start_pgsplice):
    """It has stopped reading, and so has its check server: what it reads once it goes
    on is what its kernel had when it was left."""
    members = make_members(2)
    proxy = start(start_pgsplice, members)
    client = session(proxy.port)
    server = members[0].server
    server.stop_reading()
    members[0].says(None)
    sent = 0
    client.settimeout(0.05)
    with pytest.raises(ConnectionError):
        while True:
            try:
                sent += client.send(b"x" * 65536)
            except TimeoutError:
                pass
    server.resume_reading()
    connection = server.connections[-1]
    assert connection.wait_for_end() == "rst"
    assert connection.size < sent


def look(proxy):
    return {"descriptors": proxy.fd_count(), "threads": len(proxy.threads())}


@pytest.mark.parametrize("changes", [30, pytest.param(200, marks=pytest.mark.full)])
def test_leader_changes_leave_nothing_behind(make_members, start_pgsplice, changes, request):
    members = make_members(3)
    proxy = start(start_pgsplice, members, interval_s=0.1)
    leader = 0

    def change(leader):
        client = session(proxy.port)
        members[leader].says("replica")
        leader = (leader + 1) % 3
        members[leader].says("leader")
        assert end_of(client) == "rst"
        client.close()
        wait_for_member(proxy.port, members[leader])
        return leader

    for _ in range(40):  # until pools and caches are as full as they get
        leader = change(leader)
    before, memory = look(proxy), proxy.memory_kb()
    began = time.monotonic()
    for _ in range(changes):
        leader = change(leader)
    took = time.monotonic() - began
    wait_until(lambda: all(n <= before[what] for what, n in look(proxy).items()), 5,
               lambda: f"{look(proxy)}, not {before}")
    grown = proxy.memory_kb() - memory
    print(f"\n{request.node.name}: {1000 * took / changes:.0f} ms a change, RssAnon {memory} kB "
          f"and {grown:+} kB")
    assert grown < 100
    for member in members.all:
        wait_until(lambda m=member: not m.server.live(), what="sessions that are over")


def test_exit_takes_no_time_while_all_check_servers_hang(make_members, start_pgsplice):
    members = make_members(3)
    proxy = start(start_pgsplice, members, timeout_s=30)
    client = session(proxy.port)
    for member in members.all:
        member.says(None)
    asked = [member.check.asked for member in members.all]
    wait_until(lambda: all(m.check.asked > n for m, n in zip(members.all, asked)))
    code, took = proxy.stop()
    assert code == 0 and took < 2
    assert end_of(client) == "rst"
