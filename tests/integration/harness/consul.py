"""Real Consul servers that tests may kill, stop, wipe and freeze, one or three,
and what a sentinel or an administrator does with them."""

import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import urllib.parse

from .cache import cached_path, make_once
from .ports import free_port
from .store import FileStore
from .wait import wait_until

MODULE = pathlib.Path(__file__).resolve().parents[2] / "tools" / "consul"
ROOT_TOKEN = "11111111-2222-3333-4444-555555555555"


# The program


def find_program(may_build):
    """(path, None) or (None, why not). Building takes minutes, once a machine."""
    if os.environ.get("CONSUL_BIN"):
        return os.environ["CONSUL_BIN"], None
    path = cached_path("consul", MODULE / "go.mod", MODULE / "go.sum")
    if path.exists():
        return str(path), None
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        return None, "no Consul: Go, which would build it, is not installed"
    if not may_build:
        return None, "no Consul: it is not built yet, tests/run --full does that"
    make_once(path, lambda: _build(go, path))
    return str(path), None


def _build(go, path):
    folder = str(path) + ".module"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODULE, folder)
    done = subprocess.run([go, "build", "-o", str(path) + ".new", "github.com/hashicorp/consul"],
                          cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, f"Consul does not build: {done.stderr[-2000:]}"
    os.rename(str(path) + ".new", path)


# The administrator


class ConsulError(OSError):
    def __init__(self, status, text):
        super().__init__(f"HTTP {status}: {text}")
        self.status = status


class ConsulClient:
    """Each call goes to the first of the URLs that answers."""

    def __init__(self, urls, token=None, context=None):
        self.urls = list(urls)
        self.token = token
        self.context = context

    def call(self, method, path, body=None, timeout=5):
        failure = None
        for url in self.urls:
            try:
                return self._call(url, method, path, body, timeout)
            except (OSError, http.client.HTTPException) as error:
                failure = error if isinstance(error, OSError) else OSError(repr(error))
        raise failure

    def _call(self, url, method, path, body, timeout):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout,
                                                     context=self.context)
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        try:
            if body is not None and not isinstance(body, (str, bytes)):
                body = json.dumps(body)
            headers = {"X-Consul-Token": self.token} if self.token else {}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ConsulError(response.status, text.decode(errors="replace"))
        return json.loads(text) if text else None

    # Keys

    def get(self, key):
        """The key as Consul tells of it, Value as text; None if there is none."""
        try:
            entry = self.call("GET", f"/v1/kv/{key}?consistent")[0]
        except ConsulError as error:
            if error.status == 404:
                return None
            raise
        value = base64.b64decode(entry["Value"] or "").decode()
        return {**entry, "Value": value}

    def keys(self, prefix):
        try:
            return self.call("GET", f"/v1/kv/{prefix}?keys&consistent")
        except ConsulError as error:
            if error.status == 404:
                return []
            raise

    def put(self, key, value, query=""):
        return self.call("PUT", f"/v1/kv/{key}?{query}", value)

    def delete(self, key):
        self.call("DELETE", f"/v1/kv/{key}")

    # Sessions

    def session(self, session):
        found = self.call("GET", f"/v1/session/info/{session}?consistent")
        return found[0] if found else None

    def sessions(self):
        return self.call("GET", "/v1/session/list?consistent")

    def destroy(self, session):
        self.call("PUT", f"/v1/session/destroy/{session}")

    # Rights

    def allow(self, prefix, secret, node="", more=""):
        """A token with this secret that may do what a proxy needs; its accessor."""
        rules = (f'key_prefix "{prefix}" {{ policy = "write" }}\n'
                 f'session_prefix "{node}" {{ policy = "write" }}\n'
                 f'node_prefix "{node}" {{ policy = "write" }}\n{more}')
        name = "p" + os.urandom(4).hex()
        self.call("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        return self.call("PUT", "/v1/acl/token", {
            "SecretID": secret, "Policies": [{"Name": name}]})["AccessorID"]

    def revoke(self, accessor):
        self.call("DELETE", f"/v1/acl/token/{accessor}")


# Servers


class Consul:
    """One server. start() may be called again after stop() or kill().

    tls: a harness.tls Certificate for https, with ca its authority; verify asks
    clients for certificates as well."""

    def __init__(self, program, folder, name="one", expect=1, tokens=False, tls=None, ca=None,
                 verify=False):
        self.program = program
        self.folder = os.path.join(str(folder), name)
        self.host = "127.0.0.1"
        self.port, self.serf, self.server = free_port(), free_port(), free_port()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{self.host}:{self.port}"
        self.process = None
        self.client = ConsulClient([self.url], ROOT_TOKEN if tokens else None)
        self.settings = {
            "server": True, "bootstrap_expect": expect, "node_name": name,
            "data_dir": os.path.join(self.folder, "data"),
            "bind_addr": self.host, "client_addr": self.host,
            "ports": {"http": -1 if tls else self.port, "https": self.port if tls else -1,
                      "dns": -1, "grpc": -1, "grpc_tls": -1, "server": self.server,
                      "serf_lan": self.serf, "serf_wan": -1},
            "performance": {"raft_multiplier": 1}, "disable_update_check": True,
            "connect": {"enabled": False}, "log_level": "warn", "leave_on_terminate": False,
        }
        if tokens:
            self.settings["acl"] = {
                "enabled": True, "default_policy": "deny", "down_policy": "deny",
                "tokens": {"initial_management": ROOT_TOKEN, "agent": ROOT_TOKEN}}
        if tls:
            self.settings["tls"] = {"https": {
                "ca_file": ca.file, "cert_file": tls.cert, "key_file": tls.key,
                "verify_incoming": verify}}
        os.makedirs(self.folder, exist_ok=True)

    @property
    def pid(self):
        return self.process.pid

    def join(self, others):
        self.settings["retry_join"] = [f"{self.host}:{o.serf}" for o in others]
        self.settings["retry_interval"] = "1s"

    def launch(self):
        path = os.path.join(self.folder, "settings.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(self.settings, f)
        with open(self.folder + "/log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", self.program, "agent", "-config-file", path],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "CHECKPOINT_DISABLE": "1", "GOMAXPROCS": "2"})

    def start(self):
        """Returns self once it answers a consistent read and takes writes."""
        self.launch()
        return self.wait_until_it_answers()

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            self.client.keys("pgsplice-test")
            return self.client.put("pgsplice-test-answers", "x")
        except OSError:
            return False

    def wait_until_it_answers(self, timeout=60):
        wait_until(self.answers, timeout, self.log, step=0.05)
        return self

    def log(self):
        with open(self.folder + "/log", encoding="utf-8", errors="replace") as f:
            return f.read()[-4000:]

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, number=signal.SIGTERM):
        if self.is_running():
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        self.stop(signal.SIGKILL)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def wipe(self):
        """Forgets all data; it must not be running."""
        shutil.rmtree(self.settings["data_dir"])


class ConsulCluster:
    def __init__(self, program, folder, count=3, **settings):
        self.members = [Consul(program, folder, f"m{i}", count, **settings) for i in range(count)]
        for member in self.members:
            member.join(self.members)

    def start(self):
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_until_it_answers()
        return self

    def leader(self):
        """The member that leads; waits for one."""

        def found():
            for member in self.members:
                if not member.is_running():
                    continue
                try:
                    address = member.client.call("GET", "/v1/status/leader")
                except OSError:
                    continue
                for other in self.members:
                    if other.is_running() and address.endswith(f":{other.server}"):
                        return other
            return None

        return wait_until(found, 30, "a leader", step=0.05)

    def stop(self):
        for member in self.members:
            member.kill()


# The sentinel


class ConsulStore:
    """One stolon cluster in Consul: what FileStore is for a directory."""

    def __init__(self, client, cluster="test", prefix="stolon/cluster", proxy_url=None, more=()):
        self.client = client
        self.cluster = cluster
        self.prefix = prefix
        self.root = f"{prefix}/{cluster}"
        self.key = self.root + "/clusterdata"
        self.infos = self.root + "/proxies/info/"
        self.proxy_url = proxy_url or client.urls[0]
        self.more = list(more)  # flags

    def flags(self):
        return [f"--cluster-name={self.cluster}", "--store-backend=consul",
                f"--store-prefix={self.prefix}", f"--store-endpoints={self.proxy_url}",
                *self.more]

    def put(self, document):
        text = document if isinstance(document, (str, bytes)) else json.dumps(document)
        assert self.client.put(self.key, text)

    def delete(self):
        self.client.delete(self.key)

    def info_key(self, uid):
        return self.infos + uid

    def proxies(self):
        return [key[len(self.infos):] for key in self.client.keys(self.infos)]

    def entry(self, uid):
        return self.client.get(self.info_key(uid))

    def info_text(self, uid):
        found = self.entry(uid)
        return found["Value"] if found else None

    def session_of(self, uid):
        found = self.entry(uid)
        return found.get("Session") if found else None

    info = FileStore.info
    wait_for_info = FileStore.wait_for_info
    wait_for_generation = FileStore.wait_for_generation
    wait_for_new_info = FileStore.wait_for_new_info
