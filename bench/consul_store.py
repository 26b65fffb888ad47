"""Consul as the store of bench/failover: one server, over its HTTP API."""

import base64
import http.client
import json
import os
import pathlib
import subprocess
import sys
import time

HOST = "127.0.0.1"
LIMIT_S = 60
TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests/integration"


def find_program(wanted):
    """A program's path, or that of the one that the tests have built."""
    if wanted:
        return wanted
    sys.path.insert(0, str(TESTS))
    from harness.consul import find_program as find  # pylint: disable=import-outside-toplevel
    program, problem = find(may_build=False)
    return program or sys.exit(f"failover: {problem}, or --consul names one")


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class ConsulStore:
    """Starts a server below folder."""

    def __init__(self, folder, program, cluster, free_port):
        self.root = f"stolon/cluster/{cluster}/"
        self.port = free_port()
        settings = {
            "server": True, "bootstrap_expect": 1, "node_name": "bench",
            "data_dir": str(folder / "consul"), "bind_addr": HOST, "client_addr": HOST,
            "ports": {"http": self.port, "dns": -1, "grpc": -1, "grpc_tls": -1,
                      "server": free_port(), "serf_lan": free_port(), "serf_wan": -1},
            "performance": {"raft_multiplier": 1}, "connect": {"enabled": False},
            "disable_update_check": True, "log_level": "err"}
        path = folder / "consul.json"
        path.write_text(json.dumps(settings))
        with open(folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "agent", "-config-file", str(path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "CHECKPOINT_DISABLE": "1"})
        self.write_ms = None  # how long the last put took
        self._connections = [http.client.HTTPConnection(HOST, self.port, timeout=LIMIT_S)
                             for _ in range(2)]
        self._puts, self._watch = self._connections
        self._index = 0
        try:
            self._wait_until_up()
        except BaseException:
            self.close()
            raise

    def _wait_until_up(self):
        give_up = now() + LIMIT_S
        while now() < give_up and self.process.poll() is None:
            try:
                self.put("null")
                return
            except (OSError, http.client.HTTPException, RuntimeError):
                self._puts.close()
            time.sleep(0.05)
        raise RuntimeError("Consul does not come up")

    def flags(self):
        return ["--store-backend=consul", f"--store-endpoints={HOST}:{self.port}"]

    def put(self, document):
        """Writes the cluster data; answers when it began to. It is visible
        write_ms later at the latest."""
        began = now()
        self._puts.request("PUT", f"/v1/kv/{self.root}clusterdata", document)
        response = self._puts.getresponse()
        text = response.read()
        self.write_ms = (now() - began) * 1000
        if response.status != 200 or text.strip() != b"true":
            raise RuntimeError(f"Consul refuses the cluster data: {response.status} {text!r}")
        return began

    def wait_for_info(self, generation):
        """The proxy's answer with a generation, and when Consul told of it."""
        give_up = now() + LIMIT_S
        while now() < give_up:
            self._watch.request("GET", f"/v1/kv/{self.root}proxies/info/?recurse&wait=30s"
                                       f"&index={self._index}")
            response = self._watch.getresponse()
            text = response.read()
            seen = now()
            self._index = int(response.getheader("X-Consul-Index", 0))
            for entry in json.loads(text) if response.status == 200 else []:
                info = json.loads(base64.b64decode(entry["Value"] or ""))
                if info.get("Generation", 0) == generation:
                    return info["UID"], seen
        raise RuntimeError(f"no proxy has answered generation {generation}")

    def close(self):
        for connection in self._connections:
            connection.close()
        self.process.kill()
        self.process.wait()
