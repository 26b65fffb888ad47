"""Real Patroni on each store: the leader is reached, a switchover shows nobody a
read-only server, and a lost leader is replaced, with no write taken by one that was left."""

import pytest

from harness import holds_for, wait_until
from harness.members import Session
from harness.patroni_admin import configure, heal, switch_over, wait_for_loops
from harness.patroni_store import ConsulKeys, EtcdV2, EtcdV3

pytest_plugins = ["harness.consul_stage", "harness.patroni_fixtures"]
pytestmark = pytest.mark.full

# With less Patroni would be refused its session by Consul.
TTL_S = 20


@pytest.fixture(scope="module", params=["etcdv3", "etcdv2", "consul"])
def stage(request, make_patroni_stage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("patroni-store")
    if request.param == "consul":
        store = ConsulKeys(folder, request.getfixturevalue("consul_program"))
    else:
        store = {"etcdv3": EtcdV3, "etcdv2": EtcdV2}[request.param](folder)
    return make_patroni_stage(store, ttl=TTL_S)


def test_switchover_shows_nobody_a_read_only_server(stage, proxies):
    history = stage.start_history(proxies)
    change = history.change("switchover", lambda old: switch_over(stage.cluster, old))
    history.judge()
    assert change.new != change.old
    assert change.served_after < 1


def test_lost_leader_is_replaced(stage, proxies):
    history = stage.start_history(proxies)
    old = stage.cluster.leader()
    try:
        change = history.change("kill -9", lambda old: old.kill())
    finally:
        old.replace()
    history.judge()
    assert change.new != change.old
    assert change.served_after < 1


def test_a_leader_cut_off_from_the_store_is_left_before_its_lock_goes(stage, proxies):
    """It demotes itself. The proxies, which have the store, must not wait for the lock."""
    history = stage.start_history(proxies)
    old = stage.cluster.leader()
    way = stage.relays[old.name]
    try:
        change = history.change("cut off", lambda old: way.cut())
    finally:
        way.mend()
    history.judge(follows_lock_s=0)
    assert change.new != change.old
    assert change.cut_after < 0
    assert change.served_after < 1


def test_a_short_outage_of_the_store_cuts_nobody(stage, proxies):
    """Patroni itself gives up after retry_timeout, which is 3 s here."""
    sessions = [Session(p.port) for p in proxies]
    stage.store.freeze()
    try:
        holds_for(lambda: all(s.works() for s in sessions), 1.5, step=0.05)
    finally:
        stage.store.thaw()
    assert all(s.works() for s in sessions)
    for session in sessions:
        session.close()
    heal(stage.cluster)


@pytest.mark.parametrize("stage", ["consul"], indirect=True)
def test_a_session_that_consul_has_lost_costs_no_client_its_own(stage, proxies):
    """With it go the keys of the leader, who puts them there anew in his next loop."""
    consul = stage.store.server.client
    leader = stage.cluster.leader()
    configure(stage.cluster, loop_wait=1)
    wait_for_loops(leader, 3)
    sessions = [Session(p.port) for p in proxies]
    before = consul.get("service/main/leader")
    consul.destroy(before["Session"])
    again = wait_until(lambda: consul.get("service/main/leader"), 10, step=0.005)
    assert again["Value"] == leader.name and again["Session"] != before["Session"]
    wait_until(lambda: consul.get(f"service/main/members/{leader.name}"), 10, step=0.05)
    # And for longer than a leader that lost it is waited for.
    holds_for(lambda: all(s.works() for s in sessions), 3, step=0.05)
    for session in sessions:
        session.close()
    configure(stage.cluster, loop_wait=2)
