"""An outage of a Patroni cluster as clients of proxies see it, from the event until all is
as it should be again."""

import threading

from .onlookers import Clients, Remote, Servers
from .sql_sessions import now
from .wait import wait_until

IDLE_SESSIONS = 5
LIMIT_S = 120


class Outages:
    """Sees to the onlookers. proxies: {name: (port, replica port or None)}"""

    def __init__(self, cluster, etcd_port, proxies):
        self.cluster = cluster
        self._servers = Remote(Servers, [m.port for m in cluster.members], etcd_port,
                               f"/service/{cluster.scope}/leader")
        self._clients = {name: Remote(Clients, *ports) for name, ports in proxies.items()}

    def close(self):
        for onlooker in [self._servers, *self._clients.values()]:
            onlooker.close()

    def observe(self, event, undo=lambda old: None, is_settled=lambda: True):
        """event(old leader) happens; when the new leader is served by all proxies and the
        sessions of the old one are gone, undo(old leader) does."""
        self.cluster.wait_until_healthy()
        wait_until(is_settled, LIMIT_S, "proxies that know the roles", step=0.2)
        old = self.cluster.leader()
        self._open_sessions(old)
        for clients in self._clients.values():
            clients.ask("begin")
        began = now()
        worker = threading.Thread(target=event, args=(old,), daemon=True)
        worker.start()
        try:
            seen = self._wait_for_leader(began)
            self._wait_for_writes(seen)
            self._wait_for_ends()
        finally:
            undo(old)
        worker.join(LIMIT_S)
        self.cluster.wait_until_healthy()
        wait_until(is_settled, LIMIT_S, "proxies that know the roles", step=0.2)
        wait_until(lambda: not any([c.ask("stop") for c in self._clients.values()]), LIMIT_S,
                   "the end of all sessions", step=0.1)
        seen.update(old=old.port, moved=self._lock_moved(old, began))
        return {"old": old.name,
                "new": next(m.name for m in self.cluster.members if m.port == seen["new"]),
                "writable_s": seen["writable"] - began,
                "moved_s": seen["moved"] and seen["moved"] - began,
                "proxies": {name: _judge(clients.ask("shots"), clients.ask("sessions"), seen)
                            for name, clients in self._clients.items()}}

    def _open_sessions(self, leader):
        def sessions():
            return {name: clients.ask("sessions") for name, clients in self._clients.items()}

        def are_open():
            return all(server == leader.port and ended is None
                       for found in sessions().values() for _, server, ended, _ in found)

        for clients in self._clients.values():
            clients.ask("open_sessions", IDLE_SESSIONS)
        wait_until(are_open, 20, lambda: f"sessions with the leader: {sessions()}", step=0.05)

    def _wait_for_leader(self, began):
        """From when on anybody was writable, and down before, if it is the same one."""
        def found():
            changes = self._servers.ask("changes", began)
            for i, (when, port, state) in enumerate(changes):
                if state == "writable":
                    before = [t for t, other, _ in changes[:i] if other == port]
                    return {"new": port, "writable": when, "since": max(before, default=began)}
            return None
        return wait_until(found, LIMIT_S, self.cluster.logs, step=0.05)

    def _wait_for_writes(self, seen):
        wait_until(lambda: all(_first_write(c.ask("shots"), seen) for c in self._clients.values()),
                   LIMIT_S, "writes to the new leader through all proxies", step=0.1)

    def _wait_for_ends(self):
        wait_until(lambda: all(ended for clients in self._clients.values()
                               for _, _, ended, _ in clients.ask("sessions")),
                   LIMIT_S, "the end of the old leader's sessions", step=0.1)

    def _lock_moved(self, old, began):
        moves = [when for when, name in self._servers.ask("holders", began) if name != old.name]
        return min(moves, default=None)


def _first_write(shots, seen):
    times = [ended for kind, _, ended, port, in_recovery, error in shots
             if kind == "write" and error is None and port == seen["new"] and not in_recovery
             and ended >= seen["since"]]
    return min(times, default=None)


def _judge(shots, stays, seen):
    """What clients of one proxy have seen, in seconds and sessions."""
    moved = seen["moved"]
    writes = [shot for shot in shots if shot[0] == "write"]
    reads = [shot for shot in shots if shot[0] == "read"]
    late = [shot for shot in writes if shot[5] is None and shot[3] == seen["old"] and moved
            and seen["new"] != seen["old"] and shot[2] > moved]
    last_end = max(ended for _, _, ended, _ in stays)
    return {
        "first_write_s": _first_write(shots, seen) - seen["writable"],
        "writes": len(writes),
        "writes_failed": sum(1 for shot in writes if shot[5] is not None),
        "read_only": sum(1 for shot in writes if shot[4]),
        "reads": len(reads),
        "reads_failed": sum(1 for shot in reads if shot[5] is not None),
        "reads_from_leader": sum(1 for shot in reads if shot[4] is False),
        # Of sessions that were with the old leader: below 0, they ended before.
        "outlived_s": moved and last_end - moved,
        "late_writes": len(late),
    }
