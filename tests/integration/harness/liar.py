"""An HTTP server that misbehaves as told, in front of a real etcd or instead of it.

Each request goes to the first rule that takes it; without one it is passed on to
etcd. A rule is a function rule(request) that answers, or does not."""

import http.client
import json
import queue
import socket
import socketserver
import threading
import time
import urllib.parse

from .ports import free_port


class Request:
    def __init__(self, liar, sock, method, path, headers, body):
        self.liar = liar
        self.sock = sock
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.at = time.monotonic()

    @property
    def call(self):
        """"range", "txn", "watch", …"""
        return self.path.rsplit("/", 1)[-1]

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def answer(self, status=200, body="", headers=()):
        data = body if isinstance(body, bytes) else body.encode()
        head = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(data)}",
                *[f"{n}: {v}" for n, v in headers]]
        self.send("\r\n".join(head).encode() + b"\r\n\r\n" + data)

    def begin_chunks(self):
        self.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def hang_up(self):
        self.sock.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds=3600.0):
        """Until then, or until the rules change or the liar ends."""
        self.liar.changed(seconds, self.liar.version)

    def forward(self, change=lambda text: text):
        """Etcd's answer, its text passed through change()."""
        connection = self.liar.connect()
        try:
            connection.request(self.method, self.path, self.body, self.passed_headers())
            response = connection.getresponse()
            if self.call == "watch" and response.status == 200:
                self._forward_stream(connection, response, change)
            else:
                self.answer(response.status, change(response.read().decode()))
        finally:
            connection.close()

    def passed_headers(self):
        return {n: v for n, v in self.headers.items() if n not in ("host", "content-length")}

    def _forward_stream(self, connection, response, change):
        """Ends with either side, or when the rules change."""
        version = self.liar.version
        self.begin_chunks()
        upstream = connection.sock or response.fp.raw._sock
        lines = _Lines(response)
        while self.liar.version == version and not self.liar.stopping and not self.client_is_gone():
            line = lines.next()
            if line == b"":
                self.send("0\r\n\r\n")
                break
            text = change(line.decode()) if line else ""
            if text:
                self.chunk(text)
        else:
            self.hang_up()
        upstream.shutdown(socket.SHUT_RDWR)

    def client_is_gone(self):
        self.sock.setblocking(False)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.sock.setblocking(True)


class _Lines:
    """Lines of a body as they come, read by a thread of their own."""

    def __init__(self, response):
        self._response = response
        self._lines = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        line = b"-"
        while line:
            try:
                line = self._response.readline()
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                line = b""
            self._lines.put(line)

    def next(self):
        """None if there is none at the moment, b"" at the end."""
        try:
            return self._lines.get(timeout=0.01)
        except queue.Empty:
            return None


class Liar:
    def __init__(self, etcd_url=None):
        self.etcd_url = etcd_url
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests = []
        self.stopping = False
        self.version = 0
        self._rules = []
        self._change = threading.Condition()
        liar = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    liar._serve(self.request)
                except OSError:
                    pass  # the client has gone

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 100

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,),
                                        daemon=True)
        self._thread.start()

    # For tests

    def rule(self, rule, *calls):
        """From now on rule(request) treats these calls (all, if none is named)."""
        self._set([lambda r: rule if not calls or r.call in calls else None])

    def rules(self, **rules):
        """By the name of the call."""
        self._set([lambda r: rules.get(r.call)])

    def be_honest(self):
        self._set([])

    def _set(self, rules):
        with self._change:
            self._rules = rules
            self.version += 1
            self._change.notify_all()

    def changed(self, seconds, version):
        with self._change:
            self._change.wait_for(lambda: self.stopping or self.version != version, seconds)

    def seen(self, call, start=0):
        return [r for r in list(self.requests)[start:] if r.call == call]

    def connect(self):
        parts = urllib.parse.urlsplit(self.etcd_url)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)

    def close(self):
        with self._change:
            self.stopping = True
            self._change.notify_all()
        self._server.shutdown()
        self._server.server_close()

    # Its threads

    def _serve(self, sock):
        file = sock.makefile("rb")
        while not self.stopping:
            first = file.readline().decode("latin-1").split()
            if len(first) != 3:
                return
            headers = {}
            while (line := file.readline().decode("latin-1").strip()):
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = file.read(int(headers.get("content-length", 0)))
            request = Request(self, sock, first[0], first[1], headers, body)
            self.requests.append(request)
            del self.requests[:-10000]
            rule = next((found for choose in list(self._rules) if (found := choose(request))),
                        Request.forward)
            try:
                rule(request)
            except http.client.HTTPException:
                return


# Rules


def delayed(seconds):
    def rule(request):
        request.wait(seconds)
        request.forward()
    return rule


def silent(request):
    request.wait()


def status(number, body="it does not work\n", **headers):
    return lambda request: request.answer(number, body, headers.items())


def garbage(request):
    request.send(bytes(range(256)) * 40)
    request.hang_up()


def redirect(request):
    request.answer(302, "", [("Location", request.liar.url + request.path)])


def cut_in_chunk(request):
    request.begin_chunks()
    request.send(b'400\r\n{"header":{"cluster_id":"7"')
    request.hang_up()


def length_too_long(request):
    request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}")
    request.hang_up()


def length_too_short(request):
    request.send(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{"header":{"cluster_id":"7"}}')


def huge(size, filler=b" " * 65536, head=b'{"header":{"cluster_id":"7","revision":"9"},"x":"'):
    def rule(request):
        request.begin_chunks()
        request.chunk(head)
        for _ in range(size // len(filler)):
            request.chunk(filler)
        request.chunk(b'"}')
        request.send(b"0\r\n\r\n")
    return rule


def endless_headers(request):
    request.send(b"HTTP/1.1 200 OK\r\n")
    while not request.liar.stopping:
        request.send(b"X-Header: " + b"h" * 60000)


def trickle(request):
    """A byte a second, for ever."""
    version = request.liar.version
    request.send(b"H")
    for byte in b"TTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b" " * 100000:
        request.liar.changed(1.0, version)
        if request.liar.version != version or request.liar.stopping:
            request.hang_up()
            return
        request.send(bytes([byte]))


def frame(**result):
    return json.dumps({"result": result}) + "\n"
