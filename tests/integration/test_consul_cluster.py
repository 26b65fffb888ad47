"""Three real Consul servers, one killed or frozen; one restarted, silent, with
tokens."""

import re
import signal
import time

import pytest

from harness import echoes, end_of, holds_for, probe, wait_for_probe, wait_until

pytest_plugins = ["harness.consul_stage"]

SHORT = {"check_interval": "500ms", "proxy_timeout": "2s"}


def test_a_leader_of_three_that_is_killed_costs_no_session(consul_members, make_consul_stage):
    """The proxy's own server is a follower, as an agent is: it has no leader for a while."""
    leader = consul_members.leader()
    own = next(m for m in consul_members.members if m is not leader)
    stage = make_consul_stage(own)
    stage.ready(check_interval="1s", proxy_timeout="15s")
    client = stage.client()
    leader.kill()
    assert echoes(client)
    wait_until(lambda: consul_members.leader() is not leader, 30)
    stage.store.wait_for_new_info(stage.proxy.uid, 15)
    assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")
    stage.change_leader("db2", 15)
    assert end_of(client) == "rst"


@pytest.mark.full
def test_its_own_server_killed_is_a_store_out_of_reach(consul_members, make_consul_stage):
    own = consul_members.members[0]
    stage = make_consul_stage(own)
    stage.ready(**SHORT)
    client = stage.client()
    own.kill()
    stage.proxy.wait_for_log(r"cannot read the cluster data.*" + re.escape(own.url))
    assert end_of(client, 5) == "rst"
    own.start()
    wait_for_probe(stage.proxy.port, "forwards", 20)


@pytest.mark.parametrize("number", [
    pytest.param(signal.SIGTERM, marks=pytest.mark.full), signal.SIGKILL])
def test_a_restart_cuts_no_session(own_consul, make_consul_stage, number):
    """It keeps sessions and keys in its data."""
    stage = make_consul_stage(own_consul)
    stage.ready(check_interval="1s", proxy_timeout="15s")
    client = stage.client()
    own_consul.stop(number)
    stage.proxy.wait_for_log(r"cannot read the cluster data.*" + re.escape(own_consul.url))
    own_consul.start()
    stage.store.wait_for_new_info(stage.proxy.uid, 5)
    assert echoes(client)
    assert not stage.proxy.find_log("nobody has confirmed the leader in time")
    stage.change_leader("db2")
    assert end_of(client) == "rst"


@pytest.mark.full
def test_a_wiped_consul_is_another_state_and_serves_nobody_until_it_has_data(
        own_consul, make_consul_stage):
    stage = make_consul_stage(own_consul)
    stage.ready(check_interval="500ms", proxy_timeout="5s")
    for _ in range(50):
        stage.store.client.put("other", "x")
    stage.publish("db1")
    stage.acknowledged()
    client = stage.client()
    own_consul.kill()
    own_consul.wipe()
    own_consul.start()
    assert end_of(client, 10) == "rst"
    assert probe(stage.proxy.port) != "forwards"
    stage.open("db2", 15)
    assert echoes(stage.client())


def test_a_frozen_consul_is_fenced_by_the_deadline(own_consul, make_consul_stage):
    stage = make_consul_stage(own_consul)
    stage.ready("--store-timeout=1s", **SHORT)
    client = stage.client()
    frozen = time.monotonic()
    own_consul.freeze()
    assert end_of(client, 10) == "rst"
    assert 1.3 < time.monotonic() - frozen < 2.4
    wait_until(lambda: probe(stage.proxy.port) == "refused", 2)
    own_consul.thaw()
    wait_for_probe(stage.proxy.port, "forwards", 10)


def test_a_token_revoked_while_running(guarded_consul, make_consul_stage):
    secret = "99999999-2222-3333-4444-555555555555"
    accessor = guarded_consul.client.allow("stolon/cluster/", secret)
    stage = make_consul_stage(guarded_consul, more=["--store-token=" + secret])
    stage.ready(**SHORT)
    client = stage.client()
    revoked = time.monotonic()
    guarded_consul.client.revoke(accessor)
    assert end_of(client, 10) == "rst"
    assert 1.3 < time.monotonic() - revoked < 3.5
    stage.proxy.wait_for_log(r"cannot read the cluster data.*HTTP 403: .*\(see --store-token\)")
    assert len(stage.proxy.find_log("cannot read the cluster data")) <= 3
    guarded_consul.client.allow("stolon/cluster/", secret)
    wait_for_probe(stage.proxy.port, "forwards", 10)
    assert secret not in "\n".join(stage.proxy.log())


def test_rights_that_are_lacking_are_told(guarded_consul, make_consul_stage):
    """Reading allowed, writing not: nobody is routed, since nothing is acknowledged."""
    secret = "88888888-2222-3333-4444-555555555555"
    policy = guarded_consul.client.call("PUT", "/v1/acl/policy", {
        "Name": "reader", "Rules": 'key_prefix "" { policy = "read" }\n'
                                   'session_prefix "" { policy = "write" }'})
    guarded_consul.client.call("PUT", "/v1/acl/token",
                               {"SecretID": secret, "Policies": [{"ID": policy["ID"]}]})
    stage = make_consul_stage(guarded_consul, more=["--store-token=" + secret])
    stage.add_member("db1")
    stage.start_proxy()
    stage.publish("db1")
    stage.proxy.wait_for_log(r"cannot write our proxy info.*ermission denied.*see --store-token")
    holds_for(lambda: probe(stage.proxy.port) != "forwards", 1.0)


@pytest.mark.full
def test_no_token_where_one_is_needed_names_the_option(guarded_consul, make_consul_stage):
    stage = make_consul_stage(guarded_consul)
    proxy = stage.start_proxy()
    proxy.wait_for_log(r"cannot read the cluster data.*HTTP 403.*see --store-token")
