"""--members: two real PostgreSQL servers and no store. Who leads is found by asking
them; what they go through is a failover of every kind."""

import os
import shutil
import signal
import time

import psycopg2
import pytest

from harness import free_port, holds_for, wait_until
from harness.keeper import Member, Members
from harness.members import (WINDOW_S, Session, Watch, by_sql, server_behind, wait_for_server,
                             watch_promotion, watch_writes)

SLACK_S = 0.5


class Proxy:
    """One in front of the members, with both ports open."""

    def __init__(self, start, *members, **keywords):
        self.direct_port = free_port()
        self.process = start(*by_sql(*members, **keywords), "--direct-target=replicas",
                             f"--direct-port={self.direct_port}", store=None)
        self.port = self.process.port
        self.find_log = self.process.find_log
        self.wait_for_log = self.process.wait_for_log
        self.mark = self.process.mark


@pytest.fixture
def proxied(members, start_pgsplice):
    """The members and a proxy that leads to them."""
    proxy = Proxy(start_pgsplice, members.leader, members.standby)
    wait_for_server(proxy.port, members.leader)
    wait_for_server(proxy.direct_port, members.standby)
    return members, proxy


def figure(request, text):
    """Shown with pytest -s, or when the test fails."""
    print(f"\n{request.node.name}: {text}")


def ended(session):
    """It was cut: not a byte comes any more."""
    assert not session.works()
    session.close()
    return True


def test_clients_reach_the_leader_and_on_the_direct_port_the_standby(proxied):
    members, proxy = proxied
    leader, standby = Session(proxy.port), Session(proxy.direct_port)
    assert leader.ask("select inet_server_port()") == members.leader.port
    assert leader.ask("select pg_is_in_recovery()") is False
    assert standby.ask("select inet_server_port()") == members.standby.port
    assert standby.ask("select pg_is_in_recovery()") is True
    leader.close()
    standby.close()


def test_kill_and_promotion_are_followed_and_the_old_leader_never_again(proxied, request):
    members, proxy = proxied
    old, new = members.leader, members.standby
    session = Session(proxy.port)
    with watch_promotion(new) as promotion, watch_writes(proxy.port) as writes:
        writes.first(old.port)
        killed = time.monotonic()
        old.kill()
        assert ended(session)
        new.query("select pg_promote(false)")
        visible = promotion.first(True)
        written = writes.first(new.port, since=killed)
        assert writes.results(since=killed) <= {None, new.port}
    figure(request, f"first write {1000 * (written - visible):.0f} ms after the promotion was "
           f"visible, which was {1000 * (visible - killed):.0f} ms after the kill")
    assert written - visible < 1
    # The direct port has no standby any more.
    wait_for_server(proxy.direct_port, None)
    # It comes back as what it was: writable, on a timeline that has ended.
    mark = proxy.mark()
    session = Session(proxy.port)
    wait_until(lambda: not _processes_of(old))
    old.start()
    line = proxy.wait_for_log("role=stale", start=mark)
    assert "level=error" in line and f"127.0.0.1:{old.port}" in line
    holds_for(lambda: server_behind(proxy.port) == new.port, WINDOW_S + SLACK_S)
    assert server_behind(proxy.direct_port) is None
    assert session.works()
    # Nor when it is the only one.
    new.stop()
    wait_for_server(proxy.port, None)
    assert ended(session)
    holds_for(lambda: server_behind(proxy.port) is None, WINDOW_S + SLACK_S)


def _processes_of(server):
    """Sessions of a server that was killed: it does not start before they are gone."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == server.data:
                found.append(pid)
        except OSError:
            pass
    return found


def test_switchover_is_followed_without_a_kill(proxied, request):
    members, proxy = proxied
    old, new = members.leader, members.standby
    session = Session(proxy.port)
    with watch_promotion(new) as promotion, watch_writes(proxy.port) as writes:
        writes.first(old.port)
        new.catch_up(old)
        began = time.monotonic()
        old.stop()
        assert ended(session)
        new.query("select pg_promote(false)")
        visible = promotion.first(True)
        written = writes.first(new.port, since=began)
    figure(request, f"first write {1000 * (written - visible):.0f} ms after the promotion was "
           "visible")
    assert written - visible < 1
    # As a standby the old one serves reads.
    old.follow(new)
    wait_for_server(proxy.direct_port, old, 20)


def test_leader_that_freezes_is_dropped_and_is_not_led_to_when_it_thaws(proxied, request):
    members, proxy = proxied
    old, new = members.leader, members.standby
    session = Session(proxy.port)
    session.ask("select 1")
    frozen = time.monotonic()
    old.signal_all(signal.SIGSTOP)
    try:
        with session.connection.cursor() as cursor, pytest.raises(psycopg2.Error):
            cursor.execute("select 1")
        took = time.monotonic() - frozen
        figure(request, f"cut {1000 * took:.0f} ms after the freeze, "
               f"of {1000 * WINDOW_S:.0f} ms allowed")
        assert took < WINDOW_S + SLACK_S
        assert server_behind(proxy.port) is None
        with watch_promotion(new) as promotion:
            new.query("select pg_promote(false)")
            visible = promotion.first(True)
        wait_for_server(proxy.port, new, 1)
        figure(request, f"served {1000 * (time.monotonic() - visible):.0f} ms after the "
               "promotion was visible")
    finally:
        mark = proxy.mark()
        old.signal_all(signal.SIGCONT)
    proxy.wait_for_log("role=stale", start=mark)
    holds_for(lambda: server_behind(proxy.port) == new.port, WINDOW_S)
    assert old.query("select count(*) from pg_stat_activity where client_port is not null and "
                     "application_name not in ('pgsplice', 'walreceiver') and "
                     "pid <> pg_backend_pid()")[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_leader_that_restarts_is_back_without_a_promotion(proxied, request, number):
    members, proxy = proxied
    leader = members.leader
    session = Session(proxy.port)
    if number == signal.SIGKILL:
        leader.kill()
        wait_until(lambda: not _processes_of(leader))
    else:
        leader.stop(number)
    assert ended(session)
    wait_for_server(proxy.port, None)
    with Watch(lambda: server_behind(proxy.port)) as seen:
        leader.start()
        up = time.monotonic()
        back = seen.first(leader.port)
    figure(request, f"back {1000 * (back - up):.0f} ms after it was up")
    assert back - up < 1
    assert not proxy.find_log("level=error")


def test_leader_that_takes_no_writes_is_no_leader(proxied):
    members, proxy = proxied
    session = Session(proxy.port)
    members.leader.sql("alter system set default_transaction_read_only = on")
    try:
        members.leader.sql("select pg_reload_conf()")
        wait_for_server(proxy.port, None, 2)
        assert ended(session)
        assert server_behind(proxy.direct_port) == members.standby.port
        proxy.wait_for_log("answer=read-only")
    finally:
        members.leader.sql("alter system reset default_transaction_read_only")
        members.leader.sql("select pg_reload_conf()")
    wait_for_server(proxy.port, members.leader, 2)


@pytest.fixture
def copy_of_leader(members):
    """A function that starts a copy of the leader's data as a server of its own, of
    the same system and the same timeline."""
    started = []

    def start():
        server = Member(members.folder, "copy")
        started.append(server)
        server.clone(members.leader)
        os.unlink(os.path.join(server.data, "standby.signal"))
        server.configure("primary_conninfo = ''")
        auto = os.path.join(server.data, "postgresql.auto.conf")
        with open(auto, "w", encoding="utf-8"):
            pass
        server.start()
        return server

    yield start
    for server in started:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(server.data, ignore_errors=True)


def test_of_two_writable_on_one_timeline_nobody_leads(members, copy_of_leader, start_pgsplice):
    copy = copy_of_leader()
    proxy = Proxy(start_pgsplice, members.leader, copy)
    line = proxy.wait_for_log("two-writable")
    assert "level=error" in line
    assert f"127.0.0.1:{members.leader.port}" in line and f"127.0.0.1:{copy.port}" in line
    holds_for(lambda: server_behind(proxy.port) is None, WINDOW_S)
    # One of them goes: the other one leads.
    copy.stop()
    wait_for_server(proxy.port, members.leader)
    session = Session(proxy.port)
    # It is back: both are left.
    copy.start()
    wait_for_server(proxy.port, None)
    assert ended(session)


class Strangers(Members):
    class server_class(Member):  # pylint: disable=invalid-name
        own_system = True


@pytest.fixture(scope="module")
def strangers():
    pair = Strangers()
    yield pair
    pair.close()


def test_member_of_another_system_is_refused(proxied, strangers, start_pgsplice):
    members, _ = proxied
    stranger = strangers.ready().leader
    proxy = Proxy(start_pgsplice, members.leader, members.standby, stranger)
    wait_for_server(proxy.port, members.leader)
    wait_for_server(proxy.direct_port, members.standby)
    line = proxy.wait_for_log(f"address=127.0.0.1:{stranger.port} role=other-system", timeout=3)
    assert "level=error" in line
    # Also when ours does not write any more.
    mark = proxy.mark()
    members.leader.stop()
    wait_for_server(proxy.port, None)
    holds_for(lambda: server_behind(proxy.port) is None, WINDOW_S)
    assert proxy.find_log("reason=other-system", mark)
    members.leader.start()
    wait_for_server(proxy.port, members.leader)


def test_of_three_members_two_have_to_answer(members, start_pgsplice):
    proxy = Proxy(start_pgsplice, members.leader, members.standby, f"127.0.0.1:{free_port()}")
    wait_for_server(proxy.port, members.leader)
    session = Session(proxy.port)
    stopped = time.monotonic()
    members.standby.stop()
    wait_for_server(proxy.port, None)
    assert time.monotonic() - stopped < WINDOW_S + SLACK_S
    assert ended(session)
    assert members.leader.query("select 1")[0] == 1
    assert proxy.find_log("no-majority")
    members.standby.start()
    wait_for_server(proxy.port, members.leader)


def test_of_three_members_two_have_to_answer_though_the_leader_is_frozen_first(
        members, start_pgsplice):
    """A minority that still writes is not led to, whatever the others do."""
    proxy = Proxy(start_pgsplice, members.leader, members.standby, f"127.0.0.1:{free_port()}")
    wait_for_server(proxy.port, members.leader)
    members.standby.signal_all(signal.SIGSTOP)
    try:
        began = time.monotonic()
        wait_for_server(proxy.port, None)
        assert time.monotonic() - began < WINDOW_S + SLACK_S
    finally:
        members.standby.signal_all(signal.SIGCONT)
    wait_for_server(proxy.port, members.leader)
