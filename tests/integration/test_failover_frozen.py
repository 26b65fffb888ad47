"""A proxy that stands still during a failover: it is waited for, then not, and
whatever it does when it wakes, nothing of it reaches the old leader."""

import threading

import psycopg2
import pytest

from harness import RecordingServer, connect, end_of, receive, wait_until
from harness.keeper import StandIn
from harness.sentinel import Sentinel
from harness.sentinel_store import FileKeys

QUICK = {"check_interval": "500ms", "proxy_timeout": "2s", "sleep_interval": 0.1}
STOLON = {"check_interval": "5s", "proxy_timeout": "15s", "sleep_interval": 5}


class Client(threading.Thread):
    """A session that sends one insert while its proxy stands still."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.connection = psycopg2.connect(host="127.0.0.1", port=port, user="postgres",
                                           dbname="postgres")
        self.connection.autocommit = True
        self.error = None

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute("insert into writes values (0, 0)")
        except psycopg2.Error as error:
            self.error = error


@pytest.mark.parametrize("timings, dead_after_s, patience", [
    (QUICK, 4, 20),
    pytest.param(STOLON, 30, 90, marks=pytest.mark.full),
], ids=["quick", "stolon"])
def test_frozen_proxy_is_waited_for_and_wakes_up_fenced(make_cluster, etcd_keys, timings,
                                                        dead_after_s, patience):
    cluster = make_cluster(etcd_keys, **timings)
    cluster.start(proxies=2)
    sentinel = cluster.sentinel
    well, frozen = cluster.proxies
    cluster.load()
    client = Client(frozen.port)
    frozen.freeze()
    silent_since = max(e.time for e in cluster.events.seen
                       if e.key == f"proxies/info/{frozen.uid}")
    client.start()
    cluster.old_keeper.freeze()
    elects, routes = sentinel.wait_for_failover(patience)
    # What the sentinel has seen of it is at most a cycle old.
    waited = routes.time - silent_since
    assert dead_after_s <= waited < dead_after_s + 3 * timings["sleep_interval"] + 1
    assert [w for t, w in sentinel.waits if t > elects.time] and all(
        frozen.uid in w for _, w in sentinel.waits)
    assert frozen.uid in routes.enabled, "the list is not touched in this step"
    sentinel.wait_until_enabled([well.uid], patience)

    before = len(cluster.events.seen)
    writes = len(sentinel.writes)
    frozen.thaw()
    enables = sentinel.wait_for_write(lambda w: frozen.uid in (w.enabled or []), patience, writes)
    answer = next(e for e in cluster.events.seen[before:]
                  if e.key == f"proxies/info/{frozen.uid}" and e.value)
    assert answer.time < enables.time, "enabled before it has acknowledged"
    client.join(patience)
    assert client.error is not None
    assert cluster.old.query("select count(*) from writes where writer = 0")[0] == 0
    wait_until(lambda: cluster.reaches(frozen) == cluster.new.port, patience)
    cluster.judge(elects, routes, cluster.proxies)


def test_no_byte_sent_to_a_frozen_proxy_reaches_the_old_leader(store, start_pgsplice):
    old, new = RecordingServer(), RecordingServer()
    sentinel = Sentinel(FileKeys(store), {"one": StandIn("one", old.port),
                                          "two": StandIn("two", new.port)})
    try:
        sentinel.start()
        proxy = start_pgsplice()
        sentinel.wait_until_enabled([proxy.uid])
        sessions = [open_session(proxy.port) for _ in range(20)]
        proxy.freeze()
        for s in sessions:
            s.sendall(b"late")
        queued = connect(proxy.port)  # the kernel accepts it for the proxy
        queued.sendall(b"late")
        sentinel.fail_keeper("one")
        sentinel.wait_for_failover()
        proxy.thaw()
        for s in sessions:
            end_of(s)
        wait_until(lambda: not old.live())
        assert b"late" not in old.received
        assert all(c.end == "rst" for c in old.connections), "aborted: nothing is left to deliver"
        assert not queued.recv(4) if _ended(queued) else b"late" in new.received
    finally:
        sentinel.stop()
        for server in (old, new):
            server.close()


def open_session(port):
    """Tries until a session echoes: the proxy may not have been told yet."""
    def opened():
        s = connect(port)
        try:
            s.sendall(b"hello")
            if receive(s, 5) == b"hello":
                return s
        except ConnectionError:
            pass
        s.close()
        return None
    return wait_until(opened)


def _ended(sock):
    sock.settimeout(0.5)
    try:
        return not sock.recv(4)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
