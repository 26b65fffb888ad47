"""Trees of a store: the program that watches one (tests/integration/store_cli), and
who changes them, in each kind of store."""

import http.client
import json
import os
import pathlib
import signal
import subprocess
import threading
import urllib.parse

from .process import binary
from .wait import wait_until


def program():
    return os.path.join(os.path.dirname(binary()), "../tests/integration/store_cli/store_cli")


class TreeWatcher:
    """read_every: seconds between two reads; None: one only."""

    def __init__(self, backend, endpoints, prefix, read_every=None, timeout=2.0):
        self.lines = []
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program(), backend, endpoints, prefix,
             str(int((read_every or 0) * 1000)), str(int(timeout * 1000))],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def _from(self, what):
        return [line for line in list(self.lines) if line["from"] == what]

    @property
    def updates(self):
        """What the watch has told."""
        return self._from("watch")

    @property
    def reads(self):
        return self._from("read")

    @staticmethod
    def values(line):
        """{key: value}; None for a read that failed, or a value that is large."""
        return {k: item.get("value") for k, item in line["items"].items()} if "items" in line else None

    def tells(self, values, fresh=None):
        """The newest update, if it says this."""
        last = (self.updates or [None])[-1]
        right = last and self.values(last) == values and fresh in (None, last["fresh"])
        return last if right else None

    def wait_for(self, values, timeout=10.0, fresh=None):
        """The update that is the newest and says this."""
        return wait_until(lambda: self.tells(values, fresh), timeout,
                          lambda: f"{values}, but {self.lines[-5:]}")

    def wait_for_fresh(self, values, before, timeout=10.0):
        """A fresh one is among those after the first `before`, and the newest says this."""
        self.wait_for(values, timeout)
        wait_until(lambda: any(u["fresh"] for u in self.updates[before:]), timeout,
                   lambda: f"a fresh one: {self.updates[before:]}")
        return self.wait_for(values, timeout)

    def wait_for_read(self, values, timeout=10.0):
        """A read from now on."""
        before = len(self.reads)
        return wait_until(
            lambda: next((r for r in self.reads[before:] if self.values(r) == values), None),
            timeout, lambda: f"{values}, but {self.reads[before:][-3:]}")

    def wait_for_error(self, timeout=10.0):
        before = len(self.reads)
        return wait_until(
            lambda: next((r["error"] for r in self.reads[before:] if "error" in r), None), timeout,
            lambda: f"an error: {self.reads[before:][-3:]}")

    def assert_revisions_rise(self):
        found = [u["revision"] for u in self.updates]
        assert found == sorted(found), found

    def memory_kb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("RssAnon:")[1].split()[0])

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            assert self.process.wait(10) == 0
        finally:
            self.process.kill()
            self._reader.join(5)
            self.process.stdout.close()


# Who changes a tree: put(key, value) and delete(key), of keys behind the prefix.


class FileTree:
    backend = "file"

    def __init__(self, folder, prefix="/service/x/"):
        self.endpoints = str(folder)
        self.prefix = prefix
        self.root = pathlib.Path(folder)
        self.root.mkdir(exist_ok=True)

    def path(self, key):
        return pathlib.Path(str(self.root) + "/" + self.prefix.strip("/") + "/" + key)

    def put(self, key, value):
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.root / ".pgsplice-test"
        temporary.write_text(value, encoding="utf-8")
        temporary.rename(path)

    def delete(self, key):
        self.path(key).unlink()

    def put_beside(self, key, value):
        """Whose whole name is the key."""
        path = self.root / key.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value, encoding="utf-8")


class EtcdTree:
    backend = "etcdv3"

    def __init__(self, client, prefix="/service/x/"):
        self.client = client
        self.endpoints = ",".join(client.urls)
        self.prefix = prefix

    def put(self, key, value, lease=None):
        self.client.put(self.prefix + key, value, lease)

    def put_beside(self, key, value):
        self.client.put(key, value)

    def delete(self, key):
        self.client.delete(self.prefix + key)

    def grant(self, seconds):
        return self.client.call("/lease/grant", {"TTL": seconds})["ID"]


class EtcdV2Tree:
    backend = "etcdv2"

    def __init__(self, url, prefix="/service/x/"):
        self.endpoints = url
        self.prefix = prefix

    def _call(self, method, key, query="", form=None):
        parts = urllib.parse.urlsplit(self.endpoints)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
        try:
            connection.request(method, "/v2/keys/" + key.lstrip("/") + query,
                               urllib.parse.urlencode(form) if form else None,
                               {"Content-Type": "application/x-www-form-urlencoded"})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        assert response.status < 300, text

    def put(self, key, value, ttl=None):
        self._call("PUT", self.prefix + key, "",
                   {"value": value, **({"ttl": ttl} if ttl else {})})

    def put_beside(self, key, value):
        self._call("PUT", key, "", {"value": value})

    def delete(self, key):
        self._call("DELETE", self.prefix + key)

    def delete_folder(self, key):
        self._call("DELETE", self.prefix + key, "?recursive=true")


class ConsulTree:
    backend = "consul"

    def __init__(self, client, prefix="/service/x/"):
        self.client = client
        self.endpoints = client.urls[0]
        self.prefix = prefix

    def put(self, key, value, session=None):
        assert self.client.put((self.prefix + key).lstrip("/"), value.encode(),
                               f"acquire={session}" if session else "")

    def put_beside(self, key, value):
        assert self.client.put(key.lstrip("/"), value)

    def delete(self, key):
        self.client.delete((self.prefix + key).lstrip("/"))

    def session(self):
        return self.client.call("PUT", "/v1/session/create", {
            "TTL": "10s", "Behavior": "delete", "LockDelay": "1ms", "Checks": [],
            "NodeChecks": []})["ID"]
