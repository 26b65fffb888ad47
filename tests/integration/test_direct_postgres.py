"""The direct port before real PostgreSQL: a leader and three streaming standbys, roles that
change under clients, and what clients do with it."""

import collections
import os
import random
import re
import signal
import subprocess
import threading
import time

import psycopg2
import psycopg2.errors
import pytest

from harness import wait_until
from harness.group import DirectCluster, Group, Landings, Visitors, ask, server_of, visit
from harness.postgres import binaries

CANCELLED = "canceling statement due to user request"
CANCEL_S = 2.0
SLEEPS = ("select count(*) from pg_stat_activity where state = 'active' "
          "and query like '%{}%' and pid <> pg_backend_pid()")


@pytest.fixture(scope="module")
def servers():
    group = Group()
    yield group
    group.close()


@pytest.fixture
def make_cluster(servers, store):
    made = []

    def make(**keywords):
        made.append(DirectCluster(store, servers.ready(), **keywords))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


def long_form(ci, full):
    """Two sizes of a test, the second one for --full."""
    return [ci, pytest.param(full, marks=pytest.mark.full)]


# Where clients land


@pytest.mark.parametrize("visits, changes", [(1500, 3), pytest.param(
    10000, 12, marks=pytest.mark.full)])
def test_nobody_lands_on_a_leader_that_the_proxy_could_know(make_cluster, visits, changes):
    cluster = make_cluster().start()
    visitors = Visitors(cluster.direct_port)
    try:
        for _ in range(changes):
            visitors.wait_for(visits // (2 * changes))
            cluster.fail_over()
            cluster.wait_until_settled()
        visitors.wait_for(max(0, visits - len(visitors.landings)), 120)
    finally:
        landings = visitors.stop()
    history = Landings(cluster)
    assert len(landings) >= visits
    assert len(history.changes) >= changes
    assert {a.server for a in landings if a.error is None} == {
        m.port for m in cluster.group.members}
    wrong = history.judge(landings, cluster)
    print(f"{len(landings)} clients, {sum(a.error is not None for a in landings)} met a change")
    assert not wrong, (len(wrong), wrong[:5], history.standby)


def tolerated(count):
    """10 %, and for few clients what chance alone does once in a hundred thousand runs."""
    return max(0.1, 4.5 * (2 / count) ** 0.5)


@pytest.mark.parametrize("count", long_form(900, 6000))
def test_random_leads_to_each_standby_as_often(make_cluster, count):
    cluster = make_cluster().start("--direct-balance=random")
    met = collections.Counter(visit(cluster.direct_port).server for _ in range(count))
    assert set(met) == {m.port for m in cluster.standbys()}
    for port, times in met.items():
        assert abs(times / count * 3 - 1) < tolerated(count), (port, met)


@pytest.mark.parametrize("rounds", long_form(3, 30))
def test_least_keeps_sessions_even(make_cluster, rounds):
    """Also while a third of them, whoever it may be, ends and others come."""
    cluster = make_cluster().start("--direct-balance=least")
    held = 210
    sessions = []
    try:
        for _ in range(rounds):
            while len(sessions) < held:
                session = cluster.connect()
                sessions.append((server_of(session), session))
            met = collections.Counter(port for port, _ in sessions)
            assert len(met) == 3
            for port, times in met.items():
                assert abs(times / held * 3 - 1) <= 0.1, (port, met)
            random.shuffle(sessions)
            while len(sessions) > held * 2 / 3:
                sessions.pop()[1].close()
            wait_until(lambda: sessions_on(cluster.standbys()) == len(sessions), 10, step=0.02)
    finally:
        for _, session in sessions:
            session.close()


def sessions_on(members):
    return sum(m.query("select count(*) from pg_stat_activity where backend_type = "
                       "'client backend' and pid <> pg_backend_pid()")[0] for m in members)


def test_stopped_standby_costs_no_client_an_error(make_cluster):
    cluster = make_cluster().start()
    stopped = cluster.standbys()[0]
    stopped.stop()
    landings = [visit(cluster.direct_port) for _ in range(150)]
    assert not [a for a in landings if a.error]
    assert {a.server for a in landings} == {m.port for m in cluster.standbys()} - {stopped.port}
    assert len(cluster.proxy.find_log("a member cannot be connected to")) == 1
    stopped.start()
    wait_until(lambda: visit(cluster.direct_port).server == stopped.port, 10,
               "clients on the one that is back")


# Sessions of a standby that is promoted


def promoted(cluster, elects):
    return cluster.member_of(elects.elected)


def test_session_of_a_promoted_standby_is_cut_and_others_stay(make_cluster):
    cluster = make_cluster().start()
    sessions = cluster.sessions_on_all()
    elects, _ = cluster.fail_over()
    with pytest.raises(psycopg2.OperationalError):
        ask(sessions.pop(promoted(cluster, elects).port), "select 1")
    cluster.proxy.wait_for_log(r"session \d+: closed.* reason=member-changed by=us")
    cluster.wait_until_settled()
    for port, session in sessions.items():
        assert ask(session, "select pg_is_in_recovery(), inet_server_port()") == (True, port)
        session.close()


def test_kept_session_of_a_promoted_standby_writes_once_that_is_routed(make_cluster):
    """With all it had; until then what it says waits."""
    cluster = make_cluster().start("--direct-on-promote=keep")
    sessions = cluster.sessions_on_all()
    for session in sessions.values():
        ask(session, "set my.note = 'as it was'")
        ask(session, "prepare p as insert into writes values ($1, 1) returning "
                     "inet_server_port(), extract(epoch from clock_timestamp())::float8")
    answers = {}

    def write(port, session):
        while port not in answers:
            try:
                answers[port] = ask(session, f"execute p({port})")
            except psycopg2.errors.ReadOnlySqlTransaction:
                pass  # it is a standby yet

    writers = [threading.Thread(target=write, args=item, daemon=True)
               for item in sessions.items()]
    for writer in writers:
        writer.start()
    try:
        elects, routes = cluster.fail_over()
        new = promoted(cluster, elects)
        wait_until(lambda: answers.get(new.port), 10, "a write")
    finally:
        for port in sessions:
            answers.setdefault(port, None)
        for writer in writers:
            writer.join(10)
    server, written = answers.pop(new.port)
    assert server == new.port
    assert written > routes.began
    assert set(answers.values()) == {None}, "standbys took nothing"
    assert new.query("select array_agg(writer) from writes") == ([new.port],)
    assert ask(sessions[new.port], "show my.note") == ("as it was",)
    cluster.wait_until_settled()
    for session in sessions.values():
        session.close()


def test_write_on_a_standby_is_refused_with_25006(make_cluster):
    cluster = make_cluster().start()
    for session in cluster.sessions_on_all().values():
        with pytest.raises(psycopg2.Error) as error:
            ask(session, "insert into writes values (1, 1)")
        assert error.value.pgcode == "25006"
        assert ask(session, "select count(*) from writes") == (0,)
        session.close()


# CancelRequest


class Sleepers:
    """On each standby a session that sleeps and is nobody's to cancel."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.sessions = cluster.sessions_on_all()
        self.threads = []
        self.ends = []
        for port, session in self.sessions.items():
            thread = threading.Thread(target=self._sleep, args=(port, session), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _sleep(self, port, session):
        try:
            ask(session, "select pg_sleep(300) /* bystander */")
        except psycopg2.Error as error:
            self.ends.append((port, str(error)))

    def are_undisturbed(self):
        return not self.ends and all(m.query(SLEEPS.format("bystander")) == (1,)
                                     for m in self.cluster.standbys())

    def close(self):
        for member in self.cluster.standbys():
            member.query("select pg_terminate_backend(pid) from pg_stat_activity "
                         "where query like '%pg_sleep%' and pid <> pg_backend_pid()")
        for thread in self.threads:
            thread.join(10)
        for session in self.sessions.values():
            session.close()


@pytest.fixture
def two(make_cluster):
    """Two standbys, on each of which somebody sleeps."""
    cluster = make_cluster(standbys=2).start()
    sleepers = Sleepers(cluster)
    wait_until(sleepers.are_undisturbed, 10, step=0.02)
    yield cluster
    try:
        assert sleepers.are_undisturbed(), sleepers.ends
    finally:
        sleepers.close()


def where_it_runs(cluster, mark, count=1):
    """Ports of the standbys that run statements with this mark."""
    found = []

    def all_run():
        found[:] = [m.port for m in cluster.standbys()
                    for _ in range(m.query(SLEEPS.format(mark))[0])]
        return len(found) == count

    wait_until(all_run, 10, lambda: f"statements run on {found}", step=0.01)
    return found


def wait_until_nowhere(cluster, mark, began):
    wait_until(lambda: all(m.query(SLEEPS.format(mark)) == (0,) for m in cluster.standbys()),
               CANCEL_S, "the statement still runs", step=0.01)
    assert time.monotonic() - began < CANCEL_S


def start_client(program, *args, port):
    """SIGINT counts for it even where we are run in the background, which ignores it."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", "setpriv", "--pdeathsig", "KILL",
         os.path.join(binaries(), program), *args,
         f"host=127.0.0.1 port={port} user=postgres dbname=postgres"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def interrupt(process):
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=10)[0]


def test_psql_interrupted_cancels_its_own_statement_20_times(two):
    met = set()
    for n in range(20):
        mark = f"psql number {n}."
        psql = start_client("psql", "-XAtq", "-c", f"select pg_sleep(60) /* {mark} */", "-d",
                            port=two.direct_port)
        met.update(where_it_runs(two, mark))
        began = time.monotonic()
        assert CANCELLED in interrupt(psql)
        wait_until_nowhere(two, mark, began)
    assert len(met) == 2


def test_psycopg_cancel_reaches_its_own_backend_20_times(two):
    met = set()
    sessions = two.sessions_on_all()
    for n in range(20):
        port, session = list(sessions.items())[n % 2]
        mark = f"psycopg number {n}."
        ends = []

        def sleep(session=session, mark=mark, ends=ends):
            try:
                ask(session, f"select pg_sleep(60) /* {mark} */")
            except psycopg2.Error as error:
                ends.append(error)

        thread = threading.Thread(target=sleep, daemon=True)
        thread.start()
        assert where_it_runs(two, mark) == [port]
        began = time.monotonic()
        session.cancel()
        thread.join(CANCEL_S)
        assert CANCELLED in str(ends[0])
        wait_until_nowhere(two, mark, began)
        met.add(port)
    assert len(met) == 2
    for session in sessions.values():
        session.close()


@pytest.mark.parametrize("times", long_form(5, 20))
def test_pgbench_interrupted_leaves_no_statement_behind(two, times, tmp_path):
    """It sends no CancelRequest while it runs: its sessions' ends have to get through."""
    for member in two.standbys():
        member.query("alter system set client_connection_check_interval = '200ms'")
        member.query("select pg_reload_conf()")
    met = set()
    for n in range(times):
        mark = f"pgbench number {n}."
        script = tmp_path / f"{n}.sql"
        script.write_text(f"select pg_sleep(60) /* {mark} */;\n", encoding="utf-8")
        pgbench = start_client("pgbench", "-n", "-c", "4", "-T", "60", "-f", str(script),
                               port=two.direct_port)
        met.update(where_it_runs(two, mark, 4))
        began = time.monotonic()
        interrupt(pgbench)
        wait_until_nowhere(two, mark, began)
    assert len(met) == 2


@pytest.mark.parametrize("times", long_form(3, 20))
def test_pgbench_interrupted_while_it_fills_tables_cancels(make_cluster, times):
    """There it sends a CancelRequest. Only the leader lets it fill any."""
    cluster = make_cluster(standbys=2).start("--direct-fallback=leader", target="any")
    leader = cluster.leader()
    done = 0
    while done < times:
        pgbench = start_client("pgbench", "-i", "-I", "dtG", "-s", "500", port=cluster.direct_port)
        wait_until(lambda: pgbench.poll() is not None or leader.query(
            SLEEPS.format("insert into pgbench_accounts")) == (1,), 10, step=0.01)
        if pgbench.poll() is not None:
            assert "read-only" in pgbench.communicate()[0], "it had met a standby"
            continue
        began = time.monotonic()
        assert CANCELLED in interrupt(pgbench)
        wait_until(lambda: leader.query(SLEEPS.format("insert into pgbench_accounts")) == (0,),
                   CANCEL_S, "it is filled on", step=0.01)
        assert time.monotonic() - began < CANCEL_S
        done += 1
    leader.query("drop table if exists pgbench_accounts, pgbench_branches, pgbench_history, "
                 "pgbench_tellers")


# Beside sessions


def lines_of(member):
    with open(member.log, encoding="utf-8") as f:
        return f.read().splitlines()


def test_measuring_nearness_leaves_no_line_in_a_servers_log(make_cluster):
    """But the one that log_connections is there for, which shows that it is measured."""
    cluster = make_cluster().start("--direct-balance=nearest")
    members = cluster.standbys()
    cluster.sentinel.stop()  # and the keepers, who ask the servers as well
    starts = {m: len(lines_of(m)) for m in members}
    for setting in ("log_connections = on", "log_disconnections = on",
                    "log_min_messages = debug1"):
        for member in members:
            member.query("alter system set " + setting)
    for member in members:
        member.query("select pg_reload_conf()")

    def lines(member):
        return lines_of(member)[starts[member]:]

    def all_are_measured():
        return all(sum("connection received" in line for line in lines(m)) >= 3 for m in members)

    wait_until(all_are_measured, 20, lambda: str({m.port: lines(m) for m in members}), step=0.05)
    for member in members:
        others = [line for line in lines(member)
                  if not re.search("connection received|SIGHUP|LOG:  parameter ", line)]
        assert not others
