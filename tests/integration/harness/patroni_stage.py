"""A Patroni cluster on a store, its members' ways to that, proxies, and what they did."""

from .patroni import PatroniCluster
from .patroni_admin import heal, kill_remains
from .patroni_history import History
from .patroni_store import SCOPE
from .ports import free_port
from .process import Pgsplice
from .relay import Relay

PROBES = {"sql": ["--probe-conninfo=user=postgres"], "rest": ["--probe=http"]}


class PatroniStage:
    """A cluster of three members, each with a relay to the store, which is our own way's
    beside."""

    def __init__(self, store, **dcs):
        self.store = store
        self.relays = {f"pg{i}": Relay(store.server.port) for i in (1, 2, 3)}
        self.cluster = PatroniCluster(lambda name: store.patroni(self.relays[name].port), SCOPE,
                                      dcs=dcs)
        self.proxies = []
        self.histories = []

    def start_proxies(self, *probes, options=()):
        """One for each kind of probe, all of which reach the leader."""
        heal(self.cluster)
        started = [Pgsplice(None, [*self.store.flags(), "--store-timeout=2s", *PROBES[probe],
                                   *options], free_port()) for probe in probes]
        self.proxies += started
        for proxy in started:
            proxy.wait_for_log("routing to the leader", 30)
        return started

    def start_history(self, proxies, **keywords):
        self.histories.append(History(self.cluster, self.store, proxies, **keywords))
        return self.histories[-1]

    def end_test(self):
        for history in self.histories:
            history.close()
        for proxy in self.proxies:
            proxy.close()
        self.histories, self.proxies = [], []

    def close(self):
        self.end_test()
        kill_remains(self.cluster)
        self.cluster.close()
        for relay in self.relays.values():
            relay.close()
        self.store.close()
