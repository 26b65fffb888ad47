"""Bytes that wait in a pipe for a server are as much under the gate as any: they
are sent with permission only, thrown away by a cut, and reach nobody else."""

import time

import pytest

from harness import Stage, connect, receive, wait_until
from harness.descriptors import Descriptors
from harness.fence import DeafConnection, check_promises

BULK = 8 << 20


@pytest.fixture(params=["auto", "always"])
def piped(store, shim, request):
    """A stage with one worker that checks seldom, so that no news but the test's
    own comes in between; open for db1, with nothing spliced yet."""
    s = Stage(store, check_interval="5s", proxy_timeout="15s")
    for uid in ("db1", "db2"):
        s.add_member(uid, rcvbuf=32768)
    s.start_proxy("--workers=1", f"--splice={request.param}", launcher=shim.launcher)
    s.descriptors = Descriptors(s.proxy)
    s.open("db1")
    yield s
    s.close()


def fill_pipe(stage, server):
    """A session with bytes in the pipe to its server, which has stopped reading."""
    deaf = DeafConnection(stage, server, bulk=BULK)
    wait_until(lambda: stage.descriptors.bytes_in_pool() > 0, 10, "bytes in a pipe")
    return deaf


def test_bytes_in_the_pipe_are_not_sent_after_the_acknowledgement(piped, shim):
    deaf = fill_pipe(piped, piped.servers["db1"])
    piped.publish("")
    piped.acknowledged()
    deaf.check_after_acknowledgement()
    port = piped.servers["db1"].port
    check_promises(shim.notes(), {0: set(), 1: {port}, 2: set()})
    assert piped.descriptors.bytes_in_pool() == 0


def test_bytes_in_the_pipe_are_not_sent_once_news_of_a_cut_wait_for_the_worker(piped, shim):
    """The worker sleeps just when the server takes bytes again, and says nothing
    that might wake it earlier."""
    server = piped.servers["db1"]
    deaf = fill_pipe(piped, server)
    server.mode = "silent"
    shim.block("epoll", thread="worker-0")
    server.call(lambda: deaf.set_reading(True))
    shim.wait_until_held("epoll")
    mark = piped.proxy.mark()
    piped.publish("")
    piped.proxy.wait_for_log("nobody is routed", start=mark)
    published_ns = time.monotonic_ns()
    shim.clear()
    piped.acknowledged()
    assert deaf.connection.wait_for_end() == "rst"
    assert [n for n in shim.notes("send") if n.before > published_ns and n.result > 0] == []


def test_bytes_of_a_cut_session_reach_no_other_session(piped):
    deaf = fill_pipe(piped, piped.servers["db1"])
    piped.publish("")
    piped.acknowledged()
    piped.open("db2")
    with connect(piped.proxy.port) as client:
        for i in range(16):
            text = bytes([65 + i]) * (512 * 1024)
            client.sendall(text)
            assert receive(client, len(text)) == text
    deaf.check_after_acknowledgement()
