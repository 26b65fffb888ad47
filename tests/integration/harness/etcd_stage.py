"""Fixtures of the etcd tests: pytest_plugins = ["harness.etcd_stage"]."""

import itertools
import time

import pytest

from .etcd import Etcd, EtcdCluster
from .etcd_store import EtcdStore
from .process import Pgsplice
from .stage import Stage
from .wait import wait_until

_numbers = itertools.count(1)


class EtcdStage(Stage):
    """A Stage whose store is etcd."""

    def start_proxy(self, *args, **keywords):
        proxy = Pgsplice(None, [*self.store.flags(), *args], **keywords)
        self.proxies.append(proxy)
        self.proxy = proxy
        return proxy

    def ready(self, *args, **timings):
        """Members, a proxy that forwards to db1, and the timings in force."""
        self.timings.update(timings)
        self.add_member("db1")
        self.add_member("db2")
        self.start_proxy(*args)
        self.open("db1")
        nanoseconds = {"2s": 2, "3s": 3, "4s": 4, "5s": 5, "8s": 8, "15s": 15}
        wanted = nanoseconds[self.timings["proxy_timeout"]] * 10**9
        self.store.wait_for_info(self.proxy.uid, lambda i: i["ProxyTimeout"] == wanted)
        return self

    def new_client(self):
        """client(), tried again while the proxy does not forward yet."""

        def got():
            try:
                return self.client()
            except (OSError, AssertionError):
                return None

        return wait_until(got, 10, "a session", step=0.01)

    def change_leader(self, uid, timeout=5):
        """As a sentinel does. Returns the seconds until the cut was acknowledged
        and until the new leader was reached."""
        began = time.monotonic()
        self.publish("")
        self.acknowledged(timeout)
        acknowledged = time.monotonic() - began
        began = time.monotonic()
        self.publish(uid)

        def reached():
            count = len(self.servers[uid].connections)
            try:
                with self.client():
                    return len(self.servers[uid].connections) > count
            except (OSError, AssertionError):
                return False

        wait_until(reached, timeout, "the new leader is not reached")
        return acknowledged, time.monotonic() - began


@pytest.fixture(scope="session")
def shared_etcd(tmp_path_factory):
    """For tests that leave it as it was; each has a cluster name of its own."""
    server = Etcd(tmp_path_factory.mktemp("etcd-shared")).start()
    yield server
    server.kill()


@pytest.fixture
def own_etcd(tmp_path):
    """For tests that do harm to it."""
    server = Etcd(tmp_path).start()
    yield server
    server.kill()


@pytest.fixture
def etcd_members(tmp_path):
    cluster = EtcdCluster(tmp_path)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def make_stage():
    """A function that makes an EtcdStage on the given URLs."""
    made = []

    def make(urls, proxy_urls=None, cluster=None, prefix="stolon/cluster", **timings):
        name = cluster or f"t{next(_numbers)}"
        stage = EtcdStage(EtcdStore(urls, name, prefix, proxy_urls), **timings)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def shared_stage(shared_etcd, make_stage):
    return make_stage([shared_etcd.url])


@pytest.fixture
def own_stage(own_etcd, make_stage):
    return make_stage([own_etcd.url])
