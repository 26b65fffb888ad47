"""etcd as the store of bench/failover, over its JSON gateway."""

import base64
import http.client
import json
import os
import subprocess
import time

HOST = "127.0.0.1"
LIMIT_S = 60


def _b64(text):
    return base64.b64encode(text.encode()).decode()


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class EtcdStore:
    """Starts an etcd of one member below folder."""

    def __init__(self, folder, program, cluster, free_port):
        self.root = f"stolon/cluster/{cluster}/"
        self.port = free_port()
        client, peer = f"http://{HOST}:{self.port}", f"http://{HOST}:{free_port()}"
        arch = {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        with open(folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "--name=bench",
                 f"--data-dir={folder / 'etcd'}", "--log-level=error",
                 f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                 f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
                 f"--initial-cluster=bench={peer}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "ETCD_UNSUPPORTED_ARCH": arch})
        self.write_ms = None  # how long the last put took
        self._puts = self._watch = None
        try:
            self._wait_until_up()
            self._puts = http.client.HTTPConnection(HOST, self.port, timeout=LIMIT_S)
            self._open_watch()
        except BaseException:
            self.close()
            raise

    def _wait_until_up(self):
        give_up = now() + LIMIT_S
        while now() < give_up and self.process.poll() is None:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
            try:
                connection.request("GET", "/health")
                if b'"true"' in connection.getresponse().read():
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.02)
        raise RuntimeError("etcd does not come up")

    def _open_watch(self):
        self._watch = http.client.HTTPConnection(HOST, self.port, timeout=LIMIT_S)
        self._watch.request("POST", "/v3/watch", json.dumps({"create_request": {
            "key": _b64(self.root + "proxies/info/"),
            "range_end": _b64(self.root + "proxies/info0")}}))
        self._events = self._watch.getresponse()
        if not json.loads(self._events.readline())["result"].get("created"):
            raise RuntimeError("etcd made no watch")

    def flags(self):
        return ["--store-backend=etcdv3", f"--store-endpoints={HOST}:{self.port}"]

    def put(self, document):
        """Writes the cluster data; answers when it began to. It is visible
        write_ms later at the latest."""
        body = json.dumps({"key": _b64(self.root + "clusterdata"), "value": _b64(document)})
        began = now()
        self._puts.request("POST", "/v3/kv/put", body)
        response = self._puts.getresponse()
        response.read()
        self.write_ms = (now() - began) * 1000
        if response.status != 200:
            raise RuntimeError(f"etcd refuses the cluster data: {response.status}")
        return began

    def wait_for_info(self, generation):
        """The proxy's answer with a generation, and when etcd told of it."""
        give_up = now() + LIMIT_S
        while now() < give_up:
            line = self._events.readline()
            seen = now()
            for event in json.loads(line)["result"].get("events", []):
                value = event["kv"].get("value")
                info = json.loads(base64.b64decode(value)) if value else {}
                if info.get("Generation", 0) == generation:
                    return info["UID"], seen
        raise RuntimeError(f"no proxy has answered generation {generation}")

    def close(self):
        for connection in (self._puts, self._watch):
            if connection is not None:
                connection.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
