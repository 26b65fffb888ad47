"""A scripted Patroni cluster: its keys in a folder, and members that say what they are
told to, each a server that greets with its name and a REST interface beside it."""

import http.server
import json
import ssl
import threading

from .ports import free_port
from .servers import RecordingServer
from .tree import FileTree

SYSTEM_ID = "7711809618043375582"


class RestServer:
    """GET /patroni over https with a certificate, else over http. client_ca: it wants a
    certificate of that authority."""

    def __init__(self, body, certificate=None, client_ca=None):
        self.body = body
        self.asked = 0
        rest = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                assert self.path == "/patroni", self.path
                rest.asked += 1
                body = json.dumps(rest.body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # clients that refuse us

        self.port = free_port()
        self._server = Server(("127.0.0.1", self.port), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.cert, certificate.key)
            if client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_ca)
            # The handshake is done by the connection's own thread, at its first read.
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,),
                                        daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class ScriptedMember:
    def __init__(self, name, **rest):
        self.name = name
        self.server = RecordingServer(greeting=name.encode() + b"\n")
        self.rest = RestServer(None, **rest)
        self.scheme = "https" if rest.get("certificate") else "http"
        self.says("replica")

    def says(self, role, timeline=1):
        self.rest.body = {"state": "running", "role": role, "timeline": timeline,
                          "server_version": 150004, "database_system_identifier": SYSTEM_ID,
                          "xlog": {"location": 83907680} if role == "primary" else
                          {"received_location": 83907680, "replayed_location": 83907680},
                          **({} if role == "primary" else {"replication_state": "streaming"})}

    def record(self, role, wal=83907680, replication="streaming"):
        return json.dumps({
            "conn_url": f"postgres://127.0.0.1:{self.server.port}/postgres",
            "api_url": f"{self.scheme}://127.0.0.1:{self.rest.port}/patroni",
            "state": "running", "role": role, "version": "4.1.5", "xlog_location": wal,
            "timeline": 1, "replication_state": replication})

    def close(self):
        self.server.close()
        self.rest.close()


class ScriptedCluster:
    """The first member holds the lock and says that it is the primary."""

    def __init__(self, folder, *names, **rest):
        self.keys = FileTree(folder)
        self.members = {name: ScriptedMember(name, **rest) for name in names}
        self.members[names[0]].says("primary")
        self.keys.put("initialize", SYSTEM_ID)
        self.keys.put("config", json.dumps({"ttl": 30, "loop_wait": 10, "retry_timeout": 10}))
        self.keys.put("status", json.dumps({"optime": 83907680}))
        for name in names:
            self.write_record(name, "primary" if name == names[0] else "replica")
        self.lock(names[0])

    def __getitem__(self, name):
        return self.members[name]

    def write_record(self, name, role, **more):
        self.keys.put(f"members/{name}", self.members[name].record(role, **more))

    def lock(self, name):
        self.keys.put("leader", name)

    def options(self, *more):
        return ["--cluster-format=patroni", "--cluster-name=x", "--store-backend=file",
                f"--store-endpoints={self.keys.endpoints}", "--probe=http",
                "--probe-interval=200ms", *more]

    def close(self):
        for member in self.members.values():
            member.close()
