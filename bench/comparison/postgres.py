"""A PostgreSQL server for pgbench and COPY, in a temporary folder, and both."""

import glob
import os
import re
import shutil
import signal
import subprocess
import time

from .processes import (HOST, BenchError, cpu_seconds, free_port, plain_user, wait_until)

SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 256MB
max_connections = 200
max_wal_size = 4GB
autovacuum = off
"""

# Of one row in COPY: with its end of line, 8,000 bytes.
ROW = 7999

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "PGSSLMODE": "disable",
               "PGGSSENCMODE": "disable", "PGOPTIONS": ""}

def binaries():
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"),
                     key=lambda f: [int(n) for n in re.findall(r"\d+", f)])
    found = shutil.which("initdb")
    if not folders and not found:
        raise BenchError("PostgreSQL is not installed: packaging/install-deps servers")
    return folders[-1] if folders else os.path.dirname(os.path.realpath(found))

def run(command, stdin=subprocess.DEVNULL, limit_s=300, **more):
    """The output of a program that must succeed."""
    try:
        result = subprocess.run([*map(str, command)], stdin=stdin, capture_output=True, text=True,
                                env=ENVIRONMENT, timeout=limit_s, check=False, **more)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{command[0]} has not ended in {limit_s} s") from None
    if result.returncode != 0:
        raise BenchError(f"{command[0]}: {result.stderr[-800:]}")
    return result.stdout

class Postgres:
    def __init__(self, programs, scale, copy_bytes):
        self.bin = binaries()
        self.port = free_port()
        self.rows = copy_bytes // (ROW + 1)
        self.copy_file = programs.folder / "rows"
        data = programs.folder / "data"
        user = plain_user()
        if user:
            os.chmod(programs.folder, 0o755)
            data.mkdir(mode=0o700)
            os.chown(data, user["user"], user["group"])
        run([f"{self.bin}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"],
            cwd="/", **user)
        with open(data / "postgresql.conf", "a", encoding="utf-8") as f:
            f.write(SETTINGS + f"port = {self.port}\n")
        programs.start("postgres", [f"{self.bin}/postgres", "-D", data], signal.SIGINT, cwd="/",
                       **user)
        wait_until(lambda: self.answers(self.port), "PostgreSQL", 60, 0.1)
        run([f"{self.bin}/pgbench", *self.where(self.port), "-i", "-q", "-s", scale, "postgres"])
        self.psql(self.port, "create unlogged table sink (row text); checkpoint")

    def where(self, port):
        return ["-h", HOST, "-p", port, "-U", "postgres"]

    def psql(self, port, statement, *more, **options):
        return run([f"{self.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *self.where(port),
                    "-d", "postgres", *more, "-c", statement], **options)

    def answers(self, port):
        try:
            return self.psql(port, "select 1", limit_s=5).strip() == "1"
        except BenchError:
            return False

    def pgbench(self, running, arguments, seconds):
        """Transactions a second, and the proxy's processor time for each."""
        pids = running.pids()
        before = cpu_seconds(pids)
        text = run([f"{self.bin}/pgbench", "-n", *self.where(running.port), *arguments,
                    "-T", seconds, "postgres"], limit_s=seconds + 60)
        spent = cpu_seconds(pids) - before
        count = int(re.search(r"actually processed: (\d+)", text).group(1))
        figures = {"rate": float(re.search(r"^tps = ([\d.]+)", text, re.M).group(1)),
                   "latency_ms": float(re.search(r"latency average = ([\d.]+)", text).group(1))}
        if pids and count:
            figures["cpu_us"] = spent / count * 1e6
        return figures

    def copy(self, running, into):
        """COPY of all rows, out of nothing or into nothing."""
        pids = running.pids()
        before = cpu_seconds(pids)
        began = time.monotonic()
        if into:
            if not self.copy_file.exists():
                write_rows(self.copy_file, self.rows)
                began = time.monotonic()
            with open(self.copy_file, "rb") as rows:
                self.psql(running.port, "copy sink from stdin where false", stdin=rows)
        else:
            self.psql(running.port, f"copy (select repeat('x', {ROW}) from "
                      f"generate_series(1, {self.rows})) to stdout", "-o", "/dev/null")
        seconds = time.monotonic() - began
        gigabytes = self.rows * (ROW + 1) / 1e9
        figures = {"rate": gigabytes / seconds}
        if pids:
            figures["cpu_per_gb"] = (cpu_seconds(pids) - before) / gigabytes
        return figures

def write_rows(path, rows):
    line = b"x" * ROW + b"\n"
    with open(path, "wb") as f:
        for _ in range(rows // 100):
            f.write(line * 100)
        f.write(line * (rows % 100))

def pgbench_cells(cores):
    def threads(clients):
        return ["-c", clients, "-j", min(clients, cores)]
    cells = {f"pgbench -S c={c}": ["-S", "-M", "prepared", *threads(c)] for c in (1, 8, 64)}
    cells["pgbench -S -C c=8"] = ["-S", "-C", *threads(8)]
    cells["pgbench TPC-B c=8"] = ["-M", "prepared", *threads(8)]
    return cells
