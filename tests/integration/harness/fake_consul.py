"""A Consul of the tests' own, as far as a proxy needs one: keys, sessions,
transactions and blocking queries, by the rules that the real one was seen to keep
(test_consul.py holds both against the same tests). It can be told to misbehave,
and needs no program."""

import base64
import http.server
import json
import threading
import time
import urllib.parse
import uuid

from .consul import ConsulClient
from .ports import free_port


class FakeConsul:
    """rules: functions rule(request) that return True when they have dealt with a
    request; request.answer() and request.serve() are theirs to call. lie() makes
    one of what harness/liar.py has."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = ConsulClient([self.url])
        self.index = 10
        self.deleted = 10  # index of the newest deletion
        self.entries = {}
        self.live = {}  # session: what it was made of
        self.nodes = {}
        self.renewals = []
        self.token = None  # the only one that is allowed; None: no tokens
        self.longest_wait = 600.0  # seconds for which a query is held
        self.requests = []  # (time, method, path)
        self.rules = []
        self.stopping = False
        self.version = 0  # of the rules
        self.changed = threading.Condition(threading.RLock())
        fake = self

        class Handler(Request):
            owner = fake

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 100
            block_on_close = False

            def handle_error(self, *_):
                pass  # clients that have gone

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        with self.changed:
            self.stopping = True
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def seen(self, part):
        return [r for r in list(self.requests) if part in r[2]]

    def lie(self, lie, chosen=lambda request: True):
        """From now on lie(request) treats the chosen requests."""

        def rule(request):
            if not chosen(request):
                return False
            lie(Lied(request))
            request.close_connection = True
            return True

        self.set_rules(rule)

    def set_rules(self, *rules):
        with self.changed:
            self.rules = list(rules)
            self.version += 1
            self.changed.notify_all()

    def set_token(self, token):
        with self.changed:
            self.token = token

    # State; self.changed is held

    def next_index(self):
        self.index += 1
        self.changed.notify_all()
        return self.index

    def write(self, key, value, flags=0, session=None):
        old = self.entries.get(key)
        index = self.next_index()
        self.entries[key] = {
            "LockIndex": 0, "Key": key, "Flags": flags,
            "Value": base64.b64encode(value).decode() if value else None,
            "CreateIndex": old["CreateIndex"] if old else index, "ModifyIndex": index,
            **({"Session": session} if session else {})}
        return index

    def remove(self, key):
        if self.entries.pop(key, None) is not None:
            self.deleted = self.next_index()

    def end_session(self, session):
        if self.live.pop(session, None) is None:
            return
        for key in [k for k, e in self.entries.items() if e.get("Session") == session]:
            self.remove(key)

    def index_of(self, key):
        if key in self.entries:
            return self.entries[key]["ModifyIndex"]
        newest = max((e["ModifyIndex"] for e in self.entries.values()), default=1)
        return max(newest, self.deleted)

    def set_back(self, by):
        """As a restored snapshot: all indexes are lower than they were."""
        with self.changed:
            self.index -= by
            self.deleted = min(self.deleted, self.index)
            for entry in self.entries.values():
                entry["ModifyIndex"] = max(1, entry["ModifyIndex"] - by)
            self.changed.notify_all()

    def forget_deletions(self):
        """As after tombstones' time: the index of a tree is that of what is left."""
        with self.changed:
            self.deleted = 0

    def index_of_tree(self, prefix):
        newest = [e["ModifyIndex"] for k, e in self.entries.items() if k.startswith(prefix)]
        return max([self.deleted, *newest]) or self.index

    def transact(self, operations):
        """(results, error). Changes nothing when there is an error."""
        saved = (self.index, self.deleted, dict(self.entries))
        results = []
        for number, operation in enumerate(operations):
            error = self._operate(operation["KV"], results)
            if error:
                self.index, self.deleted, self.entries = saved
                return None, {"OpIndex": number, "What": error}
        return results, None

    def _operate(self, kv, results):
        key, verb, entry = kv["Key"], kv["Verb"], self.entries.get(kv["Key"])
        if verb == "check-not-exists":
            return f"key {key!r} exists" if entry else None
        if verb == "check-index":
            if entry is None or entry["ModifyIndex"] != kv["Index"]:
                return f"current modify index for {key!r} is not {kv['Index']}"
            results.append({"KV": {**entry, "Value": None}})
            return None
        value = base64.b64decode(kv["Value"])
        holder = entry.get("Session") if entry else None
        if verb == "unlock":
            if holder != kv["Session"]:
                return f"key {key!r} isn't held by session {kv['Session']}"
            self.write(key, value, kv["Flags"])
        elif verb == "lock":
            if kv["Session"] not in self.live:
                return f"invalid session {kv['Session']!r}"
            if holder not in (None, kv["Session"]):
                return f"lock of {key!r} is already held"
            self.write(key, value, kv["Flags"], kv["Session"])
        else:
            return f"unknown verb {verb}"
        results.append({"KV": {**self.entries[key], "Value": None}})
        return None


class Lied:
    """A request as harness/liar.py knows it."""

    def __init__(self, request):
        self._request = request
        self.path = request.path
        self.liar = self

    url = property(lambda self: self._request.owner.url)
    version = property(lambda self: self._request.owner.version)
    stopping = property(lambda self: self._request.owner.stopping)

    def send(self, data):
        self._request.wfile.write(data if isinstance(data, bytes) else data.encode())

    def answer(self, status=200, body="", headers=()):
        data = body if isinstance(body, bytes) else body.encode()
        head = "".join(f"{n}: {v}\r\n" for n, v in [*headers, ("Content-Length", len(data))])
        self.send(f"HTTP/1.1 {status} Text\r\n{head}\r\n".encode() + data)

    def begin_chunks(self):
        self.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def hang_up(self):
        self._request.connection.shutdown(2)

    def wait(self, seconds=3600.0):
        self.changed(seconds, self.version)

    def changed(self, seconds, version):
        fake = self._request.owner
        with fake.changed:
            fake.changed.wait_for(lambda: fake.stopping or fake.version != version, seconds)

    def forward(self):
        self._request.serve()


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner = None

    def log_message(self, *_):
        pass

    def _handle(self):
        parts = urllib.parse.urlsplit(self.path)
        self.route = urllib.parse.unquote(parts.path)
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.owner.requests.append((time.monotonic(), self.command, self.path))
        for rule in list(self.owner.rules):
            if rule(self):
                return
        self.serve()

    do_GET = do_PUT = do_DELETE = _handle

    def answer(self, status, body, index=None):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        if index is not None:
            self.send_header("X-Consul-Index", str(index))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def is_watch(self):
        return "index" in self.query

    def serve(self):
        fake = self.owner
        if fake.token is not None and self.headers.get("X-Consul-Token") != fake.token:
            self.answer(403, "ACL not found")
            return
        kind = self.route.split("/")[2]
        name = self.route.split("/", 3)[3] if self.route.count("/") > 2 else ""
        getattr(self, "serve_" + kind)(name)

    def serve_kv(self, key):
        fake = self.owner
        with fake.changed:
            if self.command == "PUT":
                fake.write(key, self.body)
                self.answer(200, "true")
                return
            if self.command == "DELETE":
                fake.remove(key)
                self.answer(200, "true")
                return
            index_of = fake.index_of_tree if "recurse" in self.query else fake.index_of
            if self.is_watch():
                index = int(self.query["index"])
                wait = min(float(self.query["wait"].rstrip("s")), fake.longest_wait)
                fake.changed.wait_for(lambda: fake.stopping or index_of(key) > index, wait)
            if "keys" in self.query:
                found = sorted(k for k in fake.entries if k.startswith(key))
            elif "recurse" in self.query:
                found = [fake.entries[k] for k in sorted(fake.entries) if k.startswith(key)]
            else:
                found = [fake.entries[key]] if key in fake.entries else []
            status, text = (200, json.dumps(found)) if found else (404, "")
            index = index_of(key)
        self.answer(status, text, index)

    def serve_txn(self, _):
        with self.owner.changed:
            results, error = self.owner.transact(json.loads(self.body))
        if error:
            self.answer(409, {"Results": None, "Errors": [error]})
        else:
            self.answer(200, {"Results": results, "Errors": None})

    def serve_session(self, name):
        fake = self.owner
        verb, _, session = name.partition("/")
        with fake.changed:
            if verb == "create":
                made = json.loads(self.body)
                if made.get("Node") not in (None, *fake.nodes):
                    self.answer(500, "Missing node registration")
                    return
                # Without a list of checks the agent's health is one.
                made.setdefault("NodeChecks", made.get("Checks", ["serfHealth"]))
                session = str(uuid.uuid4())
                fake.live[session] = made
                self.answer(200, {"ID": session})
            elif verb == "renew" and session in fake.live:
                fake.renewals.append((time.monotonic(), session))
                self.answer(200, [{"ID": session}])
            elif verb == "renew":
                self.answer(404, f"Session id '{session}' not found")
            elif verb == "destroy":
                fake.end_session(session)
                self.answer(200, "true")
            else:
                found = fake.live.get(session)
                self.answer(200, [{"ID": session, **found}] if found else [])

    def serve_catalog(self, _):
        made = json.loads(self.body)
        with self.owner.changed:
            self.owner.nodes[made["Node"]] = made
        self.answer(200, "true")
