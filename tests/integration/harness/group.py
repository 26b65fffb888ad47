"""A leader and several standbys of real PostgreSQL behind a direct port, with keepers and
a sentinel that tells of each member what its keeper has carried out.

Where a client of the direct port may land is judged from the documents that the sentinel
wrote and from when the proxy had answered them; see Landings."""

import json
import os
import shutil
import signal
import tempfile
import threading
import time
import typing

import psycopg2

from .keeper import Keeper, Member
from .ports import free_port
from .postgres import give_to_postgres
from .process import Pgsplice
from .sentinel import Sentinel, leader_of
from .sentinel_store import FileKeys
from .wait import wait_until

MASTER, STANDBY = "master", "standby"


class Span(typing.NamedTuple):
    began: float
    ended: float

    def meets(self, landing):
        return landing.began <= self.ended and landing.ended >= self.began


class GroupMember(Member):
    def copy_of(self, standby):
        """Becomes one more standby of the same leader, from one that does not run."""
        shutil.copytree(standby.data, self.data, symlinks=True)
        give_to_postgres(self.data)
        self.set_up(f"port = {self.port}\n")

    def set_up(self, text):
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as f:
            f.write(text)

    def stream_from(self, leader):
        """From now on, without a restart; cloned anew if it has what leader has not.
        Whether it was."""
        self.query(f"alter system set primary_conninfo = '{leader.dsn()}'")
        self.query("select pg_reload_conf()")
        if self.keeps_up_with(leader):
            return False
        self.follow(leader)
        return True

    def keeps_up_with(self, leader, timeout_s=3):
        """Whether it replays what leader writes now: it may stream and yet be stuck,
        where it has more of the old timeline than the new one begins with."""
        end = leader.write_something()
        try:
            wait_until(lambda: self.streams_from(leader) and self.query(
                f"select pg_last_wal_replay_lsn() >= '{end}'")[0], timeout_s, step=0.02)
        except (AssertionError, self.Error):
            return False
        return True

    def _rewind(self, leader):
        """Consistent is only what has replayed more than was there: so there is more."""
        leader.write_something()  # it may be routed and not yet promoted
        rewound = super()._rewind(leader)
        leader.write_something()
        return rewound

    def write_something(self):
        """Once it leads; where that is in the WAL."""
        wait_until(lambda: not self.in_recovery(), 30, "the promotion", step=0.02)
        return self.query("select pg_logical_emit_message(true, '', '')")[0]

    def forget_settings(self):
        """What a test has changed by ALTER SYSTEM; not whom it streams from."""
        names = self.query("select array_agg(distinct name) from pg_file_settings where sourcefile "
                           "like '%auto.conf' and name <> 'primary_conninfo'")[0]
        for name in names or []:
            self.query(f"alter system reset {name}")
        self.query("select pg_reload_conf()")

    def streams_from(self, leader):
        try:
            row = self.query("select status, sender_port from pg_stat_wal_receiver")
        except self.Error:
            return False
        return row == ("streaming", leader.port)


class Group:
    """The servers, used by one test after another: ready() makes one of them the leader
    again and lets the others stream from it."""

    def __init__(self, size=4):
        self.folder = tempfile.mkdtemp(prefix="pgsplice-test-pg-")
        os.chmod(self.folder, 0o755)
        give_to_postgres(self.folder)
        self.members = [GroupMember(self.folder, f"m{i}") for i in range(size)]
        self.leader = self.members[0]
        try:
            self.leader.init()
            self.leader.start()
            first, *others = self.standbys()
            first.clone(self.leader)
            for standby in others:
                standby.copy_of(first)
            for standby in self.standbys():
                standby.start()
        except BaseException:
            self.close()
            raise

    def standbys(self):
        return [m for m in self.members if m is not self.leader]

    def ready(self):
        leads = [m for m in self.members if m.is_up() and not m.in_recovery()]
        self.leader = self.leader if self.leader in leads else leads[0]
        for standby in self.standbys():
            if not (standby.is_up() and standby.in_recovery()
                    and standby.keeps_up_with(self.leader)):
                standby.follow(self.leader)
        for member in self.members:
            member.forget_settings()
        self.leader.query("drop table if exists writes")
        self.leader.query("create table writes (writer int, n int, primary key (writer, n))")
        for standby in self.standbys():
            standby.catch_up(self.leader)
        return self

    def close(self):
        for member in self.members:
            member.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


class GroupKeeper(Keeper):
    def __init__(self, uid, member):
        super().__init__(uid, member)
        self.done = (None, 0)  # uid of the db and its generation that was carried out
        self.cloned = []  # Span in which a known standby was down for that

    def _turn(self):
        document = self._sentinel.document()
        mine = next(db for db in document["dbs"].values()
                    if db["spec"]["keeperUID"] == self.uid)
        follow = mine["spec"].get("followConfig")
        if mine["uid"] == self.db and follow and self.done != (self.db, mine["generation"]):
            leader = document["dbs"][follow["dbuid"]]["spec"]["keeperUID"]
            began = time.time()
            if self.member.stream_from(self._sentinel.keepers[leader].member):
                self.cloned.append(Span(began, time.time()))
        super()._turn()
        if self.is_healthy and self.db == mine["uid"]:
            self.done = (self.db, mine["generation"])

    def carried_out(self, db):
        uid, generation = self.done
        return generation if uid == db else 0


class Document(typing.NamedTuple):
    began: float  # time.time(), before it was written and after
    time: float
    content: dict


class _RecordingKeys:
    """The store, and what was written to it."""

    def __init__(self, keys):
        self._keys = keys
        self.documents = []

    def __getattr__(self, name):
        return getattr(self._keys, name)

    def swap(self, key, value, revision):
        began = time.time()
        if not self._keys.swap(key, value, revision):
            return False
        self.documents.append(Document(began, time.time(), json.loads(value)))
        return True


class GroupSentinel(Sentinel):
    """As stolon's beyond what proxies see of it: standbys are given the new leader to
    follow, and what each db has come to is known from its keeper only."""

    def __init__(self, keys, keepers, **settings):
        super().__init__(_RecordingKeys(keys), keepers, **settings)

    def _replace_old_leader(self, old, new):
        super()._replace_old_leader(old, new)
        leader = leader_of(new)
        failed = self._failed_dbs(new, time.monotonic())
        for db in new["dbs"].values():
            follow = db["spec"].get("followConfig")
            if follow and follow["dbuid"] != leader \
                    and new["proxy"]["spec"].get("masterDbUid") == leader:
                follow["dbuid"] = leader
                db["generation"] += 1
            keeper = self.keepers[db["spec"]["keeperUID"]]
            db["status"]["healthy"] = db["uid"] not in failed
            db["status"]["currentGeneration"] = keeper.carried_out(db["uid"])

    def _db(self, uid, keeper, followed=None):
        db = super()._db(uid, keeper, followed)
        db["status"]["currentGeneration"] = self.keepers[keeper].carried_out(uid)
        return db

    def _first_document(self):
        document = super()._first_document()
        for db in document["dbs"].values():
            self.keepers[db["spec"]["keeperUID"]].done = (db["uid"], 1)
            db["status"]["currentGeneration"] = 1
        return document


class DirectCluster:
    """group: ready. standbys: how many of its members take part beside the leader."""

    def __init__(self, store, group, standbys=3):
        self.group = group
        members = [group.leader, *group.standbys()[:standbys]]
        self.keepers = {f"keeper{m.port}": GroupKeeper(f"keeper{m.port}", m) for m in members}
        self.keys = FileKeys(store)
        self.events = self.keys.watch()
        self.sentinel = GroupSentinel(self.keys, self.keepers, check_interval="3s",
                                      proxy_timeout="8s", fail_interval=3)
        self.direct_port = free_port()
        self.proxy = None
        self._closed = False

    def start(self, *args, target="replicas"):
        """Until the direct port leads to all that it is to lead to."""
        self.sentinel.start()
        self.proxy = Pgsplice(None, [*self.keys.flags(), f"--direct-target={target}",
                                     f"--direct-port={self.direct_port}", *args])
        self.sentinel.wait_until_enabled([self.proxy.uid])
        wait_until(lambda: self.leader_reached() == self.leader().port, 10, "the leader",
                   step=0.02)
        self.proxy.wait_for_log(r'direct port: members" .*count=')
        return self

    def documents(self):
        return self.sentinel.keys.documents

    def member_of(self, db):
        return self.keepers[self.sentinel.keeper_of(db)].member

    def leader(self):
        return self.member_of(leader_of(self.sentinel.document()))

    def standbys(self):
        return [k.member for k in self.keepers.values() if k.member is not self.leader()]

    def connect(self, **settings):
        """A psycopg2 session of the direct port."""
        return connect(self.direct_port, **settings)

    def leader_reached(self):
        try:
            with_leader = connect(self.proxy.port)
        except psycopg2.Error:
            return None
        return server_of(with_leader, close=True)

    def sessions_on_all(self):
        """{server's port: a session on it}, one for each standby."""
        found = {}
        while len(found) < len(self.keepers) - 1:
            session = self.connect()
            port = server_of(session)
            if port in found:
                session.close()
            else:
                found[port] = session
        return found

    def fail_over(self):
        """Gives the leader's keeper up: (the write that elects, the one that routes)."""
        start = len(self.sentinel.writes)
        self.sentinel.fail_keeper(self.sentinel.keeper_of(leader_of(self.sentinel.document())))
        return self.sentinel.wait_for_failover(start=start)

    def is_settled(self):
        document = self.sentinel.document()
        return document["proxy"]["spec"].get("masterDbUid") == leader_of(document) and all(
            db["status"]["currentGeneration"] == db["generation"] and db["status"]["healthy"]
            and (db["spec"]["role"] == MASTER) == (db["uid"] == leader_of(document))
            for db in document["dbs"].values())

    def wait_until_settled(self):
        wait_until(self.is_settled, 30, lambda: str(self.sentinel.document()["dbs"]), step=0.02)

    def seen_at(self, generation):
        """From when on the proxy had surely carried out what came with a generation."""
        return min((e.time for e in list(self.events.seen)
                    if e.key == f"proxies/info/{self.proxy.uid}" and e.value
                    and json.loads(e.value)["Generation"] >= generation),
                   default=float("inf"))

    def close(self):
        if self._closed:
            return
        self._closed = True
        if self.proxy is not None:
            self.proxy.close()
        try:
            self.wait_until_settled()  # the next test wants them streaming
        finally:
            self.group.leader = self.leader()
            self.events.stop()
            self.sentinel.stop()


def connect(port, **settings):
    session = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres",
                               connect_timeout=10, **settings)
    session.autocommit = True
    return session


def ask(session, statement):
    """The first row."""
    with session.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def server_of(session, close=False):
    port = ask(session, "select inet_server_port()")[0]
    if close:
        session.close()
    return port


class Landing(typing.NamedTuple):
    """What one client of the direct port met."""

    began: float
    ended: float
    server: int | None  # port
    in_recovery: bool | None
    error: str | None


class Visitors:
    """Clients that connect, ask where they are and leave, until told to stop."""

    def __init__(self, port, threads=2):
        self.port = port
        self.landings = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stopping.is_set():
            self.landings.append(visit(self.port))

    def wait_for(self, count, timeout=60):
        """So many more."""
        count += len(self.landings)
        wait_until(lambda: len(self.landings) >= count, timeout,
                   lambda: f"{len(self.landings)} of {count}", step=0.02)

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(20)
        return self.landings


def visit(port):
    began = time.time()
    session = None
    try:
        session = connect(port)
        server, in_recovery = ask(session, "select inet_server_port(), pg_is_in_recovery()")
        return Landing(began, time.time(), server, in_recovery, None)
    except psycopg2.Error as error:
        return Landing(began, time.time(), None, None, str(error).strip())
    finally:
        if session is not None:
            session.close()


class Landings:
    """Where clients may have landed, from the cluster's history. A member is a standby from
    the document on that says that its keeper has carried out to be one, until the proxy
    has answered a document in which it is not to be one any more."""

    def __init__(self, cluster):
        self.standby = {}  # port: [Span]
        self.changes = []  # Span, from when a standby was taken away to the proxy's answer
        known = {}  # uid of a db: (port, since)
        for document in cluster.documents():
            known = self._follow(cluster, document, known)
        for port, since in known.values():
            self._add(port, since, float("inf"))

    def _follow(self, cluster, document, before):
        known = {}
        for uid, db in document.content["dbs"].items():
            is_done = db["status"]["currentGeneration"] == db["generation"]
            if db["spec"]["role"] == STANDBY and (uid in before or is_done):
                known[uid] = before.get(uid, (int(db["status"]["port"]), document.began))
        for uid, (port, since) in before.items():
            if uid not in known:
                ended = cluster.seen_at(document.content["proxy"]["generation"])
                self._add(port, since, ended)
                self.changes.append(Span(document.began, ended))
        return known

    def _add(self, port, began, ended):
        self.standby.setdefault(port, []).append(Span(began, ended))

    def judge(self, landings, cluster):
        """Landings that must not have been."""
        excuses = self.changes + [c for k in cluster.keepers.values() for c in k.cloned]
        return [landing for landing in landings if not self._is_fine(landing, excuses)]

    def _is_fine(self, landing, excuses):
        if landing.error is not None:
            return any(e.meets(landing) for e in excuses)
        if not any(s.meets(landing) for s in self.standby.get(landing.server, [])):
            return False
        return landing.in_recovery or any(c.meets(landing) for c in self.changes)
