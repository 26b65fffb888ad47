"""Fixtures of the Consul tests: pytest_plugins = ["harness.consul_stage"]."""

import itertools

import pytest

from .consul import Consul, ConsulCluster, ConsulStore, find_program
from .etcd_stage import EtcdStage

_numbers = itertools.count(1)


class StoreStage(EtcdStage):
    """A Stage on any store that knows its flags()."""


@pytest.fixture(scope="session")
def consul_program(pytestconfig):
    """Skips, loudly, where there is none and none can be built."""
    program, problem = find_program(pytestconfig.option.markexpr != "not full")
    if program is None:
        pytest.skip(problem)
    return program


@pytest.fixture(scope="session")
def shared_consul(consul_program, tmp_path_factory):
    """For tests that leave it as it was; each has a cluster name of its own."""
    server = Consul(consul_program, tmp_path_factory.mktemp("consul-shared")).start()
    yield server
    server.kill()


@pytest.fixture
def own_consul(consul_program, tmp_path):
    """For tests that do harm to it."""
    server = Consul(consul_program, tmp_path).start()
    yield server
    server.kill()


@pytest.fixture
def guarded_consul(consul_program, tmp_path):
    """With ACLs, on which nothing is allowed without a token."""
    server = Consul(consul_program, tmp_path, tokens=True).start()
    yield server
    server.kill()


@pytest.fixture
def consul_members(consul_program, tmp_path):
    cluster = ConsulCluster(consul_program, tmp_path)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def make_store_stage():
    """A function that makes a StoreStage on a store."""
    made = []

    def make(store, **timings):
        stage = StoreStage(store, **timings)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.close()


@pytest.fixture
def make_consul_stage(make_store_stage):
    """As that, on a Consul server."""

    def make(consul, proxy_url=None, more=(), prefix="stolon/cluster", **timings):
        store = ConsulStore(consul.client, f"c{next(_numbers)}", prefix, proxy_url, more)
        return make_store_stage(store, **timings)

    return make


@pytest.fixture
def consul_stage(shared_consul, make_consul_stage):
    return make_consul_stage(shared_consul)
