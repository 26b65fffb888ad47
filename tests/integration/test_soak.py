"""A bad day in a minute: sessions of all sizes at once, resets, ends in halves,
slow readers, and cuts in the middle. No byte is wrong, and nothing is left.

Every build may run it: tests/run gives its time to the one with the sanitizers,
and the release build checks the memory."""

import os
import re

import pytest

from harness import Stage, free_port
from harness.descriptors import Descriptors
from harness.soak import run_soak

SECONDS = int(os.environ.get("PGSPLICE_SOAK_S", "8"))
SANITIZED = os.environ.get("PGSPLICE_SOAK_SANITIZED") == "1"
CONCURRENCY = 64
MOST_BYTES = 64 << 20
WORKERS = 2
GROWN_MOST_KB = 2048  # what malloc keeps of 128 buffers of 64 KiB that came and went

FINDINGS = re.compile(r"Sanitizer|runtime error:|leaked in|SUMMARY")


@pytest.fixture(params=["auto", "always"])
def soaked(store, request):
    s = Stage(store)
    s.server_port = free_port()
    s.add_member("db1", port=s.server_port)
    # Every session is logged, so that the log has all its memory soon.
    s.start_proxy(f"--workers={WORKERS}", f"--splice={request.param}", "--log-level=debug",
                  listen="0.0.0.0")
    s.publish("db1")
    s.acknowledged()
    s.proxy.wait_for_log("routing to the leader")
    yield s
    s.close()


def cut_all(stage):
    """The leader is withdrawn and comes back."""
    stage.publish("")
    stage.acknowledged(30)
    mark = stage.proxy.mark()
    stage.publish("db1")
    stage.proxy.wait_for_log("routing to the leader", 30, mark)


def test_soak_ends_without_a_wrong_byte_and_leaves_nothing_behind(soaked):
    proxy = soaked.proxy
    before = Descriptors(proxy)
    memory = proxy.memory_kb()
    counts = run_soak(soaked, SECONDS, CONCURRENCY, MOST_BYTES, lambda: cut_all(soaked))
    pool = before.check_same_but_pools(WORKERS)
    grown = proxy.memory_kb() - memory
    print(f"\n{counts}, {pool} pipes in the pools, {grown} kB more than at the start")
    assert counts["wrong"] == 0 and pool > 0
    assert counts["cuts"] >= SECONDS // 8 and counts["cut"] > counts["cuts"]
    assert counts["resets"] > counts["sessions"] // 5
    assert counts["bytes"] > SECONDS * 20e6
    assert SANITIZED or grown <= GROWN_MOST_KB
    status, _ = proxy.stop(timeout=30)
    assert status == 0
    assert [line for line in proxy.log() if FINDINGS.search(line)] == []
