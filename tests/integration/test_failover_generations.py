"""Generations that climb because no proxy is active, and proxies that come late."""

from harness import holds_for, wait_until


def test_generation_climbs_without_proxies_and_a_new_one_catches_up(etcd_cluster):
    cluster = etcd_cluster.start()
    sentinel = cluster.sentinel
    cluster.proxies.pop().stop()
    start = len(sentinel.writes)
    wait_until(lambda: len(sentinel.writes) >= start + 5)
    climbed = sentinel.writes[start:]
    first = climbed[0].generation
    assert [w.generation for w in climbed] == list(range(first, first + len(climbed)))
    assert all(w.enabled is None and w.routed == w.elected for w in climbed)

    proxy = cluster.start_proxy()
    cluster.wait_until_served()
    generation = sentinel.generation()
    wait_until(lambda: cluster.events.acknowledged(proxy.uid, generation))
    holds_for(lambda: sentinel.generation() == generation, 5 * sentinel.sleep_interval,
              "with a proxy enabled it stays")


def test_failover_without_proxies_waits_for_nobody(etcd_cluster):
    cluster = etcd_cluster.start()
    cluster.proxies.pop().stop()
    cluster.sentinel.fail_keeper("one")
    elects, routes = cluster.sentinel.wait_for_failover()
    assert routes.time - elects.time < 1
    cluster.start_proxy()
    cluster.wait_until_served(cluster.new)
