"""Keepers: one beside each PostgreSQL server, doing what the cluster data say.

A keeper promotes its server when its db leads, clones the leader anew when it
is given another db, and reports to the sentinel. A frozen keeper does nothing
of this while its server lives on, writable."""

import concurrent.futures
import os
import shutil
import signal
import subprocess
import threading
import time

import psycopg2

from .postgres import PostgresPair, PostgresServer, run_program
from .wait import wait_until

# What a failover needs beside the settings for speed: acknowledged means sent
# to the standby as soon as it is flushed, and pg_rewind has what it asks for.
_SETTINGS = """
synchronous_commit = on
full_page_writes = on
wal_log_hints = on
wal_keep_size = 256MB
wal_retrieve_retry_interval = 100ms
"""


# A server ends with the thread that started it (setpriv --pdeathsig): keepers'
# threads end with their test, this one does not.
_starter = concurrent.futures.ThreadPoolExecutor(1)


class Member(PostgresServer):
    """A server that changes sides."""

    Error = psycopg2.Error

    def init(self):
        super().init()
        self.configure(_SETTINGS)

    def start(self):
        _starter.submit(super().start).result()

    def query(self, statement, timeout_s=5, port=None):
        """The first row of the result, None if it has no rows at all."""
        connection = psycopg2.connect(self.dsn(port) + f" connect_timeout={timeout_s}")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone() if cursor.description else None
        finally:
            connection.close()

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def in_recovery(self):
        return self.query("select pg_is_in_recovery()")[0]

    def signal_all(self, number):
        """The server and all its sessions at once."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children",
                  encoding="ascii") as f:
            children = [int(pid) for pid in f.read().split()]
        for pid in [self.process.pid, *children]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """All of the server at once, as when its machine is lost."""
        self.signal_all(signal.SIGKILL)
        self.process.wait(20)

    def follow(self, leader):
        """Becomes a standby of leader: by pg_rewind, or cloned when that fails."""
        rewound = False
        if self.is_up():
            self.stop()
            rewound = self._rewind(leader)
        if not rewound:
            self.stop(signal.SIGQUIT)
            shutil.rmtree(self.data, ignore_errors=True)
            self.clone(leader)
        self.start()

    def _rewind(self, leader):
        leader.query("checkpoint", 30)  # so that its new timeline is on disk
        try:
            run_program("pg_rewind", "-D", self.data, "-R", "--no-sync",
                        "--source-server=" + leader.dsn())
        except subprocess.CalledProcessError:
            return False
        self.take_place()
        return True

    def catch_up(self, leader):
        """Waits until it has all that leader has flushed now."""
        end = leader.query("select pg_current_wal_flush_lsn()")[0]
        wait_until(lambda: self.query(f"select pg_last_wal_replay_lsn() >= '{end}'")[0], 30,
                   "the standby to catch up", step=0.02)

    def streams_to(self, count=1):
        return self.query("select count(*) from pg_stat_replication "
                          "where state = 'streaming'")[0] == count


class Members(PostgresPair):
    """Two servers used by one test after another. ready() makes one of them the
    leader again, with the other one streaming from it."""

    server_class = Member

    def ready(self):
        if not self.leader.is_up() or self.leader.in_recovery():
            self.leader, self.standby = self.standby, self.leader
        if not (self.standby.is_up() and self.standby.in_recovery()
                and self.leader.streams_to()):
            self.standby.follow(self.leader)
        wait_until(self.leader.streams_to, 30, "the standby's stream", step=0.02)
        self.leader.query("drop table if exists writes")
        self.leader.query("create table writes (writer int, n int, primary key (writer, n))")
        self.standby.catch_up(self.leader)
        return self


class Keeper:
    INTERVAL_S = 0.1

    def __init__(self, uid, member):
        self.uid = uid
        self.member = member
        self.port = member.port
        self.db = None  # uid of the db that the server's data belong to
        self.report = 0  # a number that changes with each report
        self.is_healthy = True
        self.position = 0
        self.frozen = False
        self.error = None
        self._sentinel = None
        self._wakeup = threading.Event()
        self._stopping = False
        self._thread = None

    def start(self, sentinel):
        if self._thread is not None:
            return
        self._sentinel = sentinel
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._stopping = True
        self.wake()
        if self._thread is not None:
            self._thread.join(60)
        if self.error is not None:
            raise self.error

    def wake(self):
        self._wakeup.set()

    def freeze(self):
        """The server runs on; nobody looks after it any more."""
        self.frozen = True

    def _run(self):
        try:
            while not self._stopping:
                if not self.frozen:
                    self._turn()
                self._wakeup.wait(self.INTERVAL_S)
                self._wakeup.clear()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def _turn(self):
        document = self._sentinel.document()
        mine = next((db for db in document["dbs"].values()
                     if db["spec"]["keeperUID"] == self.uid), None)
        if mine is None:
            return
        if mine["uid"] != self.db:
            leader = document["dbs"][mine["spec"]["followConfig"]["dbuid"]]
            self.member.follow(self._sentinel.keepers[leader["spec"]["keeperUID"]].member)
            self.db = mine["uid"]
        try:
            in_recovery = self.member.in_recovery()
            if mine["spec"]["role"] == "master" and in_recovery:
                self.member.query("select pg_promote(false)")
                wait_until(lambda: not self.member.in_recovery(), 30, "the promotion")
                in_recovery = False
            what = "pg_last_wal_receive_lsn()" if in_recovery else "pg_current_wal_flush_lsn()"
            self.position = int(self.member.query(f"select {what} - '0/0'")[0] or 0)
            self.is_healthy = True
        except psycopg2.Error:
            self.is_healthy = False
        self.report += 1


class StandIn:
    """The keeper of a scripted server: always well, and promoted by being told."""

    is_healthy = True
    position = 0

    def __init__(self, uid, port):
        self.uid = uid
        self.port = port
        self.db = None

    @property
    def report(self):
        return time.monotonic()

    def start(self, sentinel):
        pass

    def stop(self):
        pass

    def wake(self):
        pass
