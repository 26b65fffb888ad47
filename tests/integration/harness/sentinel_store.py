"""The store as sentinels see it: compare-and-swap, lists, and events with times.

Two of a kind: EtcdKeys over etcd's JSON gateway, FileKeys on pgsplice's own
directory. Keys are relative to the cluster's root, values are bytes. Times are
time.time(), which PostgreSQL's clock_timestamp() shares."""

import base64
import ctypes
import fcntl
import http.client
import json
import os
import select
import threading
import time
import typing

from .store import FileStore

LEAST_TTL_S = 20


class Event(typing.NamedTuple):
    time: float
    key: str
    value: bytes | None  # None: it is gone


class Events:
    """What happens below the root, from now on. Runs a thread until stop()."""

    def __init__(self):
        self.seen = []
        self.stopping = False
        self.thread = None

    def _start(self, work):
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def add(self, key, value):
        self.seen.append(Event(time.time(), key, value))

    def first(self, condition):
        return next((e for e in list(self.seen) if condition(e)), None)

    def acknowledged(self, uid, generation):
        """When the ProxyInfo of uid had this generation first, None if it has not."""
        event = self.first(lambda e: e.key == f"proxies/info/{uid}" and e.value
                           and json.loads(e.value)["Generation"] == generation)
        return event and event.time

    def stop(self):
        self.stopping = True
        self._interrupt()
        self.thread.join(10)


# etcd


def _b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class EtcdKeys:
    def __init__(self, host, port, cluster, prefix="stolon/cluster"):
        self.host, self.port, self.cluster = host, port, cluster
        self.root = f"{prefix}/{cluster}/"

    def flags(self):
        return [f"--cluster-name={self.cluster}", "--store-backend=etcdv3",
                f"--store-endpoints=http://{self.host}:{self.port}"]

    def _call(self, path, body):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request("POST", path, json.dumps(body))
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"{path}: {response.status} {text!r}")
        return json.loads(text)

    def get(self, key):
        """(value, revision), (None, 0) when there is none."""
        found = self._call("/v3/kv/range", {"key": _b64(self.root + key)}).get("kvs", [])
        if not found:
            return None, 0
        return base64.b64decode(found[0].get("value", "")), int(found[0]["mod_revision"])

    def list(self, folder):
        """{last part of the key: value}"""
        start, end = self.root + folder + "/", self.root + folder + "0"
        found = self._call("/v3/kv/range", {"key": _b64(start), "range_end": _b64(end)})
        return {base64.b64decode(kv["key"]).decode()[len(start):]:
                base64.b64decode(kv.get("value", "")) for kv in found.get("kvs", [])}

    def swap(self, key, value, revision):
        """Writes value if the key still has this revision; whether it did."""
        name = _b64(self.root + key)
        return self._call("/v3/kv/txn", {
            "compare": [{"key": name, "target": "MOD", "mod_revision": str(revision)}],
            "success": [{"request_put": {"key": name, "value": _b64(value)}}],
        }).get("succeeded", False)

    def watch(self):
        return _EtcdEvents(self)


class _EtcdEvents(Events):
    def __init__(self, keys):
        super().__init__()
        self._keys = keys
        self._connection = http.client.HTTPConnection(keys.host, keys.port, timeout=60)
        self._connection.request("POST", "/v3/watch", json.dumps({"create_request": {
            "key": _b64(keys.root), "range_end": _b64(keys.root[:-1] + "0")}}))
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        created = json.loads(self._response.readline())
        assert created["result"].get("created"), created
        self._start(self._run)

    def _run(self):
        try:
            while not self.stopping:
                for event in json.loads(self._response.readline())["result"].get("events", []):
                    kv = event["kv"]
                    key = base64.b64decode(kv["key"]).decode()[len(self._keys.root):]
                    gone = event.get("type") == "DELETE"
                    self.add(key, None if gone else base64.b64decode(kv.get("value", "")))
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            if not self.stopping:
                raise

    def _interrupt(self):
        try:
            self._socket.shutdown(2)
        except OSError:
            pass  # etcd was faster
        self._connection.close()


# The directory


class FileKeys:
    def __init__(self, store):
        self.store = store
        self.cluster = store.cluster
        self._lock = os.path.join(store.directory, ".sentinel-lock")
        os.makedirs(store.info_folder, exist_ok=True)

    def flags(self):
        return [f"--cluster-name={self.cluster}", "--store-backend=file",
                f"--store-endpoints={self.store.directory}"]

    def _read(self, path):
        try:
            with open(path, "rb") as f:
                return f.read(), os.fstat(f.fileno()).st_ino
        except FileNotFoundError:
            return None, 0

    def get(self, key):
        """The revision is the file's number: every write makes a new file."""
        return self._read(os.path.join(self.store.root, key))

    def list(self, folder):
        found = {}
        for name in os.listdir(os.path.join(self.store.root, folder)):
            path = os.path.join(self.store.root, folder, name)
            if name.startswith("."):
                continue
            value, _ = self._read(path)
            if value is not None and not self._has_expired(path, value):
                found[name] = value
        return found

    def _has_expired(self, path, value):
        """Nobody deletes the file of a proxy that died: its time tells."""
        ttl = max(LEAST_TTL_S, 2 * json.loads(value)["ProxyTimeout"] / 1e9)
        try:
            return time.time() - os.stat(path).st_mtime > ttl
        except FileNotFoundError:
            return True

    def swap(self, key, value, revision):
        assert key == "clusterdata"
        with open(self._lock, "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.get(key)[1] != revision:
                return False
            self.store.put(value)
            return True

    def watch(self):
        return _FileEvents(self)


class _FileEvents(Events):
    _MOVED_TO, _DELETE = 0x80, 0x200

    def __init__(self, keys):
        super().__init__()
        self._keys = keys
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC)
        self._folders = {self._add(keys.store.root): "",
                         self._add(keys.store.info_folder): "proxies/info/"}
        self._wake_out, self._wake_in = os.pipe()
        self._start(self._run)

    def _add(self, folder):
        number = self._libc.inotify_add_watch(self._fd, os.fsencode(folder),
                                              self._MOVED_TO | self._DELETE)
        assert number > 0, os.strerror(ctypes.get_errno())
        return number

    def _run(self):
        poll = select.poll()  # select() takes no descriptor past 1023
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake_out, select.POLLIN)
        while not self.stopping:
            ready = [fd for fd, _ in poll.poll()]
            if self._fd in ready:
                self._take(os.read(self._fd, 1 << 16))
        for fd in (self._fd, self._wake_out, self._wake_in):
            os.close(fd)

    def _take(self, data):
        while data:
            number = int.from_bytes(data[0:4], "little")
            mask = int.from_bytes(data[4:8], "little")
            size = int.from_bytes(data[12:16], "little")
            name = data[16:16 + size].rstrip(b"\0").decode()
            data = data[16 + size:]
            if name.startswith("."):
                continue
            key = self._folders[number] + name
            self.add(key, None if mask & self._DELETE else self._keys.get(key)[0])

    def _interrupt(self):
        os.write(self._wake_in, b"x")


def file_keys(directory, cluster="test"):
    return FileKeys(FileStore(directory, cluster))
