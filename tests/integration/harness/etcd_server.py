"""A real etcd with one member, in a folder of its own, for one test or many."""

import http.client
import os
import shutil
import signal
import subprocess

from .ports import free_port
from .sentinel_store import EtcdKeys
from .wait import wait_until

# etcd 3.4 runs on ARM only when told that this is meant.
_ARCH = {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


class EtcdServer:
    def __init__(self, folder):
        self.folder = str(folder)
        self.host, self.port = "127.0.0.1", free_port()
        program = os.environ.get("ETCD_BIN") or shutil.which("etcd")
        assert program, "etcd is not installed"
        client, peer = (f"http://{self.host}:{p}" for p in (self.port, free_port()))
        with open(self.folder + "/etcd.log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "--data-dir", self.folder + "/data",
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", f"default={peer}", "--log-level=warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "ETCD_UNSUPPORTED_ARCH": _ARCH})
        wait_until(self._answers, 30, self.log, step=0.02)

    def _answers(self):
        assert self.process.poll() is None, self.log()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return b'"true"' in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def log(self):
        with open(self.folder + "/etcd.log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def keys(self, cluster):
        return EtcdKeys(self.host, self.port, cluster)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
