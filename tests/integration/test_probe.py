"""What real PostgreSQL servers are asked, and what they answer, to roles without any
right: tests/integration/probe_cli does the asking."""

import os
import signal
import subprocess

import pytest

from harness import PostgresPair, free_port, wait_until
from harness.probe_cli import Probing, ask_once, cost, program
from harness.tls import Authority


def new_pair():
    """A pair with a role that has no rights."""
    servers = PostgresPair()
    servers.leader.sql("create role low login")
    wait_until(lambda: servers.standby.sql(
        "select count(*) from pg_roles where rolname = 'low'") == "1")
    return servers


@pytest.fixture(scope="module")
def pair():
    servers = new_pair()
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def altered():
    """For tests that change settings, and change them back."""
    servers = new_pair()
    servers.leader.sql("create role secretive login password 'tops3cret'")
    yield servers
    servers.close()


@pytest.fixture
def own_pair():
    """For tests that promote or stop a server."""
    servers = new_pair()
    yield servers
    servers.close()


@pytest.fixture
def start_probing():
    started = []

    def start(*args, **keywords):
        started.append(Probing(*args, **keywords))
        return started[-1]

    yield start
    for probing in started:
        probing.close()


def lsn(text):
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


@pytest.mark.parametrize("user", ["postgres", "low"])
def test_a_leader_tells_everything_to_anybody(pair, user):
    before = lsn(pair.leader.sql("select pg_current_wal_lsn()"))
    r = ask_once(pair.leader.port, f"user={user}")
    assert r["outcome"] == "writable", r
    assert r["timeline"] == 1 and r["timeline_is_exact"]
    assert r["system_id"] == int(pair.leader.sql("select system_identifier from pg_control_system()"))
    assert r["server_version"] == int(pair.leader.sql("show server_version_num"))
    assert before <= r["current_lsn"] <= lsn(pair.leader.sql("select pg_current_wal_insert_lsn()"))
    assert (r["received_lsn"], r["replayed_lsn"], r["replay_delay_ms"]) == (0, 0, -1)
    assert not r["has_receiver"] and r["text"] == "" and r["sqlstate"] == ""
    assert 0 <= r["answered_ms"] - r["sent_ms"] < 2000


@pytest.mark.parametrize("user, exact", [("postgres", True), ("low", False)])
def test_a_standby_tells_how_far_it_is(pair, user, exact):
    pair.leader.sql("set synchronous_commit = on; create table if not exists t (n int);"
                    " insert into t values (1)")
    target = lsn(pair.leader.sql("select pg_current_wal_flush_lsn()"))
    wait_until(lambda: lsn(pair.standby.sql("select pg_last_wal_replay_lsn()")) >= target)
    r = ask_once(pair.standby.port, f"user={user}")
    assert r["outcome"] == "in-recovery", r
    assert r["timeline"] == 1 and r["timeline_is_exact"] == exact
    assert r["system_id"] == int(pair.leader.sql("select system_identifier from pg_control_system()"))
    assert r["received_lsn"] >= r["replayed_lsn"] >= target
    assert r["current_lsn"] == 0
    assert r["has_receiver"] and r["replay_delay_ms"] == 0


def test_a_standby_that_does_not_replay_falls_behind(pair):
    pair.standby.sql("select pg_wal_replay_pause()")
    try:
        wait_until(lambda: pair.standby.sql("select pg_get_wal_replay_pause_state()") == "paused")
        pair.leader.sql("set synchronous_commit = on; create table if not exists t (n int);"
                        " insert into t values (1)")
        target = lsn(pair.leader.sql("select pg_current_wal_flush_lsn()"))
        wait_until(lambda: lsn(pair.standby.sql("select pg_last_wal_receive_lsn()")) >= target)
        r = ask_once(pair.standby.port, "user=low")
        assert r["received_lsn"] >= target > r["replayed_lsn"] > 0
        wait_until(lambda: ask_once(pair.standby.port, "user=low")["replay_delay_ms"] > 300)
    finally:
        pair.standby.sql("select pg_wal_replay_resume()")


def test_the_new_timeline_is_told_at_once_after_a_promotion(own_pair, start_probing):
    probing = start_probing(own_pair.standby.port, "user=low", interval_ms=60000)
    probing.wait_for("in-recovery")
    probing.hurry()
    own_pair.standby.promote()
    r = probing.wait_for("writable")
    # The control file still has the old one, until the checkpoint after this.
    assert r["timeline"] == 2 and r["timeline_is_exact"]
    assert not any(r["timeline"] == 1 for r in probing.results if r["outcome"] == "writable")


def test_read_only_is_for_all_sessions_not_for_the_role_that_asks(altered):
    leader = altered.leader
    leader.sql("alter role low set default_transaction_read_only = on")
    assert ask_once(leader.port, "user=low")["outcome"] == "writable"
    assert ask_once(leader.port, "user=postgres options='-c default_transaction_read_only=on'"
                    )["outcome"] == "writable"
    leader.sql("alter database postgres set default_transaction_read_only = on")
    assert ask_once(leader.port, "user=postgres")["outcome"] == "read-only"
    leader.sql("set transaction_read_only = off; alter database postgres reset all")
    leader.sql("alter role low reset all")
    leader.sql("alter system set default_transaction_read_only = on")
    leader.sql("select pg_reload_conf()")
    wait_until(lambda: ask_once(leader.port, "user=postgres")["outcome"] == "read-only")
    assert ask_once(altered.standby.port)["outcome"] == "in-recovery"
    leader.sql("alter system reset default_transaction_read_only")
    leader.sql("select pg_reload_conf()")
    wait_until(lambda: ask_once(leader.port, "user=postgres")["outcome"] == "writable")


def test_a_kept_connection_sees_a_setting_that_is_reloaded(altered, start_probing):
    leader = altered.leader
    probing = start_probing(leader.port, interval_ms=50)
    probing.wait_for("writable")
    leader.sql("alter system set default_transaction_read_only = on")
    leader.sql("select pg_reload_conf()")
    probing.wait_for("read-only")
    assert leader.sql("select count(*) from pg_stat_activity where application_name = 'pgsplice'"
                      ) == "1"
    mark = probing.mark()
    leader.sql("alter system reset default_transaction_read_only")
    leader.sql("select pg_reload_conf()")
    probing.wait_for("writable", start=mark)


def test_less_is_told_where_functions_are_taken_away(altered, start_probing):
    leader = altered.leader
    leader.sql("revoke execute on function pg_control_system() from public")
    probing = start_probing(leader.port, "user=low", interval_ms=50)
    r = probing.wait_for("writable")
    assert r["system_id"] == 0 and r["timeline"] == 1 and r["current_lsn"] > 0
    assert r["text"] == "" and r["sqlstate"] == ""
    wait_until(lambda: len(probing.results) > 5)
    # It is not tried in vain each time.
    log = open(leader.log, encoding="utf-8").read()
    assert log.count("permission denied for function pg_control_system") == 1
    leader.sql("revoke execute on function pg_walfile_name(pg_lsn) from public")
    mark = probing.mark()
    wait_until(lambda: len(probing.results) > mark + 2)
    r = probing.results[-1]
    assert r["outcome"] == "writable"
    assert (r["timeline"], r["current_lsn"], r["server_version"] > 0) == (0, 0, True)
    leader.sql("grant execute on function pg_control_system(), pg_walfile_name(pg_lsn) to public")


def test_a_server_that_stops_is_known_at_once(own_pair, start_probing):
    leader = own_pair.leader
    probing = start_probing(leader.port, interval_ms=60000)
    probing.wait_for("writable")
    mark = probing.mark()
    leader.stop()
    # Its end is seen on the kept connection, long before the interval ends; and it is
    # asked once more before that is believed.
    r = wait_until(lambda: next((r for r in probing.results[mark:] if r["is_down"]), None))
    assert r["failures"] == 2
    assert r["outcome"] in ("refused", "starting", "lost")
    assert ask_once(leader.port)["outcome"] == "refused"


def test_a_killed_server_is_known_at_once_and_back_when_it_is(own_pair, start_probing):
    leader = own_pair.leader
    probing = start_probing(leader.port, interval_ms=60000)
    pid = int(leader.sql("select pg_backend_pid()")) and leader.process.pid
    probing.wait_for("writable")
    mark = probing.mark()
    os.kill(pid, signal.SIGKILL)
    leader.process.wait(10)
    probing.wait_for("refused", start=mark)
    probing.hurry()
    mark = probing.mark()
    wait_until(lambda: not _backends_of(leader.data))
    leader.start()
    probing.wait_for("writable", timeout=20, start=mark)


def _backends_of(data):
    """Processes of a server that was killed end a little later; until then it does
    not start."""
    out = subprocess.run(["pgrep", "-f", "postgres -D " + data], capture_output=True, check=False)
    return out.stdout.split()


def test_a_server_that_hangs_times_out_with_and_without_a_connection(altered, start_probing):
    leader = altered.leader
    probing = start_probing(leader.port, timeout_ms=300, interval_ms=50)
    probing.wait_for("writable")
    backend = int(leader.sql("select pid from pg_stat_activity"
                             " where application_name = 'pgsplice'"))
    os.kill(backend, signal.SIGSTOP)
    try:
        r = probing.wait_for("timeout")
        assert r["text"] == "no answer to the query"
        assert 290 <= r["answered_ms"] - r["sent_ms"] < 2000
        # Over a new connection it answers.
        probing.wait_for("writable", start=probing.mark())
        os.kill(leader.process.pid, signal.SIGSTOP)
        r = ask_once(leader.port, timeout_ms=300)
        assert r["outcome"] == "timeout"
        assert r["text"] == "connected, but no session begins"
    finally:
        os.kill(leader.process.pid, signal.SIGCONT)
        os.kill(backend, signal.SIGCONT)
    probing.wait_for("writable", start=probing.mark())


def test_a_starting_server_is_starting(own_pair):
    standby = own_pair.standby
    standby.stop()
    with open(os.path.join(standby.data, "postgresql.conf"), "a", encoding="utf-8") as f:
        f.write("hot_standby = off\n")
    standby._answers = lambda: ask_once(standby.port)["outcome"] != "refused"
    standby.start()
    r = ask_once(standby.port)
    assert r["outcome"] == "starting" and r["sqlstate"] == "57P03"
    assert "database system" in r["text"]


def test_who_may_not_in_is_told_so_without_the_password(altered):
    leader = altered.leader
    hba = os.path.join(leader.data, "pg_hba.conf")
    with open(hba, encoding="utf-8") as f:
        rules = f.read()
    with open(hba, "w", encoding="utf-8") as f:
        f.write("host all secretive all scram-sha-256\n" + rules)
    leader.sql("select pg_reload_conf()")
    wait_until(lambda: ask_once(leader.port, "user=secretive")["outcome"] == "auth")
    r = ask_once(leader.port, "user=secretive password=wr0ngword")
    assert (r["outcome"], r["sqlstate"]) == ("auth", "28P01")
    assert "wr0ngword" not in r["text"] and "password authentication failed" in r["text"]
    assert ask_once(leader.port, "user=secretive password=tops3cret")["outcome"] == "writable"
    r = ask_once(leader.port, "user=nobody_of_that_name")
    assert (r["outcome"], r["sqlstate"]) == ("auth", "28000")
    r = ask_once(leader.port, "user=low dbname=nowhere")
    assert (r["outcome"], r["sqlstate"]) == ("error", "3D000")


def test_the_password_comes_from_the_passfile(altered, tmp_path):
    leader = altered.leader
    with open(os.path.join(leader.data, "pg_hba.conf"), "w", encoding="utf-8") as f:
        f.write("host all secretive all scram-sha-256\nhost all all all trust\n")
    leader.sql("select pg_reload_conf()")
    wait_until(lambda: ask_once(leader.port, "user=secretive")["outcome"] == "auth")
    passfile = tmp_path / "pass"
    passfile.write_text(f"127.0.0.1:{leader.port}:postgres:secretive:tops3cret\n")
    passfile.chmod(0o600)
    assert ask_once(leader.port, f"user=secretive passfile={passfile}")["outcome"] == "writable"
    assert ask_once(leader.port, "user=secretive", env={"PGPASSFILE": str(passfile)}
                    )["outcome"] == "writable"


def test_a_full_server_is_there(altered):
    leader = altered.leader
    leader.sql("alter role low connection limit 0")
    r = ask_once(leader.port, "user=low")
    assert (r["outcome"], r["sqlstate"], r["is_down"]) == ("error", "53300", False)
    leader.sql("alter role low connection limit -1")


def test_it_goes_over_tls_and_checks_names(altered, tmp_path):
    leader = altered.leader
    authority = Authority(tmp_path / "ca")
    cert = authority.issue("db", names=("IP:127.0.0.1",))
    stranger = Authority(tmp_path / "other")
    for name, mode in (("cert", 0o644), ("key", 0o600)):
        target = os.path.join(leader.data, "server." + name)
        with open(getattr(cert, name), "rb") as f, open(target, "wb") as out:
            out.write(f.read())
        os.chmod(target, mode)
        info = os.stat(leader.data)
        os.chown(target, info.st_uid, info.st_gid)
    with open(os.path.join(leader.data, "postgresql.conf"), "a", encoding="utf-8") as f:
        f.write("ssl = on\nssl_cert_file = 'server.cert'\nssl_key_file = 'server.key'\n")
    leader.stop()
    leader.start()
    for mode in ("disable", "prefer", "require", f"verify-full sslrootcert={authority.file}"):
        r = ask_once(leader.port, f"user=low sslmode={mode}")
        assert r["outcome"] == "writable", (mode, r)
    r = ask_once(leader.port, f"user=low sslmode=verify-ca sslrootcert={stranger.file}")
    assert r["outcome"] == "error" and "certificate verify failed" in r["text"]
    # The server without TLS refuses it.
    r = ask_once(altered.standby.port, "user=low sslmode=require")
    assert r["outcome"] == "error" and "SSL" in r["text"]


def test_nothing_is_asked_of_a_port_that_is_closed():
    r = ask_once(free_port())
    assert r["outcome"] == "refused" and r["text"] == "Connection refused"


def test_the_environment_does_not_name_servers(pair):
    env = {"PGHOST": "db.invalid", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGSERVICE": "none",
           "PGTARGETSESSIONATTRS": "read-write"}
    assert ask_once(pair.standby.port, "user=low", env=env)["outcome"] == "in-recovery"


@pytest.mark.parametrize("conninfo, says", [
    ("user=u host=db1", "host may not be set"),
    ("user=u hostaddr=127.0.0.1", "hostaddr may not"),
    ("user=u port=5432", "port may not"),
    ("postgresql://u:tops3cret@db1/postgres", "host may not"),
    ("user=u password=top s3cret", "without \"=\""),
    ("user=u password='tops3cret", "quote"),
    ("user=u tops3cret=1", "does not know"),
    ("dbname=postgres", "no user"),
])
def test_a_bad_conninfo_is_refused_without_being_repeated(conninfo, says):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    done = subprocess.run([program(), "sql", "127.0.0.1", "5432", conninfo, "100", "100", "0"],
                          env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2
    assert says in done.stderr and "s3cret" not in done.stderr


def test_many_servers_cost_little(pair):
    c = cost(pair.standby.port, 80, 5)
    assert c["answers"] == c["results"] >= 80 * 4
    assert c["kb"] < 80 * 40
    assert c["cpu_us"] < c["results"] * 1000
