"""What became of writes through proxies while Patroni changed leaders.

Writers run all the time (harness/writers.py); beside them is noted who held the lock,
read from the store, and which servers were writable, asked of themselves. judge() then
says whether a write was acknowledged by whom it may not have been. All times are
time.time()."""

import itertools
import re
import threading
import time
import typing

import psycopg2

from .checker import Checker
from .wait import wait_until

_STEP_S = 0.01


class Note(typing.NamedTuple):
    time: float
    value: object


class Notes:
    """Looks again and again, and notes when what it sees is another than before. A look
    that raises OSError sees nothing."""

    def __init__(self, look):
        self.all = []
        self._look = look
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stopping.wait(_STEP_S):
            try:
                value = self._look()
            except OSError:
                continue
            if not self.all or self.all[-1].value != value:
                self.all.append(Note(time.time(), value))

    def first(self, value, since):
        """When it began to be that, since then; None: it did not."""
        return next((n.time for n in list(self.all) if n.value == value and n.time >= since), None)

    def left(self, value, before):
        """Since when it is not that any more, if it is not so at that time; else None. None
        also if nothing is known of that time."""
        known = [n for n in list(self.all) if n.time <= before]
        others = list(itertools.takewhile(lambda n: n.value != value, reversed(known)))
        return others[-1].time if others and len(others) < len(known) else None

    def stop(self):
        self._stopping.set()
        self._thread.join(10)


class Writable:
    """A look at a server: is it? Over a connection that is kept."""

    def __init__(self, member):
        self._member = member
        self._connection = None

    def __call__(self):
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(
                    host="127.0.0.1", port=self._member.port, user="postgres",
                    dbname="postgres", connect_timeout=2)
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute("select not pg_is_in_recovery()")
                return cursor.fetchone()[0]
        except psycopg2.Error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return False


class Change(typing.NamedTuple):
    """Of leaders, in the order of time; seconds."""

    what: str
    old: str
    new: str
    blackout: float   # from the last write that the old one took to the first of the new
    cut_after: float | None  # the last write, after the lock was seen to go; < 0: before
    served_after: float | None  # the first write, after the new one was seen to be writable

    def __str__(self):
        cut = "" if self.cut_after is None else f"last write {self.cut_after * 1000:.0f} ms " \
            "after the lock went, "
        served = "" if self.served_after is None else \
            f"first one {self.served_after * 1000:.0f} ms after it was seen writable"
        return (f"{self.what}: {self.old} to {self.new}, {self.blackout:.2f} s without a write, "
                f"{cut}{served}")


class History:
    """Writers on all of these proxies from now on, on an empty table."""

    def __init__(self, cluster, store, proxies, writers=2):
        self.cluster = cluster
        self.proxies = proxies
        leader = cluster.leader()
        leader.query("create table if not exists writes (writer int, n int)")
        leader.query("truncate writes")
        self._wait_for_standbys(leader)
        self._routed_first = leader.port
        self._marks = {p.port: p.mark() for p in proxies}
        self.lock = Notes(store.leader)
        self.writable = {m.name: Notes(Writable(m)) for m in cluster.members}
        self.checker = Checker([p.port for p in proxies], None, writers, pause_ms=5)
        self.changes = []
        self.wait_for_acks(lambda a: a.server == leader.port, 20)

    def _wait_for_standbys(self, leader):
        """Patroni promotes one that lacks up to maximum_lag_on_failover, as one does for a
        moment whose stream begins anew: that may be the table itself."""
        written = leader.query("select pg_current_wal_lsn()")[0]
        others = len(self.cluster.members) - 1

        def have_it():
            return leader.query("select count(*) from pg_stat_replication "
                                f"where replay_lsn >= '{written}'")[0] == others
        wait_until(have_it, 30, self.cluster.logs, step=0.05)

    def wait_for_acks(self, is_one, timeout):
        """Until each proxy has one, and more than one."""

        def enough():
            seen = {p.port: 0 for p in self.proxies}
            for a in self.checker.acks():
                seen[a.proxy] += is_one(a)
            return min(seen.values()) >= 3

        wait_until(enough, timeout, lambda: f"errors: {self.checker.errors()[-3:]}\n" +
                   "\n".join(self.proxies[0].log()[-20:]) + self.cluster.logs(), step=0.1)

    def change(self, what, do, timeout=90):
        """do(old) takes the leader away, for a time at least; until writes succeed again."""
        old = self.cluster.leader()
        began = time.time()
        self.wait_for_acks(lambda a: a.server == old.port and a.sent > began, 20)
        began = time.time()
        worker = threading.Thread(target=do, args=(old,), daemon=True)
        worker.start()

        def is_after(ack):
            down = self.writable[old.name].first(False, began)
            return ack.sent > began and (ack.server != old.port or bool(down and ack.sent > down))

        self.wait_for_acks(is_after, timeout)
        worker.join(60)
        self.changes.append(self._describe(what, old, began, is_after))
        print(self.changes[-1], flush=True)
        return self.changes[-1]

    def _describe(self, what, old, began, is_after):
        acks = self.checker.acks()
        first = min((a for a in acks if is_after(a)), key=lambda a: a.received)
        last = max(a.received for a in acks if a.server == old.port and a.received < first.received)
        new = next(m for m in self.cluster.members if m.port == first.server)
        gone = next((n.time for n in self.lock.all if n.time > began and n.value != old.name), None)
        ready = self.writable[new.name].first(True, began)
        return Change(what, old.name, new.name, first.received - last,
                      None if gone is None else last - gone,
                      None if ready is None else first.received - ready)

    # The judgement

    def judge(self, loses_nothing=False, follows_lock_s=0.5):
        """follows_lock_s: for how long after the lock has gone a write may still be taken;
        None: as long as its server does."""
        self.stop()
        acks = self.checker.acks()
        self._check_order(acks)
        assert not self.read_only(), self.read_only()[:3]
        if follows_lock_s is not None:
            late = self.late()
            print(f"{len(acks)} writes; {len(late)} after the lock had gone, "
                  f"at most {max(late, default=0) * 1000:.0f} ms", flush=True)
            assert not late or max(late) < follows_lock_s, f"{max(late)} s after the lock had gone"
        lost = self.lost()
        print(f"{len(lost)} of {len(acks)} acknowledged writes lost", flush=True)
        assert not (loses_nothing and lost), lost[:5]

    def _check_order(self, acks):
        """Through no proxy was a write taken by a server that it had left: what servers
        took, in the order of time, is what it was routed to."""
        for proxy in self.proxies:
            routed = [self._routed_first] + [
                int(re.search(r"address=\S*:(\d+)", line).group(1))
                for line in proxy.find_log("routing to the leader", self._marks[proxy.port])]
            taken = [port for port, _ in itertools.groupby(
                a.server for a in sorted(acks, key=lambda a: a.server_time)
                if a.proxy == proxy.port)]
            rest = iter(routed)
            assert all(port in rest for port in taken), f"{taken}, but routed to {routed}"

    def read_only(self):
        return [e for e in self.checker.errors() if "read-only" in e[-1]]

    def late(self):
        """How long after the lock of their server had gone writes were taken."""
        acks = self.checker.acks()
        names = {m.port: m.name for m in self.cluster.members}
        gone = [self.lock.left(names[a.server], a.server_time) for a in acks]
        return [a.server_time - g for a, g in zip(acks, gone) if g is not None]

    def lost(self):
        """What was acknowledged and is not there."""
        leader = wait_until(self.cluster.leader, 30, self.cluster.logs, step=0.1)
        rows = leader.query("select coalesce(json_agg(json_build_array(writer, n)), '[]') "
                            "from writes", timeout_s=30)[0]
        there = {tuple(row) for row in rows}
        return [a for a in self.checker.acks() if (a.writer, a.row) not in there]

    def stop(self):
        self.checker.stop()
        for notes in [self.lock, *self.writable.values()]:
            notes.stop()

    def close(self):
        self.stop()
        self.checker.close()
