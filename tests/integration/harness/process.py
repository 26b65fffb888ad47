"""A pgsplice process under test: its log, its life, what /proc says of it."""

import os
import re
import signal
import subprocess
import threading
import time

from .ports import free_port
from .wait import wait_until

ENVIRONMENT = {k: v for k, v in os.environ.items()
               if not k.startswith(("PGSPLICE_", "STPROXY_"))}


def binary():
    path = os.environ.get("PGSPLICE_BIN")
    if not path:
        raise RuntimeError("PGSPLICE_BIN must name the pgsplice program to test")
    return os.path.abspath(path)


def run_to_end(*args, env=None, timeout=10):
    """Runs pgsplice with args until it exits: for command lines it refuses."""
    return subprocess.run([binary(), *args], env={**ENVIRONMENT, **(env or {})}, timeout=timeout,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


class Pgsplice:
    """Starts at once. launcher is put before the program, such as
    ["prlimit", "--nofile=64"]; it must end in an exec, so that the pid is ours."""

    def __init__(self, store=None, args=(), port=None, listen=None, env=None, launcher=(),
                 read_log=True):
        self.store = store
        self.port = port or free_port()
        self.lines = []  # (monotonic time, text)
        command = ["setpriv", "--pdeathsig", "KILL", *launcher, binary()]
        if store is not None:
            command += [f"--cluster-name={store.cluster}", "--store-backend=file",
                        f"--store-endpoints={store.directory}"]
        command += [f"--port={self.port}", *args]
        if listen is not None:
            command.append(f"--listen-address={listen}")
        self.process = subprocess.Popen(command, env={**ENVIRONMENT, **(env or {})},
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.pid = self.process.pid
        self._uid = None
        self._reader = None
        if read_log:
            self.start_reading_log()

    # Log

    def start_reading_log(self):
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self):
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.decode(errors="replace").rstrip("\n")))

    def log(self, start=0):
        return [text for _, text in self.lines[start:]]

    def mark(self):
        """A position in the log, for start= below."""
        return len(self.lines)

    def find_log(self, pattern, start=0):
        return [text for text in self.log(start) if re.search(pattern, text)]

    def wait_for_log(self, pattern, timeout=10.0, start=0):
        """The first line at or after start that matches the regular expression."""
        return wait_until(lambda: (self.find_log(pattern, start) or [None])[0], timeout,
                          lambda: f"{pattern!r} in the log:\n" + "\n".join(self.log()))

    @property
    def uid(self):
        if self._uid is None:
            line = self.wait_for_log(r"proxy uid")
            self._uid = re.search(r"uid\W+([0-9a-f]{8})\b", line.split("proxy uid")[1]).group(1)
        return self._uid

    def set_uid(self, uid):
        """For a proxy whose log cannot tell."""
        self._uid = uid

    # Life

    def is_running(self):
        return self.process.poll() is None

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=10.0):
        code = self.process.wait(timeout)
        if self._reader is not None:
            self._reader.join(timeout)
        return code

    def stop(self, number=signal.SIGTERM, timeout=10.0):
        """Ends it and returns (exit status, seconds it took)."""
        began = time.monotonic()
        self.send_signal(number)
        code = self.process.wait(timeout)
        took = time.monotonic() - began
        if self._reader is not None:
            self._reader.join(timeout)
        return code, took

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()

    def freeze(self):
        """SIGSTOP, and waits until every thread stands."""
        self.send_signal(signal.SIGSTOP)
        wait_until(lambda: set(self.thread_states().values()) == {"T"}, what="stopped threads")

    def thaw(self):
        self.send_signal(signal.SIGCONT)

    def close(self):
        self.kill()
        if self._reader is not None:
            self._reader.join(5)
        self.process.stderr.close()

    # /proc

    def proc(self, name):
        with open(f"/proc/{self.pid}/{name}", encoding="utf-8") as f:
            return f.read()

    def status(self):
        return dict(line.split(":\t", 1) for line in self.proc("status").splitlines()
                    if ":\t" in line)

    def memory_kb(self, field="RssAnon"):
        return int(self.status()[field].split()[0])

    def cpu_seconds(self):
        fields = self.proc("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def threads(self):
        """{tid: name}"""
        names = {}
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            names[int(tid)] = self.proc(f"task/{tid}/comm").strip()
        return names

    def thread_states(self):
        return {int(tid): self.proc(f"task/{tid}/stat").rsplit(")", 1)[1].split()[0]
                for tid in os.listdir(f"/proc/{self.pid}/task")}
