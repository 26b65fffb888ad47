"""A stage with a direct port: a leader, standbys, and roles that change."""

from .client import connect, echoes, receive
from .clusterdata import member
from .ports import free_port
from .servers import RecordingServer
from .stage import Stage
from .wait import wait_until


class DirectStage(Stage):
    """Each server greets with its member's name and a newline, then echoes. Members are
    as a sentinel has them once every keeper has done its part; change() says otherwise."""

    def __init__(self, store, standbys=2, **timings):
        super().__init__(store, **timings)
        self.direct_port = free_port()
        for i in range(1, standbys + 2):
            self.add_server(f"db{i}")
        for i in range(2, standbys + 2):
            self.make_standby(f"db{i}", of="db1")

    def add_server(self, uid, host="127.0.0.1", address=None, port=None):
        server = RecordingServer(host=host, port=port, greeting=uid.encode() + b"\n")
        self.servers[uid] = server
        self.members[uid] = member(uid, server.port, address or host)
        return server

    def change(self, uid, role=None, of=None, generation=None, current=None, **status):
        m = self.members[uid]
        if role is not None:
            m["spec"]["role"] = role
            m["spec"].pop("followConfig", None)
        if of is not None:
            m["spec"]["followConfig"] = {"type": "internal", "dbuid": of}
        if generation is not None:
            m["generation"] = generation
        if current is not None:
            status["currentGeneration"] = current
        m["status"].update(status)

    def make_standby(self, uid, of):
        self.change(uid, role="standby", of=of, current=self.members[uid]["generation"])

    def make_leader(self, uid):
        self.change(uid, role="master")

    def start(self, *args, target="replicas", leader="db1", **keywords):
        """With the direct port open and the leader routed."""
        self.start_proxy(f"--direct-target={target}", f"--direct-port={self.direct_port}", *args,
                         **keywords)
        self.publish(leader)
        self.acknowledged()
        self.publish(leader)
        self.acknowledged()
        return self.proxy

    def direct(self, timeout=10.0):
        """A client of the direct port and the name of whom it met; None: closed."""
        sock = connect(self.direct_port, timeout=timeout)
        try:
            name = receive_line(sock)
        except ConnectionError:
            name = None
        if not name:
            sock.close()
            return None, None
        return sock, name

    def met(self, count=1):
        """Whom so many clients of the direct port meet, one after the other."""
        names = []
        for _ in range(count):
            sock, name = self.direct()
            names.append(name)
            if sock is not None:
                sock.close()
        return names

    def wait_for_members(self, *names, timeout=10.0, tries=40):
        """Until new clients of the direct port meet all of these and nobody else."""
        seen = set()

        def settled():
            seen.clear()
            seen.update(self.met(tries))
            return seen == set(names)

        wait_until(settled, timeout, lambda: f"clients meet {seen}, not {set(names)}")


def receive_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        data = receive(sock, 1)
        if not data:
            return None
        line += data
    return line[:-1].decode()


__all__ = ["DirectStage", "echoes", "receive_line"]
