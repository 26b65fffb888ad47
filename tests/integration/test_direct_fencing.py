"""The promise of a published generation on the direct port: a session that may reach a
writable leader obeys it as one of the leader's port does; one that is known to be on a
standby goes on."""

import random
import select
import socket
import threading
import time

import pytest

from harness import echoes, end_of, holds_for, wait_until
from harness.client import connect
from harness.direct import STARTUP, DirectStage, MemberServer, cancel_request
from harness.fence import DeafConnection, check_promises, ready

TIMEOUT_S = 1.0  # proxyTimeout
SLACK_S = 0.3
# So that a write of the store which a test holds up is never that of a regular check: no
# news would be read behind it.
RARE_CHECKS = {"check_interval": "20s", "proxy_timeout": "60s"}


def wait_for_timings(stage):
    """Once they are in force no check is due for long; what was begun before has ended."""
    stage.store.wait_for_info(stage.proxy.uid, lambda i: i["ProxyTimeout"] == 60 * 10 ** 9)
    last = (None, 0)

    def rests():
        nonlocal last
        text = stage.store.info_text(stage.proxy.uid)
        if text != last[0]:
            last = (text, time.monotonic())
        return time.monotonic() - last[1] > 0.1

    wait_until(rests)


class Fenced:
    """A stage whose proxy runs with the shim, and the ways to the leader db1 by the direct
    port. Standbys do not take new clients unless the target is any."""

    ways = ("any", "local", "stranger", "fallback")

    def __init__(self, store, shim, way, **timings):
        self.stage = DirectStage(store, standbys=2, server={"rcvbuf": 32768}, **timings)
        self.shim = shim
        self.way = way

    def start(self, *args, workers=2, **keywords):
        stage = self.stage
        db1 = stage.servers["db1"]
        extra, target = (), self.way
        if self.way == "local":
            extra = ("--local-member=db1",)
        elif self.way == "stranger":
            # The leader by an address that the data does not know.
            stage.servers["other"] = MemberServer("db1", host="127.0.0.2", port=db1.port,
                                                  rcvbuf=32768)
            target = f"127.0.0.2:{db1.port}"
        elif self.way == "fallback":
            for uid in ("db2", "db3"):
                stage.change(uid, healthy=False)
            extra, target = ("--direct-fallback=leader",), "replicas"
        stage.start(f"--workers={workers}", *extra, *args, target=target,
                    launcher=self.shim.launcher, **keywords)

    @property
    def server(self):
        return self.stage.servers["other" if self.way == "stranger" else "db1"]

    def client(self):
        sock = self.stage.direct_on("db1")
        assert echoes(sock)
        return sock

    def deaf(self):
        return DeafConnection(self.stage, self.server, client=self.client())


@pytest.fixture(params=Fenced.ways)
def fenced(store, shim, request):
    f = Fenced(store, shim, request.param, **RARE_CHECKS)
    f.start()
    wait_for_timings(f.stage)
    yield f
    f.stage.close()


def with_short_deadline(store, shim, request):
    f = Fenced(store, shim, request.param, check_interval="200ms",
               proxy_timeout=f"{int(TIMEOUT_S * 1000)}ms")
    yield f
    f.stage.close()


timed = pytest.fixture(params=Fenced.ways, name="timed")(with_short_deadline)
# For what is the same for all, and slow.
briefly_timed = pytest.fixture(
    params=[w if w in ("any", "stranger") else pytest.param(w, marks=pytest.mark.full)
            for w in Fenced.ways], name="briefly_timed")(with_short_deadline)


def test_sessions_on_the_leader_are_aborted_before_the_acknowledgement(fenced, shim):
    stage = fenced.stage
    clients = [fenced.client() for _ in range(8)]
    deaf = fenced.deaf()
    shim.delay("close", 1000, 20, least_ms=10, thread="worker")
    stage.publish("")
    stage.acknowledged()
    shim.clear()
    deaf.check_after_acknowledgement()
    known = {stage.servers[uid].port for uid in ("db2", "db3") if fenced.way == "any"}
    allowed = known | {fenced.server.port}
    check_promises(shim.notes(), {0: set(), 1: allowed, 2: allowed, 3: known})
    assert {end_of(c) for c in clients} == {"rst"}
    assert fenced.way == "any" or stage.met(4) == [None] * 4


def test_nobody_is_led_to_the_next_leader_before_the_acknowledgement(fenced, shim):
    """The next one was a standby that took no clients, or is reached by a fallback."""
    stage = fenced.stage
    fenced.client()
    shim.block("rename", thread="store")
    stage.promote("db2")
    stage.publish("db2")
    stage.proxy.wait_for_log("routing to nobody")
    before = len(stage.servers["db2"].sessions())
    if fenced.way != "any":
        assert stage.met(8) == [None] * 8
    else:
        assert set(stage.met(24)) == {"db3"}
    assert len(stage.servers["db2"].sessions()) == before
    shim.clear()
    stage.acknowledged()
    if fenced.way in ("any", "fallback"):
        stage.direct_on("db2").close()


def test_next_leader_is_not_reached_by_the_route_to_the_one_before(store, shim):
    """Where nobody in between was routed: the members and the route change in one. Control
    stands still each time that it has told the workers something."""
    fenced = Fenced(store, shim, "fallback", **RARE_CHECKS)
    stage = fenced.stage
    try:
        fenced.start(workers=1)
        wait_for_timings(stage)
        client = fenced.client()
        shim.block("rename", thread="store")
        shim.delay("write", 1000, 200, least_ms=200, thread="control")
        stage.promote("db2")
        stage.publish("db2")
        while not stage.proxy.find_log("routing to nobody"):
            assert "db2" not in stage.met(4)
        assert end_of(client) == "rst"
        assert not stage.servers["db2"].sessions()
    finally:
        stage.close()


def check_cut_at_the_deadline(fenced, clients, stalled_at):
    assert {end_of(c, TIMEOUT_S + 2) for c in clients} == {"rst"}
    took = time.monotonic() - stalled_at
    assert took <= TIMEOUT_S + SLACK_S, f"cut {took:.3f} s after the stall"
    wait_until(lambda: not fenced.server.live_sessions())
    assert fenced.stage.proxy.is_running()
    fenced.stage.proxy.wait_for_log("reason=deadline")


def test_store_that_hangs_keeps_no_session_on_the_leader(timed, shim):
    timed.start()
    clients = [timed.client() for _ in range(6)]
    shim.block("open", thread="store")
    shim.wait_until_held("open")
    check_cut_at_the_deadline(timed, clients, time.monotonic())
    if timed.way == "any":
        assert set(timed.stage.met(12)) <= {"db2", "db3"}
    else:
        assert timed.stage.met(4) == [None] * 4
    shim.clear()
    timed.client().close()


def test_control_thread_that_hangs_keeps_no_session_on_the_leader(briefly_timed, shim):
    timed = briefly_timed
    timed.start()
    clients = [timed.client() for _ in range(6)]
    shim.block("epoll", thread="control")
    shim.wait_until_held("epoll")
    check_cut_at_the_deadline(briefly_timed, clients, time.monotonic())
    shim.clear()
    timed.client().close()


def test_worker_that_hangs_with_a_session_on_the_leader_ends_the_process(briefly_timed, shim):
    timed = briefly_timed
    timed.start(workers=1)
    stage = timed.stage
    client, deaf = timed.client(), timed.deaf()
    shim.block("send", thread="worker-0")
    client.sendall(b"this is stuck")
    shim.wait_until_held("send")
    stalled_at = time.monotonic()
    before = stage.generation
    stage.publish("")
    assert stage.proxy.wait(TIMEOUT_S + 3) == 70
    assert time.monotonic() - stalled_at <= TIMEOUT_S + 1.0 + SLACK_S
    assert stage.store.info(stage.proxy.uid)["Generation"] == before
    deaf.check_after_acknowledgement()
    client.close()


def test_worker_that_wakes_forwards_nothing_that_was_withdrawn_meanwhile(timed, shim):
    timed.start(workers=1)
    client = timed.client()
    connection = timed.server.sessions()[-1]
    shim.block("send", thread="worker-0")
    client.sendall(b"in time")
    shim.wait_until_held("send")
    timed.stage.publish("")
    timed.stage.proxy.wait_for_log("routing to nobody")
    client.sendall(b"too late")
    shim.clear()
    timed.stage.acknowledged()
    assert connection.wait_for_end() == "rst"
    assert b"too late" not in connection.received


# Sessions on known standbys

@pytest.mark.parametrize("target", ["replicas", "any"])
def test_sessions_on_standbys_outlive_changes_of_the_leader(make_direct, shim, target):
    stage = make_direct(standbys=3, check_interval="200ms")
    stage.start(target=target, launcher=shim.launcher)
    clients = [stage.direct_on(uid) for uid in ("db3", "db4") for _ in range(3)]
    for leader in ("db2", "", "db1", "", "db2"):
        if leader:
            stage.promote(leader)
        stage.publish(leader)
        stage.acknowledged()
        assert all(echoes(c) for c in clients)


@pytest.mark.parametrize("outage", [None, "keep", "strict"])
def test_sessions_on_standbys_outlive_the_deadline_unless_strict(make_direct, shim, outage):
    stage = make_direct(check_interval="200ms", proxy_timeout="1s")
    stage.start(*([f"--direct-outage={outage}"] if outage else []), launcher=shim.launcher)
    client = stage.direct_on("db2")
    shim.block("open", thread="store")
    shim.wait_until_held("open")
    began = time.monotonic()
    if outage == "strict":
        assert end_of(client, TIMEOUT_S + 2) == "rst"
        assert time.monotonic() - began <= TIMEOUT_S + SLACK_S
        stage.proxy.wait_for_log("session .*reason=deadline")
        assert stage.met(4) == [None] * 4
    else:
        stage.proxy.wait_for_log("nobody has confirmed the leader in time")
        assert echoes(client)
        assert None not in stage.met(8)
    shim.clear()
    stage.wait_for_members("db2", "db3")


@pytest.mark.full
def test_worker_that_hangs_with_sessions_on_standbys_only_is_left_alone_at_the_deadline(
        make_direct, shim):
    """What it holds needs no deadline; it is still ended if it takes no news for long."""
    stage = make_direct(check_interval="200ms", proxy_timeout="1s")
    stage.start("--workers=1", launcher=shim.launcher)
    client = stage.direct_on("db2")
    shim.block("open", thread="store")
    shim.block("send", thread="worker-0")
    client.sendall(b"stuck for a while")
    shim.wait_until_held("send")
    holds_for(stage.proxy.is_running, TIMEOUT_S + 1.5)
    shim.clear()
    client.settimeout(10)
    assert client.recv(17, socket.MSG_WAITALL) == b"stuck for a while"


# Everything at once

class DirectStreamers:
    """Clients of the direct port that connect, stream and read at all times."""

    def __init__(self, port, count):
        self.port = port
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for t in self._threads:
            t.start()

    def _run(self):
        while not self._stopping:
            try:
                with connect(self.port) as sock:
                    sock.sendall(STARTUP)
                    sock.setblocking(False)
                    self._stream(sock, random.randrange(1, 60))
            except OSError:
                time.sleep(0.002)

    def _stream(self, sock, rounds):
        for _ in range(rounds):
            events = ready(sock, select.POLLIN | select.POLLOUT, 0.01)
            if events & ~select.POLLOUT and not sock.recv(65536):
                return
            if events & select.POLLOUT:
                sock.send(bytes(random.randrange(1, 2000)))
            time.sleep(random.random() * 0.003)

    def stop(self):
        self._stopping = True
        for t in self._threads:
            t.join(10)


def delay_at_random(shim):
    shim.clear()
    for operation, thread, most_ms in (("send", "worker", 8), ("close", "worker", 8),
                                       ("rename", "store", 20), ("open", "store", 10),
                                       ("epoll", "worker", 5), ("epoll", "control", 5)):
        if random.random() < 0.6:
            shim.delay(operation, random.choice((50, 200, 500)), most_ms, thread=thread)


def run_storm(stage, shim, rounds):
    """db1 and db2 lead in turn; db3 is a standby at all times. Whoever has led is not known
    as a standby before its keeper says so."""
    standby = stage.servers["db3"].port
    ports = {uid: stage.servers[uid].port for uid in ("db1", "db2")}
    all_ports = {standby, *ports.values()}
    permitted = {0: set(), 1: all_ports, 2: all_ports}
    at_once = {}
    known = {"db3", "db2"}  # as standbys

    def publish(leader):
        began = time.monotonic_ns()
        generation = stage.publish(leader)
        permitted[generation] = {stage.servers[uid].port for uid in known | {leader} - {""}}
        at_once[generation] = (began, {stage.servers[uid].port for uid in known})

    def sent_to():
        return {n.port for n in shim.notes("send") if n.result > 0}

    streamers = DirectStreamers(stage.direct_port, 4)
    leader = "db1"
    try:
        for number in range(4 * rounds):
            if number >= rounds and sent_to() == all_ports:
                break
            delay_at_random(shim)
            leader = "db2" if leader == "db1" else "db1"
            if random.random() < 0.7:
                publish("")
                if random.random() < 0.5:
                    stage.acknowledged(30)
            stage.promote(leader)
            known = {"db3"}
            if random.random() < 0.7:
                publish("")
                stage.acknowledged(30)
            publish(leader)
            stage.acknowledged(30)
            if random.random() < 0.5:
                old = "db2" if leader == "db1" else "db1"
                stage.change(old, current=stage.members[old]["generation"])
                known = {"db3", old}
                publish(leader)
                stage.acknowledged(30)
    finally:
        streamers.stop()
    shim.clear()
    check_promises(shim.notes(), permitted, at_once)
    sends = [n for n in shim.notes("send") if n.result > 0]
    assert len(sends) > 20 * rounds, "the clients hardly streamed"
    assert sent_to() == all_ports


def storm_stage(make_direct, shim):
    stage = make_direct(standbys=2, check_interval="500ms", proxy_timeout="10s")
    stage.start("--workers=3", "--direct-on-promote=cut", target="any", launcher=shim.launcher)
    return stage


def test_no_byte_is_sent_where_the_acknowledged_generation_forbids_it(make_direct, shim):
    run_storm(storm_stage(make_direct, shim), shim, 30)


@pytest.mark.full
def test_no_byte_is_sent_where_the_acknowledged_generation_forbids_it_long(make_direct, shim):
    run_storm(storm_stage(make_direct, shim), shim, 400)


def test_held_session_sends_nothing_before_its_leader_is_acknowledged(make_direct, shim):
    stage = make_direct(**RARE_CHECKS)
    stage.start("--direct-on-promote=keep", launcher=shim.launcher)
    wait_for_timings(stage)
    clients = [stage.direct_on("db2") for _ in range(4)]
    port = stage.servers["db2"].port
    stage.promote("db2")
    shim.block("rename", thread="store")
    stage.publish("db2")
    stage.proxy.wait_for_log("routing to nobody")
    shim.wait_until_held("rename")  # the workers have carried it out
    for c in clients:
        c.sendall(b"may be written by a leader")
    sends = [n for n in shim.notes("send") if n.port == port]
    holds_for(lambda: len([n for n in shim.notes("send") if n.port == port]) == len(sends), 0.3,
              step=0.03)
    shim.clear()
    stage.acknowledged()
    for c in clients:
        assert c.recv(26, socket.MSG_WAITALL) == b"may be written by a leader"
    written = min(n.after for n in shim.notes("rename") if n.number == 3)
    later = [n for n in shim.notes("send") if n.port == port][len(sends):]
    assert len(later) >= 4 and all(n.before > written for n in later)


# Legs of a CancelRequest

def test_legs_of_a_cancel_are_aborted_before_the_acknowledgement(make_direct, shim):
    """A server that does not end its side keeps them open."""
    stage = make_direct(standbys=1, server={"close_on_fin": False}, check_interval="500ms",
                        proxy_timeout="10s")
    stage.start("--direct-on-promote=cut", target="any", launcher=shim.launcher)
    for i in range(6):
        with connect(stage.direct_port) as sock:
            sock.sendall(cancel_request(i))
    wait_until(lambda: len(stage.servers["db1"].cancels()) == 6 and
               len(stage.servers["db2"].cancels()) == 6)
    ports = {uid: stage.servers[uid].port for uid in ("db1", "db2")}
    closes = len(shim.notes("close"))
    shim.delay("close", 1000, 20, least_ms=10, thread="worker")
    stage.publish("")
    stage.acknowledged()
    shim.clear()
    both = set(ports.values())
    check_promises(shim.notes(), {0: set(), 1: both, 2: both, 3: {ports["db2"]}})
    cut = [n.port for n in shim.notes("close")[closes:]]
    assert cut.count(ports["db1"]) == 6


def test_legs_of_a_cancel_on_the_leader_do_not_outlive_the_deadline(make_direct, shim):
    """By the worker alone: the control thread stands still, and there is nothing else."""
    stage = make_direct(standbys=1, server={"close_on_fin": False}, check_interval="200ms",
                        proxy_timeout=f"{int(TIMEOUT_S * 1000)}ms")
    stage.start("--workers=1", target="any", launcher=shim.launcher)
    for i in range(12):
        with connect(stage.direct_port) as sock:
            sock.sendall(cancel_request(i))
    leader, standby = stage.servers["db1"], stage.servers["db2"]
    wait_until(lambda: len(leader.cancels()) == 12 and len(standby.cancels()) == 12)
    shim.block("epoll", thread="control")
    shim.wait_until_held("epoll")
    began = time.monotonic()
    wait_until(lambda: [n.port for n in shim.notes("close")].count(leader.port) == 12,
               TIMEOUT_S + 2)
    assert time.monotonic() - began <= TIMEOUT_S + SLACK_S
    assert standby.port not in [n.port for n in shim.notes("close")]
    shim.clear()


def test_no_leg_goes_to_a_leader_that_is_not_acknowledged(make_direct, shim):
    stage = make_direct(standbys=1, **RARE_CHECKS)
    stage.start("--direct-on-promote=cut", target="any", launcher=shim.launcher)
    wait_for_timings(stage)
    stage.publish("")
    stage.acknowledged()
    shim.block("rename", thread="store")
    stage.publish("db1")
    shim.wait_until_held("rename")
    with connect(stage.direct_port) as sock:
        sock.sendall(cancel_request(1))
        wait_until(lambda: len(stage.servers["db2"].cancels()) == 1)
    assert not stage.servers["db1"].cancels()
    shim.clear()
    stage.acknowledged()
    stage.direct_on("db1").close()  # a moment after its generation
    with connect(stage.direct_port) as sock:
        sock.sendall(cancel_request(2))
        wait_until(lambda: len(stage.servers["db1"].cancels()) == 1)
