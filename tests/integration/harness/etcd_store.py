"""etcd over its JSON gateway, from the side of sentinels and administrators."""

import base64
import http.client
import json
import urllib.parse

from .store import FileStore


def encode(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def decode(text):
    return base64.b64decode(text).decode()


class EtcdError(OSError):
    def __init__(self, status, text):
        super().__init__(f"HTTP {status}: {text}")
        self.status = status


class EtcdClient:
    """Each call goes to the first of the URLs that answers."""

    def __init__(self, urls):
        self.urls = list(urls)
        self.token = None

    def call(self, path, body, timeout=5):
        failure = None
        for url in self.urls:
            try:
                return self._call(url, path, body, timeout)
            except (OSError, http.client.HTTPException) as error:
                failure = error if isinstance(error, OSError) else OSError(repr(error))
        raise failure

    def _call(self, url, path, body, timeout):
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        try:
            headers = {"Authorization": self.token} if self.token else {}
            connection.request("POST", "/v3" + path, json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status != 200:
            raise EtcdError(response.status, text)
        return json.loads(text)

    def get(self, key):
        """The key as etcd tells of it, with "value" decoded; None if there is none."""
        found = self.call("/kv/range", {"key": encode(key)}).get("kvs", [])
        return {**found[0], "value": decode(found[0].get("value", ""))} if found else None

    def keys(self, prefix):
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.call("/kv/range", {"key": encode(prefix), "range_end": encode(end),
                                        "keys_only": True})
        return [decode(kv["key"]) for kv in found.get("kvs", [])]

    def put(self, key, value, lease=None):
        body = {"key": encode(key), "value": encode(value)}
        return self.call("/kv/put", {**body, "lease": lease} if lease else body)

    def delete(self, key):
        return self.call("/kv/deleterange", {"key": encode(key)})

    def revision(self):
        return int(self.call("/kv/range", {"key": encode("?")})["header"]["revision"])

    def compact(self):
        """Everything up to now."""
        self.call("/kv/compaction", {"revision": str(self.revision()), "physical": True})

    # Leases

    def leases(self):
        return [found["ID"] for found in self.call("/kv/lease/leases", {}).get("leases", [])]

    def time_to_live(self, lease):
        """{"TTL": seconds left (-1: gone), "grantedTTL", "keys"}, as numbers and texts."""
        answer = self.call("/kv/lease/timetolive", {"ID": lease, "keys": True})
        return {"TTL": int(answer.get("TTL", 0)), "grantedTTL": int(answer.get("grantedTTL", 0)),
                "keys": [decode(k) for k in answer.get("keys", [])]}

    def revoke(self, lease):
        self.call("/kv/lease/revoke", {"ID": lease})

    # Accounts

    def log_in(self, user, password):
        self.token = None
        self.token = self.call("/auth/authenticate",
                               {"name": user, "password": password})["token"]

    def add_user(self, user, password, prefix=None):
        """With all rights below prefix, or root's without one."""
        self.call("/auth/user/add", {"name": user, "password": password})
        role = "root"
        if prefix is not None:
            role = "role-" + user
            self.call("/auth/role/add", {"name": role})
            self.call("/auth/role/grant", {"name": role, "perm": {
                "permType": "READWRITE", "key": encode(prefix),
                "range_end": encode(prefix[:-1] + chr(ord(prefix[-1]) + 1))}})
        self.call("/auth/user/grant", {"user": user, "role": role})

    def enable_accounts(self, password="rootpw"):
        """Of which root must be one. This client is root from now on."""
        self.add_user("root", password)
        self.call("/auth/enable", {})
        self.log_in("root", password)


class EtcdStore:
    """One stolon cluster in etcd: what FileStore is for a directory."""

    def __init__(self, urls, cluster="test", prefix="stolon/cluster", proxy_urls=None):
        self.client = EtcdClient(urls)
        self.cluster = cluster
        self.prefix = prefix
        self.root = f"{prefix}/{cluster}"
        self.key = self.root + "/clusterdata"
        self.infos = self.root + "/proxies/info/"
        self.proxy_urls = list(proxy_urls or urls)

    def flags(self):
        return [f"--cluster-name={self.cluster}", "--store-backend=etcdv3",
                f"--store-prefix={self.prefix}",
                "--store-endpoints=" + ",".join(self.proxy_urls)]

    def put(self, document):
        """Returns the revision."""
        text = document if isinstance(document, (str, bytes)) else json.dumps(document)
        return int(self.client.put(self.key, text)["header"]["revision"])

    def delete(self):
        self.client.delete(self.key)

    def info_key(self, uid):
        return self.infos + uid

    def proxies(self):
        return [key[len(self.infos):] for key in self.client.keys(self.infos)]

    def info_text(self, uid):
        found = self.client.get(self.info_key(uid))
        return found["value"] if found else None

    def lease_of(self, uid):
        found = self.client.get(self.info_key(uid))
        return found.get("lease") if found else None

    info = FileStore.info
    wait_for_info = FileStore.wait_for_info
    wait_for_generation = FileStore.wait_for_generation
    wait_for_new_info = FileStore.wait_for_new_info
