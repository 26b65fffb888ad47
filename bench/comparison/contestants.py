"""What is compared: each knows how to be started between a port and a backend.

start(bench, backend, threads, probe) answers a Running; probe(port) says whether
the backend is reached through it."""

import shutil

from . import stores
from .processes import (HOST, BenchError, answers, descriptors, free_port, plain_user,
                        private_bytes, tree, wait_until)

MAX_SESSIONS = 6000  # for peers that want to know


class Running:
    def __init__(self, contestant, port, process):
        self.contestant = contestant
        self.name = contestant.name
        self.port = port
        self.process = process

    def pids(self):
        return [] if self.process is None else tree(self.process.pid)

    def private_bytes(self):
        return private_bytes(self.pids())

    def descriptors(self):
        return descriptors(self.pids())


class Contestant:
    is_floor = False
    is_ours = False
    postgres_only = False

    def __init__(self, name):
        self.name = name

    def command(self, bench, port, backend, threads):
        raise NotImplementedError

    def options(self):
        return {}

    def after_start(self, bench, backend):
        pass

    def start(self, bench, backend, threads, probe=answers):
        port = free_port()
        command = self.command(bench, port, backend, threads)
        try:
            process = bench.programs.start(self.name, command, **self.options())
        except FileNotFoundError:
            raise BenchError(f"{self.name}: cannot run {command[0]}") from None
        running = Running(self, port, process)
        self.after_start(bench, backend)
        try:
            wait_until(lambda: process.poll() is not None or probe(port), self.name)
            if process.poll() is not None:
                raise BenchError(f"{self.name} has ended")
        except BenchError as error:
            log = process.bench_log.read_text(errors="replace")[-2000:]
            raise BenchError(f"{error}; its log ends:\n{log}") from None
        return running


class Direct(Contestant):
    """No proxy at all."""

    def start(self, bench, backend, threads, probe=answers):
        return Running(self, backend, None)


class Floor(Contestant):
    is_floor = True

    def __init__(self, name, program, size):
        super().__init__(name)
        self.program = program
        self.size = size

    def command(self, bench, port, backend, threads):
        return [bench.build / "bench" / self.program, port, backend, threads, self.size]


class Pgsplice(Contestant):
    is_ours = True

    def __init__(self, name, binary, flags=()):
        super().__init__(name)
        self.binary = binary
        self.flags = list(flags)
        self.store = None
        self.starts = 0

    def command(self, bench, port, backend, threads):
        self.starts += 1
        self.store = self.new_store(bench)
        return [self.binary, *self.store.flags(), f"--listen-address={HOST}", f"--port={port}",
                *self.thread_flags(threads), *self.flags]

    def new_store(self, bench):
        return stores.FileStore(bench.programs.folder, f"{self.name}-{self.starts}")

    def thread_flags(self, threads):
        return [f"--workers={threads}"]

    def after_start(self, bench, backend):
        stores.enable(self.store, backend)


class Peer(Pgsplice):
    """Any program with stolon-proxy's flags. Its threads are its own affair."""

    is_ours = False

    def new_store(self, bench):
        return stores.EtcdStore(bench.etcd(), f"{self.name}-{self.starts}")

    def thread_flags(self, threads):
        return []


class Haproxy(Contestant):
    def __init__(self, name, splice):
        super().__init__(name)
        self.splice = splice

    def command(self, bench, port, backend, threads):
        path = bench.programs.folder / f"{self.name}-{port}.cfg"
        splice = "  option splice-auto\n" if self.splice else ""
        path.write_text(f"""global
  nbthread {threads}
  maxconn {MAX_SESSIONS}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
{splice}listen bench
  bind {HOST}:{port}
  server backend {HOST}:{backend}
""")
        return [system_program("haproxy"), "-db", "-f", path]


class Nginx(Contestant):
    def command(self, bench, port, backend, threads):
        folder = bench.programs.folder / f"{self.name}-{port}"
        folder.mkdir()
        (folder / "nginx.conf").write_text(f"""daemon off;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
pid {folder}/pid;
error_log stderr warn;
worker_processes {threads};
worker_rlimit_nofile 20000;
events {{ worker_connections {3 * MAX_SESSIONS}; }}
stream {{
  server {{
    listen {HOST}:{port} reuseport;
    proxy_pass {HOST}:{backend};
    proxy_timeout 1h;
  }}
}}
""")
        return [system_program("nginx"), "-p", folder, "-c", folder / "nginx.conf"]


class Pgbouncer(Contestant):
    """In session mode, which promises what the others do. One thread, always."""

    postgres_only = True

    def command(self, bench, port, backend, threads):
        path = bench.programs.folder / f"pgbouncer-{port}.ini"
        path.write_text(f"""[databases]
* = host={HOST} port={backend} user=postgres
[pgbouncer]
listen_addr = {HOST}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = session
max_client_conn = 1000
default_pool_size = 150
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
""")
        return [system_program("pgbouncer"), path]

    def options(self):
        return plain_user()


def system_program(name):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise BenchError(f"there is no {name}: packaging/install-deps bench")
    return found


def known(binary):
    """All that need nothing but Debian's packages and this build."""
    return [Direct("direct"),
            Floor("floor-copy", "floor_copy", 65536),
            Floor("floor-splice-64k", "floor_splice", 65536),
            Floor("floor-splice-1m", "floor_splice", 1 << 20),
            Pgsplice("pgsplice", binary),
            Haproxy("haproxy", False), Haproxy("haproxy-splice", True),
            Nginx("nginx"), Pgbouncer("pgbouncer")]
