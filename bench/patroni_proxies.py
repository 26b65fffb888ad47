"""The two proxies of bench/patroni."""

import shutil
import subprocess
import sys
import urllib.request

HOST = "127.0.0.1"


class Haproxy:
    """With the keys and values of the template that Patroni ships, from extras/confd; only
    the addresses are loopback's."""

    def __init__(self, cluster, folder, free_port):
        program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin") or \
            sys.exit("patroni: no haproxy: packaging/install-deps bench")
        self.cluster = cluster
        self.port, self.replica_port, self._stats_port = free_port(), free_port(), free_port()
        path = folder / "haproxy.cfg"
        path.write_text(self._configuration())
        with open(folder / "haproxy.log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "-db", "-f", str(path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _configuration(self):
        text = f"""global
  maxconn 100
defaults
  log global
  mode tcp
  retries 2
  timeout client 30m
  timeout connect 4s
  timeout server 30m
  timeout check 5s
listen stats
  mode http
  bind {HOST}:{self._stats_port}
  stats enable
  stats uri /
"""
        for name, port, path in (("primary", self.port, "/primary"),
                                 ("replicas", self.replica_port, "/replica")):
            text += f"""listen {name}
  bind {HOST}:{port}
  option httpchk HEAD {path}
  http-check expect status 200
  default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
"""
            for m in self.cluster.members:
                text += f"  server {m.name} {HOST}:{m.port} maxconn 100 check port {m.api_port}\n"
        return text

    def _states(self):
        """{(section, server): "UP", "DOWN", or "UP 2/3" on the way down, …}"""
        with urllib.request.urlopen(f"http://{HOST}:{self._stats_port}/;csv", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        column = lines[0].lstrip("# ").split(",").index("status")
        rows = [line.split(",") for line in lines[1:] if line]
        return {(row[0], row[1]): row[column] for row in rows}

    def is_settled(self):
        """Whether it has the roles right and is sure of them."""
        try:
            states = self._states()
        except OSError:
            return False
        leader = self.cluster.leader()
        return leader is not None and all(
            states.get((section, m.name)) == ("UP" if is_up else "DOWN")
            for m in self.cluster.members
            for section, is_up in (("primary", m is leader), ("replicas", m is not leader)))

    def close(self):
        self.process.kill()
        self.process.wait()


def pgsplice_flags(scope, etcd_port, replica_port):
    """As the README has it for Patroni."""
    return ["--cluster-format=patroni", f"--cluster-name={scope}", "--store-backend=etcdv3",
            f"--store-endpoints=http://{HOST}:{etcd_port}", "--probe-conninfo=user=postgres",
            "--direct-target=replicas", f"--direct-port={replica_port}"]
