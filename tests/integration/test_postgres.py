"""Real PostgreSQL behind the proxy: what clients do with it works unchanged."""

import hashlib
import signal
import subprocess
import threading
import time

import pytest

from harness import PostgresPair, psql, wait_until

MEGABYTES = 100


def dsn(port):
    return f"host=127.0.0.1 port={port} user=postgres dbname=postgres"


@pytest.fixture
def front(stage, postgres):
    """The stage, routed to the real leader."""
    stage.add_member("leader", port=postgres.leader.port)
    stage.add_member("standby", port=postgres.standby.port)
    stage.start_proxy()
    route(stage, "leader", "f")
    return stage


def answer(port):
    try:
        return psql("select pg_is_in_recovery()", port)
    except subprocess.CalledProcessError:
        return None


def route(stage, uid, in_recovery):
    stage.publish(uid)
    stage.acknowledged()
    wait_until(lambda: answer(stage.proxy.port) == in_recovery, what="an answer of " + uid)


def test_psql_reaches_the_leader_and_then_the_other(front):
    front.publish("")
    front.acknowledged()
    assert answer(front.proxy.port) is None
    route(front, "standby", "t")


def test_pgbench_runs_without_an_error(front):
    run = {"capture_output": True, "text": True, "timeout": 60, "check": False}
    r = subprocess.run(["pgbench", "-i", "-q", "-s", "1", dsn(front.proxy.port)], **run)
    assert r.returncode == 0, r.stderr
    r = subprocess.run(["pgbench", "-n", "-c", "8", "-j", "2", "-T", "2", "-P", "1",
                        dsn(front.proxy.port)], **run)
    assert r.returncode == 0, r.stderr
    assert "number of failed transactions: 0 " in r.stdout
    r = subprocess.run(["pgbench", "-n", "-S", "-C", "-c", "4", "-t", "50",
                        dsn(front.proxy.port)], **run)
    assert r.returncode == 0 and "processed: 200/200" in r.stdout, r.stderr


def test_session_line_has_the_port_that_the_server_shows(front):
    shown = psql("select client_port from pg_stat_activity where pid = pg_backend_pid()",
                 front.proxy.port)
    front.proxy.wait_for_log(rf"session \d+: closed.*local_port={shown} ")


def test_cancel_request_from_psql_interrupt(front, postgres):
    """Ctrl-C: a second connection that carries only a CancelRequest."""
    p = subprocess.Popen(["psql", "-XAtq", "-d", dsn(front.proxy.port), "-c",
                          "select pg_sleep(60) /* to cancel */"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: postgres.leader.sql(
            "select count(*) from pg_stat_activity where query like '%to cancel%' "
            "and wait_event = 'PgSleep'") == "1", step=0.05)
        began = time.monotonic()
        p.send_signal(signal.SIGINT)
        _, errors = p.communicate(timeout=10)
    finally:
        p.kill()
    assert "canceling statement due to user request" in errors
    assert time.monotonic() - began < 5


class Copier:
    """COPY through the proxy by psql, hashed on our side."""

    def __init__(self, port, statement, data=None):
        p = subprocess.Popen(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", dsn(port), "-c",
                              statement], stdin=subprocess.PIPE if data else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        digest = hashlib.md5()
        self.size = 0
        if data:
            feeder = threading.Thread(target=self._feed, args=(p, data), daemon=True)
            feeder.start()
        for block in iter(lambda: p.stdout.read(1 << 20), b""):
            digest.update(block)
            self.size += len(block)
        if data:
            feeder.join()
        self.errors = p.stderr.read().decode()
        p.stdout.close()
        p.stderr.close()
        self.code = p.wait()
        self.digest = digest.hexdigest()

    @staticmethod
    def _feed(p, data):
        for block in data:
            p.stdin.write(block)
        p.stdin.close()


def rows(megabytes):
    """About that many bytes of lines that are all different, 1 MB a block."""
    noise = hashlib.sha512(b"noise").hexdigest() * 100
    for block in range(megabytes):
        yield b"".join(b"%d\t%s\n" % (n, noise[n % 9973:n % 9973 + 2000].encode())
                       for n in range(block * 500, block * 500 + 500))


def test_copy_of_100_mb_both_ways_is_unaltered(front, postgres):
    postgres.leader.sql("drop table if exists copied;"
                        "create unlogged table copied (id bigint, text text)")
    expected = hashlib.md5()
    size = 0

    def counted():
        nonlocal size
        for block in rows(MEGABYTES):
            size += len(block)
            expected.update(block)
            yield block

    to_server = Copier(front.proxy.port, "copy copied from stdin", counted())
    assert to_server.code == 0, to_server.errors
    assert size > MEGABYTES * 1000000
    to_client = Copier(front.proxy.port, "copy copied to stdout")
    assert to_client.code == 0, to_client.errors
    assert to_client.digest == expected.hexdigest()
    postgres.leader.sql("drop table copied")


def test_failover_under_pgbench(stage):
    """Withdraw, promote, publish: clients are cut, and what was acknowledged to
    them after the switch is on the new leader."""
    pair = PostgresPair()
    try:
        stage.add_member("old", port=pair.leader.port)
        stage.add_member("new", port=pair.standby.port)
        stage.start_proxy()
        route(stage, "old", "f")
        psql("create table t (who text)", stage.proxy.port)
        p = subprocess.Popen(["pgbench", "-n", "-c", "4", "-T", "60", "-f", "/dev/stdin",
                              dsn(stage.proxy.port)], stdin=subprocess.PIPE, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdin.write("insert into t values ('before');\n")
        p.stdin.close()
        wait_until(lambda: int(pair.leader.sql("select count(*) from t")) > 100, step=0.02)
        stage.publish("")
        stage.acknowledged()
        p.wait(10)
        assert p.returncode != 0
        wait_until(lambda: pair.leader.sql("select count(*) from pg_stat_activity where "
                                           "application_name = 'pgbench'") == "0", step=0.02)
        p.stdout.close()
        p.stderr.close()
        end = pair.leader.sql("select pg_current_wal_flush_lsn()")
        wait_until(lambda: pair.standby.sql(f"select pg_last_wal_replay_lsn() >= '{end}'") == "t",
                   30, "the standby catches up", step=0.02)
        pair.standby.promote()
        route(stage, "new", "f")
        psql("insert into t values ('after')", stage.proxy.port)
        assert pair.standby.sql("select count(*) from t where who = 'after'") == "1"
        assert pair.leader.sql("select count(*) from t where who = 'after'") == "0"
    finally:
        pair.close()
