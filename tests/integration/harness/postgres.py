"""Real PostgreSQL servers: a leader and a streaming standby, made for speed."""

import atexit
import functools
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

from .ports import free_port
from .wait import wait_until

_SETTINGS = """
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 100
wal_level = replica
hot_standby = on
max_wal_size = 2GB
wal_keep_size = 64MB
autovacuum = off
logging_collector = off
"""


def _version(folder):
    return [int(n) for n in re.findall(r"\d+", folder)]


def binaries():
    """The folder of the newest installed PostgreSQL."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_version)
    found = shutil.which("initdb")
    if not folders and found:
        folders = [os.path.dirname(os.path.realpath(found))]
    assert folders, "PostgreSQL is not installed"
    return folders[-1]


def _as_user():
    """postgres refuses to run as root: then the user postgres runs it."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def give_to_postgres(folder):
    """folder and all in it, if its servers run as another user than we do."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for path, _, files in os.walk(folder):
            for name in [path, *(os.path.join(path, f) for f in files)]:
                os.chown(name, user.pw_uid, user.pw_gid, follow_symlinks=False)


def run_program(program, *args):
    subprocess.run([os.path.join(binaries(), program), *args], check=True, cwd="/",
                   env={**os.environ, "LC_ALL": "C.UTF-8"}, stdout=subprocess.PIPE,
                   stderr=subprocess.STDOUT, **_as_user())


def _make_data(folder):
    run_program("initdb", "-D", folder, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")


@functools.cache
def _data_to_copy():
    """Made once a run: a copy takes a fraction of initdb's time."""
    folder = tempfile.mkdtemp(prefix="pgsplice-test-pg-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.chmod(folder, 0o755)
    give_to_postgres(folder)
    _make_data(os.path.join(folder, "data"))
    return os.path.join(folder, "data")


class PostgresServer:
    address = "127.0.0.1"
    listen_addresses = None  # when these are others, or more
    own_system = False  # with an identifier that no other server of the run has

    def __init__(self, folder, name):
        self.data = os.path.join(folder, name)
        self.log = os.path.join(folder, name + ".log")
        self.port = free_port()
        self.process = None

    def init(self):
        if self.own_system:
            _make_data(self.data)
        else:
            subprocess.run(["cp", "-a", _data_to_copy(), self.data], check=True, cwd="/",
                           **_as_user())
        self.configure(_SETTINGS)
        self.take_place()

    def configure(self, settings):
        """From the next start on, unless it is told to reload."""
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as f:
            f.write(settings + "\n")

    def take_place(self):
        """In a folder that may be another server's copy."""
        self.configure(f"listen_addresses = '{self.listen_addresses or self.address}'\n"
                       f"port = {self.port}")

    def clone(self, leader):
        run_program("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast",
                    "--no-sync", "-d", leader.dsn())
        self.take_place()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", os.path.join(binaries(), "postgres"), "-D",
                 self.data], cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **_as_user())
        wait_until(self._answers, 30, lambda: open(self.log, encoding="utf-8").read(), step=0.05)

    def _answers(self):
        return subprocess.run([os.path.join(binaries(), "pg_isready"), "-q", "-d", self.dsn()],
                              check=False).returncode == 0

    def dsn(self, port=None):
        """Of the server, or of a proxy at this port."""
        host = self.address if port is None else "127.0.0.1"
        return f"host={host} port={port or self.port} user=postgres dbname=postgres"

    def sql(self, statement, port=None):
        return psql(statement, port or self.port,
                    host=self.address if port is None else "127.0.0.1")

    def promote(self):
        self.sql("select pg_promote()")

    def stop(self, number=signal.SIGINT):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)


def psql(statement, port, timeout=60, host="127.0.0.1"):
    """The result of one statement as text; raises CalledProcessError if it fails."""
    result = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d",
         f"host={host} port={port} user=postgres dbname=postgres", "-c", statement],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
    if result.returncode != 0:
        raise subprocess.CalledProcessError(result.returncode, result.args, result.stdout,
                                            result.stderr)
    return result.stdout.strip()


class PostgresPair:
    """leader and standby, streaming; in a folder of their own, removed at the end."""

    server_class = PostgresServer

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pgsplice-test-pg-")
        os.chmod(self.folder, 0o755)
        give_to_postgres(self.folder)
        self.leader = self.server_class(self.folder, "leader")
        self.standby = self.server_class(self.folder, "standby")
        try:
            self.leader.init()
            self.leader.start()
            self.standby.clone(self.leader)
            self.standby.start()
            wait_until(lambda: self.leader.sql("select count(*) from pg_stat_replication") == "1",
                       30, "the standby's stream", step=0.05)
        except BaseException:
            self.close()
            raise

    def close(self):
        self.standby.stop()
        self.leader.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
