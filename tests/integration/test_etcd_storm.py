"""Leader changes as fast as etcd takes them, under clients that come back at once."""

import os
import threading
import time

import pytest

from harness import connect, echoes, wait_until

pytest_plugins = ["harness.etcd_stage"]

CLIENTS = 50


class Crowd:
    """Clients that connect, echo until they are cut, and come back."""

    def __init__(self, port, count):
        self.port = port
        self.sessions = 0
        self.stopping = False
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self.stopping:
            try:
                with connect(self.port, timeout=5) as sock:
                    self.sessions += 1
                    while not self.stopping and echoes(sock, os.urandom(64)):
                        time.sleep(0.005)
            except OSError:
                time.sleep(0.005)  # as a client that comes back

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in self.threads)


def flap(stage, changes):
    """The sentinel's two writes for each, without waiting for anybody."""
    uid = None
    for n in range(changes):
        uid = "db2" if n % 2 == 0 else "db1"
        stage.publish("")
        stage.publish(uid)
    return uid


@pytest.mark.parametrize("changes", [pytest.param(200, marks=pytest.mark.full), 40])
def test_many_leader_changes_end_right_and_leak_nothing(shared_stage, changes):
    stage = shared_stage
    stage.timings.update(check_interval="1s", proxy_timeout="15s")
    for uid in ("db1", "db2"):
        stage.add_member(uid, keep_data=False)
    stage.start_proxy()
    stage.open("db1")
    crowd = Crowd(stage.proxy.port, CLIENTS)
    try:
        wait_until(lambda: crowd.sessions >= CLIENTS, 10, "the clients")
        flap(stage, changes // 4)  # all that grows once has grown
        stage.acknowledged(10)
        wait_until(lambda: len(stage.servers["db1"].live()) +
                   len(stage.servers["db2"].live()) >= CLIENTS, 20, "the clients")
        before = stage.proxy.fd_count(), stage.proxy.memory_kb()
        last = flap(stage, changes)
        other = "db1" if last == "db2" else "db2"
        stage.acknowledged(10)
        assert stage.store.info(stage.proxy.uid)["Generation"] == stage.generation
        wait_until(lambda: len(stage.servers[last].live()) >= CLIENTS and
                   not stage.servers[other].live(), 20,
                   lambda: f"{len(stage.servers[last].live())} at the new leader, "
                           f"{len(stage.servers[other].live())} at the old one")
        assert stage.proxy.fd_count() <= before[0] + 6  # kept connections to etcd
        assert stage.proxy.memory_kb() <= before[1] + 2048
    finally:
        crowd.stop()
    wait_until(lambda: stage.proxy.fd_count() < before[0] - CLIENTS, 10,
               lambda: f"{stage.proxy.fd_count()} descriptors are left")
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")
