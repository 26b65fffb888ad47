"""A store, scripted servers as members and one pgsplice in front of them."""

from .client import connect, echoes, wait_for_probe
from .clusterdata import cluster_data, member
from .process import Pgsplice
from .servers import RecordingServer


class Stage:
    """publish() is the sentinel: each call writes the next generation."""

    def __init__(self, store, check_interval="1s", proxy_timeout="5s"):
        self.store = store
        self.timings = {"check_interval": check_interval, "proxy_timeout": proxy_timeout}
        self.generation = 0
        self.servers = {}
        self.members = {}
        self.proxy = None
        self.proxies = []

    def add_member(self, uid, address="127.0.0.1", port=None, **server):
        """With a server of its own unless port says where one is."""
        if port is None:
            self.servers[uid] = RecordingServer(**server)
            port = self.servers[uid].port
        self.members[uid] = member(uid, port, address)
        return self.servers.get(uid)

    def start_proxy(self, *args, **keywords):
        proxy = Pgsplice(self.store, args, **keywords)
        self.proxies.append(proxy)
        self.proxy = proxy
        return proxy

    def document(self, leader, enabled=None, generation=None, **keywords):
        if enabled is None:
            enabled = [self.proxy.uid] if self.proxy is not None else []
        return cluster_data(self.generation if generation is None else generation, leader,
                            enabled, self.members.values(), **{**self.timings, **keywords})

    def publish(self, leader, enabled=None, **keywords):
        """Returns the generation written."""
        self.generation += 1
        self.store.put(self.document(leader, enabled, **keywords))
        return self.generation

    def acknowledged(self, timeout=10.0):
        """Waits until the proxy has published the newest generation."""
        return self.store.wait_for_generation(self.proxy.uid, self.generation, timeout)

    def open(self, leader="db1", timeout=10.0):
        """Publishes leader and waits until clients reach its (echo) server."""
        self.publish(leader)
        self.acknowledged(timeout)
        wait_for_probe(self.proxy.port, "forwards", timeout)

    def client(self):
        """A client whose session has echoed once."""
        sock = connect(self.proxy.port)
        assert echoes(sock)
        return sock

    def close(self):
        for proxy in self.proxies:
            proxy.close()
        for server in self.servers.values():
            server.close()
