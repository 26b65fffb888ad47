"""A whole cluster for failover tests: store, sentinel, keepers, two PostgreSQL
servers, any number of proxies, and writers whose acknowledgements are checked."""

from .checker import Checker
from .keeper import Keeper
from .process import Pgsplice
from .sentinel import Sentinel
from .wait import wait_until


class Cluster:
    """members: ready. Which of them leads changes in a test; old and new are
    those of the failover under test."""

    def __init__(self, keys, members, **sentinel):
        self.keys = keys
        self.old, self.new = members.leader, members.standby
        self.old_keeper, self.new_keeper = Keeper("one", self.old), Keeper("two", self.new)
        self.sentinel = Sentinel(keys, {k.uid: k for k in (self.old_keeper, self.new_keeper)},
                                 **sentinel)
        self.proxies = []
        self.checker = None
        self.events = keys.watch()
        self._closed = False

    def start(self, proxies=1):
        """Sentinel, keepers and proxies, until clients reach the leader."""
        self.sentinel.start()
        for _ in range(proxies):
            self.start_proxy()
        self.wait_until_served()
        return self

    def start_proxy(self, port=None):
        self.proxies.append(Pgsplice(None, [*self.keys.flags(), "--store-timeout=1s"], port))
        return self.proxies[-1]

    def uids(self):
        return sorted(p.uid for p in self.proxies if p.is_running())

    def wait_until_served(self, server=None):
        server = server or self.old
        self.sentinel.wait_until_enabled(self.uids())
        for proxy in self.proxies:
            wait_until(lambda p=proxy: self.reaches(p) == server.port, 10,
                       f"proxy {proxy.port} to reach {server.port}", step=0.01)

    def reaches(self, proxy):
        """The server's port that a client of proxy reaches, None for none."""
        try:
            return self.old.query("select inet_server_port()", port=proxy.port)[0]
        except self.old.Error:
            return None

    def load(self, writers=3):
        """Starts writers on each proxy."""
        self.checker = Checker([p.port for p in self.proxies], self.new.port, writers)
        self.checker.wait_for_acks(self.old.port, proxies=[p.port for p in self.proxies])
        return self.checker

    def informed(self, generation):
        """{port of proxy: when the store had its ProxyInfo of this generation}"""
        times = {p.port: self.events.acknowledged(p.uid, generation) for p in self.proxies}
        return {port: time for port, time in times.items() if time is not None}

    def judge(self, elects, routes, proxies=None):
        """The report of a failover, once new has taken writes through proxies (all)."""
        self.checker.wait_for_acks(self.new.port, after=routes.time,
                                   proxies=[p.port for p in proxies or self.proxies])
        self.checker.stop()
        report = self.checker.report(self.old, self.new, elects, routes,
                                     self.informed(elects.generation))
        print(report)
        assert not report.late, report.late[:5]
        return report

    def close(self):
        if self._closed:
            return
        self._closed = True
        if self.checker is not None:
            self.checker.close()
        for proxy in self.proxies:
            proxy.close()
        try:
            self.sentinel.stop()
        finally:
            self.events.stop()
