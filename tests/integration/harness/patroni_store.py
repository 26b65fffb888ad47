"""The stores that Patroni may keep its keys in: how it and a proxy find them, and what
the test reads there by itself.

Each has: a scope; patroni(port), Patroni's options for it, by way of a relay at that
port if there is one; flags(), pgsplice's; leader(), the holder of the lock, "" for
none; freeze() and thaw(), which stop and continue the server; close()."""

import http.client
import json
import threading

from .consul import Consul
from .etcd import Etcd
from .etcd_store import decode, encode

SCOPE = "main"
_LEADER = f"service/{SCOPE}/leader"


class _Store:
    backend = None

    def __init__(self, server):
        self.server = server
        self.freeze, self.thaw, self.close = server.freeze, server.thaw, server.kill
        self._kept = threading.local()

    def flags(self):
        return ["--cluster-format=patroni", f"--cluster-name={SCOPE}",
                f"--store-backend={self.backend}", f"--store-endpoints={self.server.url}"]

    def leader(self, timeout=2):
        """Raises OSError while the server does not answer."""
        try:
            return self._leader(timeout)
        except (OSError, http.client.HTTPException) as error:
            self._kept.connection.close()
            self._kept.connection = None
            raise OSError(repr(error)) from error

    def _leader(self, timeout):
        raise NotImplementedError

    def _ask(self, method, path, body, timeout):
        """Over a connection that a thread keeps: this is called many times a second."""
        connection = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._kept.connection = http.client.HTTPConnection(
                self.server.host, self.server.port, timeout=timeout)
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()


class EtcdV3(_Store):
    backend = "etcdv3"

    def __init__(self, folder):
        super().__init__(Etcd(folder).start())

    def patroni(self, port=None):
        # A relay is no member of etcd's: Patroni must not go to those it is told of.
        return {"etcd3": {"hosts": [f"127.0.0.1:{port or self.server.port}"],
                          "use_proxies": True}}

    def _leader(self, timeout):
        body = json.dumps({"key": encode("/" + _LEADER)})
        _, text = self._ask("POST", "/v3/kv/range", body, timeout)
        found = json.loads(text).get("kvs", [])
        return decode(found[0].get("value", "")) if found else ""


class EtcdV2(_Store):
    backend = "etcdv2"

    def __init__(self, folder):
        super().__init__(Etcd(folder, options=["--enable-v2=true"]).start())

    def patroni(self, port=None):
        return {"etcd": {"hosts": [f"127.0.0.1:{port or self.server.port}"],
                         "use_proxies": True}}

    def _leader(self, timeout):
        status, text = self._ask("GET", f"/v2/keys/{_LEADER}?quorum=true", None, timeout)
        return json.loads(text)["node"]["value"] if status == 200 else ""


class ConsulKeys(_Store):
    backend = "consul"

    def __init__(self, folder, program):
        super().__init__(Consul(program, folder).start())

    def patroni(self, port=None):
        return {"consul": {"host": f"127.0.0.1:{port or self.server.port}"}}

    def _leader(self, timeout):
        status, text = self._ask("GET", f"/v1/kv/{_LEADER}?raw&consistent", None, timeout)
        return text.decode() if status == 200 else ""
