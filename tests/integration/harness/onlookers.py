"""Processes that note what happens at a failover, on one clock: Clients of a proxy, and
Servers, which sees when a server is writable and when Patroni's lock moves."""

import json
import multiprocessing
import os
import socket

from .etcd_store import decode, encode
from .sql_sessions import HOST, Loop, SqlSession, now

EVERY_S = 0.02       # a new session on each port
GIVE_UP_S = 15       # one that is neither served nor refused
BUSY_EVERY_S = 0.005
LOOK_EVERY_S = 0.004
_WHERE = "select inet_server_port(), pg_is_in_recovery()"
_WRITE = "insert into writes default values"


class Remote:
    """kind(loop, *arguments) in a process of its own; its methods are called by name."""

    def __init__(self, kind, *arguments):
        self._pipe, other = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(
            target=_serve, args=(kind, arguments, self._pipe, other), daemon=True)
        self._process.start()
        other.close()

    def ask(self, method, *arguments):
        self._pipe.send((method, *arguments))
        assert self._pipe.poll(30), f"an onlooker does not answer {method}"
        return self._pipe.recv()

    def close(self):
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(kind, arguments, parents_end, pipe):
    parents_end.close()
    parent = os.getppid()
    loop = Loop()
    served = kind(loop, *arguments)

    def on_command(_events):
        try:
            method, *more = pipe.recv()
        except EOFError:
            os._exit(0)
        pipe.send(getattr(served, method)(*more))

    def look_for_parent():
        if os.getppid() != parent:
            os._exit(0)
        loop.call_after(1, look_for_parent)

    loop.add(pipe.fileno(), on_command)
    look_for_parent()
    loop.run()


class Clients:
    """Of one proxy. On each of its ports a new session every EVERY_S, which asks where it
    is, on the leader's port also writes, and goes. Beside them sessions that stay."""

    def __init__(self, loop, port, replica_port=None):
        self._loop = loop
        self._ports = {"write": port}
        if replica_port is not None:
            self._ports["read"] = replica_port
        self._is_opening = False
        self._waiting = {}  # session: when it is given up
        self._shots = []
        self._stays = []

    # Sessions that come and go

    def begin(self):
        self._is_opening = True
        self._shots.clear()
        self._open_next(now())

    def stop(self):
        """How many are still waiting; it may be asked again."""
        self._is_opening = False
        self._give_up()
        return len(self._waiting)

    def shots(self):
        """(port, began, ended, server's port, is it in recovery, error) of each."""
        return list(self._shots)

    def _give_up(self):
        for session, (kind, give_up) in list(self._waiting.items()):
            if now() > give_up:
                session.close()
                self._note(kind, session, "timeout")

    def _open_next(self, at):
        if not self._is_opening:
            return
        for kind in self._ports:
            self._shoot(kind)
        self._give_up()
        at = max(at + EVERY_S, now())  # late ones are not made up for
        self._loop.call_at(at, lambda: self._open_next(at))

    def _shoot(self, kind):
        def on_ready(session):
            if session.row is None and session.error is None:
                session.ask(_WHERE + ("; " + _WRITE if kind == "write" else ""))
                return
            session.close()
            self._note(kind, session, session.error)

        def on_end(session):
            self._note(kind, session, session.error or "closed")

        session = SqlSession(self._loop, self._ports[kind], on_ready, on_end)
        self._waiting[session] = (kind, now() + GIVE_UP_S)

    def _note(self, kind, session, error):
        del self._waiting[session]
        port, in_recovery = session.row or (None, None)
        self._shots.append((kind, session.began, now(), port and int(port),
                            in_recovery and in_recovery == "t", error))

    # Sessions that stay

    def open_sessions(self, idle):
        """So many that do nothing, one that writes all the time, one with an open
        transaction; see sessions()."""
        self.close_sessions()
        for kind in ["idle"] * idle + ["busy", "transaction"]:
            self._stays.append(_Stay(self._loop, self._ports["write"], kind))

    def sessions(self):
        """(kind, server's port or None yet, when it ended or None) of each, and when
        the busy one's last writes were confirmed."""
        return [(s.kind, s.server, s.ended, s.writes[-1:]) for s in self._stays]

    def close_sessions(self):
        for stay in self._stays:
            stay.close()
        self._stays.clear()


class _Stay:
    def __init__(self, loop, port, kind):
        self.kind = kind
        self.server = self.ended = None
        self.writes = []
        self._loop = loop
        self._session = SqlSession(loop, port, self._on_ready, self._on_end)

    def close(self):
        self._session.close()

    def _on_end(self, _session):
        self.ended = now()

    def _on_ready(self, session):
        if self.server is None:
            if session.row is None:
                session.ask(_WHERE)
                return
            self.server = int(session.row[0])
            if self.kind == "transaction":
                session.ask(f"begin; {_WRITE}")
        elif self.kind == "busy" and session.error is None:
            self.writes.append(now())
        if self.kind == "busy":
            self._loop.call_after(BUSY_EVERY_S, self._write)

    def _write(self):
        if not self._session.is_over:
            self._session.ask(_WRITE)


class Servers:
    """What each server says of itself and who holds the lock in etcd: changes only."""

    def __init__(self, loop, ports, etcd_port, leader_key):
        self._loop = loop
        self._states = {port: None for port in ports}
        self._changes = []
        self._holders = []
        for port in ports:
            self._look(port)
        self._watch(etcd_port, leader_key)

    def changes(self, since):
        """(when, port, "writable", "read-only" or "down")"""
        return [change for change in self._changes if change[0] >= since]

    def holders(self, since):
        """(when, name or None)"""
        return [holder for holder in self._holders if holder[0] >= since]

    def _set(self, port, state):
        if self._states[port] != state:
            self._states[port] = state
            self._changes.append((now(), port, state))

    def _look(self, port):
        def on_ready(session):
            if session.row is not None:
                self._set(port, "read-only" if session.row[1] == "t" else "writable")
            self._loop.call_after(LOOK_EVERY_S, lambda: session.is_over or session.ask(_WHERE))

        def on_end(_session):
            self._set(port, "down")
            self._loop.call_after(LOOK_EVERY_S, lambda: self._look(port))

        SqlSession(self._loop, port, on_ready, on_end)

    def _watch(self, etcd_port, key):
        """Over etcd's JSON gateway: each event is a line of its own."""
        body = json.dumps({"create_request": {"key": encode(key)}}).encode()
        watch = socket.create_connection((HOST, etcd_port))
        watch.sendall(b"POST /v3/watch HTTP/1.1\r\nHost: etcd\r\nContent-Length: "
                      + str(len(body)).encode() + b"\r\n\r\n" + body)
        rest = b""

        def on_readable(_events):
            nonlocal rest
            data = watch.recv(65536)
            if not data:
                self._loop.remove(watch.fileno())
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b"{"):  # not the size of a chunk
                    self._take(json.loads(line)["result"].get("events", []))

        self._loop.add(watch.fileno(), on_readable)

    def _take(self, events):
        for event in events:
            is_gone = event.get("type") == "DELETE"
            self._holders.append((now(), None if is_gone else decode(event["kv"]["value"])))
