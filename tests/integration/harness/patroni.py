"""Real Patroni: members with their PostgreSQL, on a real store, made for speed."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import urllib.request

import psycopg2

from .patroni_program import command_for
from .ports import free_port
from .postgres import binaries
from .wait import wait_until

# Of the shortest that Patroni allows.
QUICK = {"ttl": 20, "loop_wait": 2, "retry_timeout": 3}

_BOOTSTRAP = {
    "dcs": {
        "maximum_lag_on_failover": 1 << 20,
        "postgresql": {
            "use_pg_rewind": True,
            "parameters": {"fsync": "off", "full_page_writes": "on", "wal_log_hints": "on",
                           "shared_buffers": "32MB", "max_connections": 50,
                           "autovacuum": "off", "wal_keep_size": "128MB",
                           # A standby is often there before its slot is.
                           "wal_retrieve_retry_interval": "200ms"},
        },
    },
    "initdb": [{"encoding": "UTF8"}, "data-checksums", "no-sync"],
}
# Each member writes its own: a base backup may copy the leader's while it is written.
_HBA = ["host replication replicator 127.0.0.1/32 trust", "host all all 127.0.0.1/32 trust"]


class PatroniMember:
    """One Patroni with its server, run by the user postgres."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self.port, self.api_port = free_port(), free_port()
        self.data = os.path.join(cluster.folder, name)
        self.log = os.path.join(cluster.folder, name + ".log")
        self.process = None
        self._write_config()

    def _write_config(self):
        config = {
            "scope": self.cluster.scope, "namespace": "/service", "name": self.name,
            **self._store_config(),
            "restapi": {"listen": f"127.0.0.1:{self.api_port}",
                        "connect_address": f"127.0.0.1:{self.api_port}"},
            "bootstrap": {**_BOOTSTRAP, "dcs": {**_BOOTSTRAP["dcs"], **self.cluster.dcs}},
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}", "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": self.data, "bin_dir": binaries(),
                "authentication": {"superuser": {"username": "postgres"},
                                   "replication": {"username": "replicator"},
                                   "rewind": {"username": "postgres"}},
                "pg_hba": _HBA,
                # None: Patroni puts quotes around it. A socket in the data directory
                # would make pg_rewind fail half way and leave torn segments.
                "parameters": {"unix_socket_directories": ""},
            },
        }
        with open(self.config_path, "w", encoding="utf-8") as f:
            json.dump(config, f)  # JSON is YAML

    def _store_config(self):
        found = self.cluster.store_config
        return found(self.name) if callable(found) else found

    @property
    def config_path(self):
        return os.path.join(self.cluster.folder, self.name + ".yml")

    def start(self):
        user = pwd.getpwnam("postgres")
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} \
            if os.geteuid() == 0 else {}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *self.cluster.command, self.config_path],
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": self.cluster.folder},
                start_new_session=True, **as_user)

    def status(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}/patroni",
                                        timeout=2) as reply:
                return json.load(reply)
        except (OSError, ValueError):
            return {}

    def query(self, statement, port=None, timeout_s=5):
        connection = psycopg2.connect(host="127.0.0.1", port=port or self.port, user="postgres",
                                      dbname="postgres", connect_timeout=timeout_s)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone() if cursor.description else None
        finally:
            connection.close()

    def is_writable(self):
        try:
            return self.query("select not pg_is_in_recovery()")[0]
        except psycopg2.Error:
            return False

    def follows(self, leader):
        """Whether it is streaming from this leader, and answers."""
        try:
            return self.query("select count(*) from pg_stat_wal_receiver where "
                              f"status = 'streaming' and sender_port = {leader.port}")[0] == 1
        except psycopg2.Error:
            return False

    def postmaster(self):
        with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as f:
            return int(f.readline())

    def kill_postgres(self):
        os.kill(self.postmaster(), signal.SIGKILL)

    def kill(self):
        """Patroni and its server at once, as when the machine is lost."""
        try:
            pid = self.postmaster()
        except (OSError, ValueError):
            pid = None
        self.process.kill()
        if pid is not None:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
                children = [int(child) for child in f.read().split()]
            for one in [pid, *children]:
                try:
                    os.kill(one, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait(20)

    def freeze(self):
        """Patroni alone; its server goes on. Don't let it go on: Patroni 3.0 then takes
        the lock back without a look at who has it."""
        self.process.send_signal(signal.SIGSTOP)

    def replace(self):
        """By a new machine of the same name."""
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        self.start()

    def close(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
                return
            except subprocess.TimeoutExpired:
                pass
        try:
            self.kill()
        except (OSError, subprocess.TimeoutExpired):
            pass


class PatroniCluster:
    """store_config: the same for all members, or a function of a member's name; dcs: more
    of the options that Patroni keeps in its store."""

    def __init__(self, store_config, scope="main", count=3, program=None, dcs=None):
        program = program or os.environ.get("PATRONI_BIN") or shutil.which("patroni")
        assert program, "Patroni is not installed"
        self.store_config = store_config
        self.scope = scope
        self.dcs = {**QUICK, **(dcs or {})}
        self.folder = tempfile.mkdtemp(prefix="pgsplice-test-patroni-")
        os.chmod(self.folder, 0o755)
        self.members = []
        try:
            self.command = command_for(program, self.folder)
            for i in range(1, count + 1):
                self.members.append(PatroniMember(self, f"pg{i}"))
            if os.geteuid() == 0:
                user = pwd.getpwnam("postgres")
                for path in [self.folder] + [m.config_path for m in self.members]:
                    os.chown(path, user.pw_uid, user.pw_gid)
            for member in self.members:
                member.start()
            self.wait_until_healthy()
        except BaseException:
            self.close()
            raise

    def logs(self):
        text = ""
        for m in self.members:
            if os.path.exists(m.log):
                with open(m.log, encoding="utf-8", errors="replace") as f:
                    text += f"--- {m.name}\n" + f.read()[-3000:]
        return text

    def leader(self):
        leaders = [m for m in self.members if m.is_writable()]
        return leaders[0] if len(leaders) == 1 else None

    def replicas(self):
        return [m for m in self.members if m.status().get("role") == "replica"
                and m.status().get("state") == "running"]

    def wait_until_healthy(self, timeout=90):
        """One leader, all others streaming from it. Asked on both sides: in the leader's
        list a base backup that is still running looks the same."""
        def healthy():
            leader = self.leader()
            return leader is not None and all(
                m.follows(leader) for m in self.members if m is not leader)
        wait_until(healthy, timeout, self.logs, step=0.2)

    def switchover(self, timeout=30):
        """To any other member; asks again while Patroni finds none ready."""
        old = self.leader()
        target = next(m for m in self.members if m is not old)
        body = json.dumps({"leader": old.name, "candidate": target.name}).encode()

        def accepted():
            request = urllib.request.Request(f"http://127.0.0.1:{old.api_port}/switchover", body,
                                             {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:
                    return reply.read()
            except OSError as error:
                refusals.append(str(error))
                return False
        refusals = []
        wait_until(accepted, timeout, lambda: f"{refusals[-3:]}\n{self.logs()}", step=0.5)

    def close(self):
        for m in self.members:
            if m.process is not None and m.process.poll() is None:
                m.process.send_signal(signal.SIGTERM)
        for m in self.members:
            m.close()
        shutil.rmtree(self.folder, ignore_errors=True)
