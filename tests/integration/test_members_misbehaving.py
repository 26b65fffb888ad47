"""--members: servers that hang in each phase of a connect, say garbage or do not stop
talking; and roles that are not let in. Whoever is led to is served on."""

import os
import signal
import socket
import time

import psycopg2
import pytest

from harness import Stall, end_of, holds_for, wait_until
from harness.members import (PHASES, WINDOW_S, FakePostgres, Session, by_sql, server_behind,
                             wait_for_server, watch_promotion, watch_writes)

SLACK_S = 0.5
PASSWORD = "tops3cret"


@pytest.fixture
def start_fake():
    started = []

    def start(phase):
        started.append(FakePostgres(phase))
        return started[-1]

    yield start
    for server in started:
        server.close()


class FullBacklog:
    """A port that answers nothing any more: connects hang."""

    address = "127.0.0.1"

    def __init__(self):
        self._listener = socket.create_server((self.address, 0), backlog=0)
        self.port = self._listener.getsockname()[1]
        self._fillers = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((self.address, self.port))
            self._fillers.append(s)

    def close(self):
        for s in [*self._fillers, self._listener]:
            s.close()


@pytest.fixture
def full_backlog():
    place = FullBacklog()
    yield place
    place.close()


def addresses_of(server, count, first=2):
    """More names for the same server, which listens everywhere."""
    return [f"127.0.0.{i}:{server.port}" for i in range(first, first + count)]


@pytest.fixture(scope="session")
def wide_members(all_members):
    """The standby listens at all addresses: it is as many members as are needed."""
    all_members.ready()
    all_members.standby.listen_addresses = "*"
    all_members.standby.take_place()
    all_members.leader.listen_addresses = "*"
    all_members.leader.take_place()
    return all_members


@pytest.fixture
def wide(wide_members):
    """Ready, and reached at more addresses than one."""
    wide_members.ready()
    if "*" != wide_members.standby.query("show listen_addresses")[0]:
        wide_members.standby.stop()
        wide_members.standby.start()
    return wide_members.ready()


def flow(session, seconds):
    """The longest that a statement took."""
    longest = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        assert session.ask("select 1") == 1
        longest = max(longest, time.monotonic() - began)
    return longest


def test_members_that_misbehave_delay_nobody(wide, start_fake, full_backlog, start_pgsplice,
                                             request):
    fakes = [start_fake(phase) for phase in PHASES]
    good = addresses_of(wide.standby, len(fakes) + 1)
    proxy = start_pgsplice(*by_sql(wide.leader, *good, *fakes, full_backlog), store=None)
    wait_for_server(proxy.port, wide.leader)
    session = Session(proxy.port)
    session.ask("select 1")
    longest = flow(session, 3 * WINDOW_S)
    print(f"\n{request.node.name}: the longest statement took {1000 * longest:.0f} ms")
    assert longest < 0.5
    assert server_behind(proxy.port) == wide.leader.port
    assert not proxy.find_log("routing to nobody")
    for fake in fakes:
        assert fake.connections, fake.phase
    # All of them were asked to the end of what they say, and more than once.
    wait_until(lambda: all(len(f.connections) > 1 for f in fakes), 10,
               lambda: [f.phase for f in fakes if len(f.connections) < 2])
    # A change is as fast as without them.
    new = wide.standby
    with watch_promotion(new) as promotion, watch_writes(proxy.port) as writes:
        writes.first(wide.leader.port)
        killed = time.monotonic()
        wide.leader.kill()
        assert not session.works()
        new.query("select pg_promote(false)")
        visible = promotion.first(True)
        print(f"{request.node.name}: killed, writable {1000 * (visible - killed):.0f} ms later")
        # One server at many addresses is many writable members.
        proxy.wait_for_log("two-writable")
        assert writes.results(since=killed) <= {None, new.port}
    code, took = proxy.stop()
    assert code == 0 and took < 2


OFTEN = ("accepted", "startup", "half an answer", "garbage", "flood of notices")


@pytest.mark.parametrize("phase", [
    phase if phase in OFTEN else pytest.param(phase, marks=pytest.mark.full) for phase in PHASES])
def test_leader_beside_one_that_misbehaves_may_change(members, start_fake, start_pgsplice, phase,
                                                      request):
    """Of three, so that the other two are needed."""
    fake = start_fake(phase)
    proxy = start_pgsplice(*by_sql(fake, members.leader, members.standby), store=None)
    wait_for_server(proxy.port, members.leader)
    session = Session(proxy.port)
    wait_until(lambda: len(fake.connections) > 1)
    frozen = time.monotonic()
    members.leader.signal_all(signal.SIGSTOP)
    try:
        assert not session.works()
        took = time.monotonic() - frozen
        print(f"\n{request.node.name}: cut after {1000 * took:.0f} ms")
        assert took < WINDOW_S + SLACK_S
    finally:
        members.leader.signal_all(signal.SIGCONT)
    wait_for_server(proxy.port, members.leader)
    code, took = proxy.stop()
    assert code == 0 and took < 2


def test_servers_that_are_not_there_yet_are_not_told_of_at_every_try(start_pgsplice):
    proxy = start_pgsplice(*by_sql("127.0.0.1:1", "127.0.0.1:2"), store=None)
    proxy.wait_for_log("members.*answer=refused")
    holds_for(proxy.is_running, 1.5)  # some sixty tries
    assert len(proxy.find_log('msg="?members"? ')) <= 2, proxy.log()


def test_exit_takes_no_time_while_everybody_hangs(start_fake, full_backlog, start_pgsplice):
    fakes = [start_fake(phase) for phase in PHASES]
    proxy = start_pgsplice(*by_sql(*fakes, full_backlog, timeout_s=30), store=None)
    wait_until(lambda: sum(bool(f.connections) for f in fakes) >= len(fakes) - 1)
    code, took = proxy.stop()
    assert code == 0 and took < 2


def test_observer_that_hangs_keeps_no_session_past_the_deadline(members, start_pgsplice):
    proxy = start_pgsplice(*by_sql(members.leader, members.standby), store=None)
    wait_for_server(proxy.port, members.leader)
    session = Session(proxy.port)
    session.ask("select 1")
    with Stall(proxy, "observer"):
        began = time.monotonic()
        sock = socket.socket(fileno=os.dup(session.fileno()))
        assert end_of(sock, WINDOW_S + 2) == "rst"
        assert time.monotonic() - began < WINDOW_S + SLACK_S
        assert server_behind(proxy.port) is None
        sock.close()
    wait_for_server(proxy.port, members.leader)


def test_exit_does_not_wait_for_an_observer_that_hangs(members, start_pgsplice):
    proxy = start_pgsplice(*by_sql(members.leader, members.standby), store=None)
    wait_for_server(proxy.port, members.leader)
    session = Session(proxy.port)
    with Stall(proxy, "observer"):
        code, took = proxy.stop()
    assert code == 0 and took < 2
    assert not session.works()


def test_leader_is_asked_again_at_once_though_many_others_hang(wide, start_pgsplice, start_fake,
                                                               request):
    """More of them than are connected to at a time."""
    fakes = [start_fake("startup") for _ in range(20)]
    good = addresses_of(wide.standby, len(fakes) + 1)
    proxy = start_pgsplice(*by_sql(wide.leader, *good, *fakes, timeout_s=1.5), store=None)
    wait_for_server(proxy.port, wide.leader)
    wait_until(lambda: all(f.connections for f in fakes))  # in two rounds, at least
    session = Session(proxy.port)
    mark = proxy.mark()
    began = time.monotonic()
    wide.leader.stop()
    proxy.wait_for_log("routing to nobody", start=mark)
    print(f"\n{request.node.name}: left after {1000 * (time.monotonic() - began):.0f} ms")
    assert time.monotonic() - began < 1
    assert not session.works()
    wide.leader.start()
    wait_for_server(proxy.port, wide.leader)


# Roles that are not let in


@pytest.fixture
def guarded(members):
    """A role with a password; others are let in as before."""
    rules = {}
    members.leader.sql("set synchronous_commit = on; drop role if exists secretive;"
                       f"create role secretive login password '{PASSWORD}'")
    members.standby.catch_up(members.leader)
    for server in (members.leader, members.standby):
        path = os.path.join(server.data, "pg_hba.conf")
        with open(path, encoding="utf-8") as f:
            rules[path] = f.read()
        with open(path, "w", encoding="utf-8") as f:
            f.write("host all secretive all scram-sha-256\nhost all stranger all reject\n"
                    + rules[path])
        server.sql("select pg_reload_conf()")
    wait_until(lambda: not _lets_in(members.leader) and not _lets_in(members.standby))
    yield members
    for path, text in rules.items():
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    for server in (members.leader, members.standby):
        server.sql("select pg_reload_conf()")


def _lets_in(server):
    try:
        psycopg2.connect(host="127.0.0.1", port=server.port, user="secretive", dbname="postgres",
                         password="wrong").close()
    except psycopg2.OperationalError:
        return False
    return True


def passfile(folder, password):
    path = folder / "pass"
    path.write_text(f"*:*:*:*:{password}\n")
    path.chmod(0o600)
    return path


def seen_of(proxy):
    """All that others might see of it."""
    return "\n".join([*proxy.log(), proxy.proc("cmdline"), proxy.proc("environ"),
                      *proxy.threads().values()])


@pytest.mark.parametrize("way", ["option", "variable"])
def test_password_of_a_passfile_is_seen_nowhere(guarded, start_pgsplice, tmp_path, way):
    path = passfile(tmp_path, PASSWORD)
    conninfo = "user=secretive" + (f" passfile={path}" if way == "option" else "")
    proxy = start_pgsplice(*by_sql(guarded.leader, guarded.standby, conninfo=conninfo),
                           "--log-level=debug", store=None,
                           env={"PGPASSFILE": str(path)} if way == "variable" else None)
    wait_for_server(proxy.port, guarded.leader)
    assert PASSWORD not in seen_of(proxy)


@pytest.mark.parametrize("user, says", [
    ("secretive", "password authentication failed"),
    ("stranger", "pg_hba.conf"),
    ("nobody_at_all", "does not exist"),
])
def test_role_that_is_not_let_in_is_told_why(guarded, start_pgsplice, tmp_path, user, says):
    path = passfile(tmp_path, "wr0ngword")
    proxy = start_pgsplice(*by_sql(guarded.leader, guarded.standby,
                                   conninfo=f"user={user} passfile={path}"),
                           "--log-level=debug", store=None)
    line = proxy.wait_for_log(f"answer=auth.*{says}")
    assert f"127.0.0.1:{guarded.leader.port}" in line or \
        f"127.0.0.1:{guarded.standby.port}" in line
    proxy.wait_for_log("level=error.*role=unaskable")
    # Nobody is led to, and it is said once, not with each question.
    holds_for(lambda: server_behind(proxy.port) is None, WINDOW_S, step=0.02)
    assert len(proxy.find_log("answer=auth")) == 2
    assert "wr0ngword" not in seen_of(proxy)


def test_leader_that_does_not_let_the_role_in_any_more_is_left_in_time(guarded, start_pgsplice,
                                                                       tmp_path):
    """A kept connection goes on; once it has ended, nothing is known."""
    path = passfile(tmp_path, PASSWORD)
    proxy = start_pgsplice(*by_sql(guarded.leader, guarded.standby,
                                   conninfo=f"user=secretive passfile={path}"), store=None)
    wait_for_server(proxy.port, guarded.leader)
    session = Session(proxy.port)
    guarded.leader.sql("alter role secretive password 'another'")
    guarded.leader.sql("select pg_terminate_backend(pid) from pg_stat_activity"
                       " where usename = 'secretive'")
    ended = time.monotonic()
    assert end_of(socket.socket(fileno=os.dup(session.fileno())), 5) == "rst"
    assert time.monotonic() - ended < WINDOW_S + SLACK_S
    assert server_behind(proxy.port) is None
    guarded.leader.sql(f"alter role secretive password '{PASSWORD}'")
    wait_for_server(proxy.port, guarded.leader)
