"""Where the cluster data is: a directory for pgsplice, etcd for its peers."""

import base64
import json
import urllib.request

from .processes import HOST, BenchError, free_ports, wait_until

CLUSTER = "bench"


def document(port, generation, enabled):
    """Cluster data as a sentinel writes it, with one member, the leader."""
    return json.dumps({
        "formatVersion": 1,
        "cluster": {"uid": "c", "generation": 1,
                    "spec": {"initMode": "new", "proxyCheckInterval": "1s",
                             "proxyTimeout": "30s"}},
        "keepers": {},
        "dbs": {"db": {"uid": "db", "generation": 1,
                       "spec": {"keeperUID": "keeper", "role": "master"},
                       "status": {"healthy": True, "listenAddress": HOST, "port": str(port)}}},
        "proxy": {"generation": generation,
                  "spec": {"masterDbUid": "db", "enabledProxies": enabled}},
    })


class FileStore:
    def __init__(self, folder, name):
        self.folder = folder / f"store-{name}"
        self.root = self.folder / "stolon/cluster" / CLUSTER
        (self.root / "proxies/info").mkdir(parents=True)

    def flags(self):
        return [f"--cluster-name={CLUSTER}", "--store-backend=file",
                f"--store-endpoints={self.folder}"]

    def put(self, text):
        (self.root / "new").write_text(text)
        (self.root / "new").rename(self.root / "clusterdata")

    def infos(self):
        found = []
        for path in (self.root / "proxies/info").iterdir():
            try:
                found.append(json.loads(path.read_text()))
            except (OSError, ValueError):
                pass  # being replaced
        return found


class Etcd:
    """One etcd for all peers, over its JSON gateway."""

    def __init__(self, programs):
        client, peer = (f"http://{HOST}:{port}" for port in free_ports(2))
        self.url = client
        try:
            programs.start("etcd", [
                "etcd", "--data-dir", programs.folder / "etcd", "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"])
        except FileNotFoundError:
            raise BenchError("a peer needs etcd: packaging/install-deps bench") from None
        wait_until(self.is_ready, "etcd")

    def is_ready(self):
        try:
            self.ask("range", {"key": base64.b64encode(b"x").decode()})
            return True
        except OSError:
            return False

    def ask(self, call, body):
        request = urllib.request.Request(f"{self.url}/v3/kv/{call}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as reply:
            return json.load(reply)


class EtcdStore:
    """The cluster of one peer."""

    def __init__(self, etcd, name):
        self.etcd = etcd
        self.cluster = f"{CLUSTER}-{name}"
        self.root = f"stolon/cluster/{self.cluster}"

    def flags(self):
        return [f"--cluster-name={self.cluster}", "--store-backend=etcdv3",
                f"--store-endpoints={self.etcd.url}"]

    def put(self, text):
        self.etcd.ask("put", {"key": encode(f"{self.root}/clusterdata"), "value": encode(text)})

    def infos(self):
        prefix = f"{self.root}/proxies/info/"
        reply = self.etcd.ask("range", {"key": encode(prefix), "range_end": encode(prefix + "~")})
        return [json.loads(base64.b64decode(kv["value"])) for kv in reply.get("kvs", [])]


def encode(text):
    return base64.b64encode(text.encode()).decode()


def enable(store, port):
    """Names the leader, and enables the proxy as soon as it has answered."""
    store.put(document(port, 1, []))
    info = wait_until(store.infos, "the proxy's info in its store")[0]
    store.put(document(port, 2, [info["UID"]]))
