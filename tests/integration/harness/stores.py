"""Every kind of store behind one face, for tests of what is not about a store."""

import http.client
import itertools
import json
import os
import ssl
import urllib.parse

from .consul import Consul, ConsulStore
from .etcd import Etcd
from .etcd_store import EtcdClient, EtcdStore
from .store import FileStore
from .tls import Authority

PASSWORD = "pass:w@rd"
TOKEN = "66666666-2222-3333-4444-555555555555"

_numbers = itertools.count(1)


class FileKind:
    def __init__(self, folder):
        self._folder = str(folder)
        self._lost = None

    def new_store(self):
        name = f"s{next(_numbers)}"
        self._lost = FileStore(os.path.join(self._folder, name), name)
        flags = [f"--cluster-name={name}", "--store-backend=file",
                 f"--store-endpoints={self._lost.directory}"]
        self._lost.flags = lambda: flags
        return self._lost

    def silence(self):
        self._lost.lose()

    def end_silence(self):
        self._lost.bring_back()

    def close(self):
        pass


class _ServerKind:
    server = None

    def silence(self):
        self.server.freeze()

    def end_silence(self):
        self.server.thaw()

    def close(self):
        self.server.kill()


class EtcdV2Store:
    """stolon's older store: the keys API."""

    def __init__(self, etcd, cluster):
        self._etcd = etcd
        self.cluster = cluster
        self.prefix = "stolon/cluster"
        self.root = f"/v2/keys/stolon/cluster/{cluster}"
        self.key = self.root + "/clusterdata"
        self.infos = self.root + "/proxies/info/"

    def flags(self):
        return [f"--cluster-name={self.cluster}", "--store-backend=etcdv2",
                f"--store-endpoints={self._etcd.url}"]

    def _call(self, method, path, form=None):
        connection = http.client.HTTPConnection(self._etcd.host, self._etcd.port, timeout=5)
        try:
            body = urllib.parse.urlencode(form) if form else None
            connection.request(method, path, body,
                               {"Content-Type": "application/x-www-form-urlencoded"})
            response = connection.getresponse()
            found = json.loads(response.read())
        finally:
            connection.close()
        if response.status == 404:
            return None
        if response.status >= 400:
            raise OSError(f"{path}: {response.status} {found}")
        return found["node"]

    def put(self, document):
        text = document if isinstance(document, (str, bytes)) else json.dumps(document)
        self._call("PUT", self.key, {"value": text})

    def delete(self):
        self._call("DELETE", self.key)

    def proxies(self):
        folder = self._call("GET", self.infos.rstrip("/") + "?quorum=true")
        return [n["key"].rsplit("/", 1)[1] for n in (folder or {}).get("nodes", [])]

    def info_text(self, uid):
        found = self._call("GET", self.infos + uid + "?quorum=true")
        return found["value"] if found else None

    info = FileStore.info
    wait_for_info = FileStore.wait_for_info
    wait_for_generation = FileStore.wait_for_generation
    wait_for_new_info = FileStore.wait_for_new_info


class EtcdV2Kind(_ServerKind):
    def __init__(self, folder):
        self.server = Etcd(folder, options=["--enable-v2=true"]).start()

    def new_store(self):
        return EtcdV2Store(self.server, f"s{next(_numbers)}")


class EtcdV3Kind(_ServerKind):
    def __init__(self, folder):
        self.server = Etcd(folder).start()

    def new_store(self):
        return EtcdStore([self.server.url], f"s{next(_numbers)}")


class TlsEtcdClient(EtcdClient):
    """As that, over TLS."""

    def __init__(self, urls, context):
        super().__init__(urls)
        self._context = context

    def _call(self, url, path, body, timeout):
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout,
                                                 context=self._context)
        try:
            headers = {"Authorization": self.token} if self.token else {}
            connection.request("POST", "/v3" + path, json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        except ssl.SSLError as error:
            raise OSError(repr(error)) from error
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"HTTP {response.status}: {text}")
        return json.loads(text)


class TlsEtcd(Etcd):
    """One that wants certificates of its clients."""

    def __init__(self, folder, authority, server, client):
        super().__init__(folder, options=[
            "--cert-file", server.cert, "--key-file", server.key,
            "--trusted-ca-file", authority.file, "--client-cert-auth"])
        self.url = self.url.replace("http:", "https:")
        self.client = TlsEtcdClient([self.url], authority.context(client))


class TlsEtcdKind(_ServerKind):
    """With certificates for both sides, and an account."""

    def __init__(self, folder):
        self.authority = Authority(os.path.join(str(folder), "tls"))
        server = self.authority.issue("server")
        # With accounts on, the gateway refuses clients whose certificate has a CN.
        admin, self.proxy = (self.authority.issue(n, subject="/O=") for n in ("admin", "proxy"))
        self.server = TlsEtcd(folder, self.authority, server, admin).start()
        self.server.client.add_user("proxy", PASSWORD, "stolon/cluster/")
        self.server.client.enable_accounts()
        self._password = os.path.join(str(folder), "password")
        with open(self._password, "w", encoding="utf-8") as f:
            f.write(PASSWORD + "\n")

    def new_store(self):
        store = EtcdStore([self.server.url], f"s{next(_numbers)}")
        store.client = self.server.client
        flags = [*store.flags(), *self.authority.flags(self.proxy), "--store-user=proxy",
                 f"--store-password-file={self._password}"]
        store.flags = lambda: flags
        return store


class ConsulKind(_ServerKind):
    def __init__(self, folder, program):
        self.server = Consul(program, folder).start()

    def new_store(self):
        return ConsulStore(self.server.client, f"s{next(_numbers)}")


class TlsConsulKind(_ServerKind):
    """With certificates for both sides, and a token."""

    def __init__(self, folder, program):
        self.authority = Authority(os.path.join(str(folder), "tls"))
        server, admin = self.authority.issue("server"), self.authority.issue("admin")
        self.proxy = self.authority.issue("proxy-cert")
        self.server = Consul(program, folder, tokens=True, tls=server, ca=self.authority,
                             verify=True)
        self.server.client.context = self.authority.context(admin)
        self.server.start()
        self.server.client.allow("stolon/cluster/", TOKEN)

    def new_store(self):
        return ConsulStore(self.server.client, f"s{next(_numbers)}",
                           more=[*self.authority.flags(self.proxy), "--store-token=" + TOKEN])


KINDS = {"file": FileKind, "etcdv2": EtcdV2Kind, "etcdv3": EtcdV3Kind, "etcdv3-tls": TlsEtcdKind,
         "consul": ConsulKind, "consul-tls": TlsConsulKind}
