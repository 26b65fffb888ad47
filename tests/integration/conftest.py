"""Fixtures of the integration tests. PGSPLICE_BIN names the program under test."""

import pytest

from harness import FileStore, Nsd, Pgsplice, PostgresPair, RecordingServer, Stage, binary
from harness.direct import DirectStage
from harness.etcd_server import EtcdServer
from harness.failover import Cluster
from harness.keeper import Members
from harness.ports import release_ports, taken_ports
from harness.shim import Shim


def pytest_configure(config):
    binary()
    config.addinivalue_line("markers", "full: long; only with tests/run --full")


@pytest.fixture(autouse=True)
def ports():
    """What servers of the whole run have taken before stays theirs."""
    mark = taken_ports()
    yield
    release_ports(mark)


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "store")


@pytest.fixture
def shim(tmp_path):
    """Delays in pgsplice's system calls; pass shim.launcher to what starts it."""
    return Shim(tmp_path)


@pytest.fixture
def start_server():
    """A function that starts a RecordingServer."""
    started = []

    def start(*args, **keywords):
        started.append(RecordingServer(*args, **keywords))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def start_nsd(tmp_path):
    """A function that starts an Nsd with these records."""
    started = []

    def start(*records):
        started.append(Nsd(tmp_path, *records))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def start_pgsplice(store):
    """A function that starts pgsplice, on the store fixture unless told otherwise."""
    started = []

    def start(*args, store=store, **keywords):
        started.append(Pgsplice(store, args, **keywords))
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()


@pytest.fixture
def stage(store):
    """Members db1 and db2 with echo servers that greet nobody; no proxy yet."""
    s = Stage(store)
    s.add_member("db1")
    s.add_member("db2")
    yield s
    s.close()


@pytest.fixture
def opened(stage):
    """The stage with a proxy that forwards to db1."""
    stage.start_proxy()
    stage.open("db1")
    return stage


@pytest.fixture
def make_direct(store):
    """A function that makes a DirectStage; see harness/direct.py."""
    made = []

    def make(*args, **keywords):
        made.append(DirectStage(store, *args, **keywords))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


@pytest.fixture(scope="session")
def postgres():
    """A leader and a streaming standby for the whole run: tests leave them as
    they were. What promotes or stops a server makes its own PostgresPair."""
    pair = PostgresPair()
    yield pair
    pair.close()


@pytest.fixture(scope="session")
def all_members():
    pair = Members()
    yield pair
    pair.close()


@pytest.fixture
def members(all_members):
    """A leader and a streaming standby that the test may promote and stop."""
    return all_members.ready()


@pytest.fixture(scope="session")
def etcd(tmp_path_factory):
    """An etcd for the whole run: each test has a cluster name of its own."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    yield server
    server.close()


@pytest.fixture
def etcd_keys(etcd, request):
    return etcd.keys(request.node.name)


@pytest.fixture
def make_cluster(members):
    """A function that makes a Cluster of members on a store; see harness/failover.py."""
    made = []

    def make(keys, **keywords):
        made.append(Cluster(keys, members, **keywords))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def etcd_cluster(make_cluster, etcd_keys):
    return make_cluster(etcd_keys)
