"""The program that asks servers what they are (tests/integration/probe_cli)."""

import json
import os
import subprocess
import threading

from .process import ENVIRONMENT, binary
from .wait import wait_until

CONNINFO = "user=postgres"


def program():
    path = os.path.join(os.path.dirname(binary()),
                        "../tests/integration/probe_cli/probe_cli")
    assert os.access(path, os.X_OK), f"{path} is not built"
    return path


def ask_once(port, conninfo=CONNINFO, method="sql", timeout_ms=2000, env=None, address="127.0.0.1"):
    """The first result as a dictionary."""
    done = subprocess.run([program(), method, address, str(port), conninfo, str(timeout_ms),
                           "1000", "0"], env={**ENVIRONMENT, **(env or {})}, timeout=20,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def cost(port, count, seconds, conninfo=CONNINFO):
    """What it costs to ask that many times a second, over connections of their own."""
    done = subprocess.run([program(), "sql", "127.0.0.1", str(port), conninfo, "2000", "1000",
                           str(seconds), str(count)], env=ENVIRONMENT, timeout=seconds + 20,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


class Probing:
    """Asks again and again until closed."""

    def __init__(self, port, conninfo=CONNINFO, timeout_ms=2000, interval_ms=1000):
        self.results = []
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program(), "sql", "127.0.0.1", str(port), conninfo,
             str(timeout_ms), str(interval_ms), "600"], env=ENVIRONMENT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.results.append(json.loads(line))

    def mark(self):
        return len(self.results)

    def wait_for(self, outcome, timeout=10.0, start=0):
        """The first result with this outcome at or after start."""
        return wait_until(
            lambda: next((r for r in self.results[start:] if r["outcome"] == outcome), None),
            timeout, lambda: f"{outcome} in {self.results[start:]}")

    def hurry(self):
        self.process.stdin.write(b"h")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        self.process.stdin.close()
        self.process.stdout.close()
