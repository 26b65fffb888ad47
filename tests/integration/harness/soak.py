"""The traffic program (tests/integration/traffic), as a burst and as a soak."""

import os
import random
import re
import subprocess
import threading

import pytest

from .process import binary

MOST_SESSIONS = 2000000


def traffic_program():
    path = os.environ.get("PGSPLICE_TRAFFIC") or os.path.join(
        os.path.dirname(binary()), "../tests/integration/traffic/traffic")
    if not os.path.exists(path):
        pytest.skip("no traffic program beside PGSPLICE_BIN")
    return path


def _counts(text):
    return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", text)}


def _command(stage, *numbers):
    return [str(part) for part in (traffic_program(), stage.proxy.port, stage.server_port,
                                   *numbers)]


def run_traffic(stage, sessions, concurrency, max_bytes, limit_s):
    """A burst of sessions, all of them complete. Returns the program's counts."""
    seed = random.randrange(1, 1 << 30)
    done = subprocess.run(_command(stage, sessions, concurrency, max_bytes, seed),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=limit_s, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
    counts = _counts(done.stdout)
    assert counts["sessions"] == sessions and counts["wrong"] == 0
    return counts


def run_soak(stage, seconds, concurrency, max_bytes, cut):
    """Sessions for so many seconds. Whenever the program asks for it, cut() cuts
    them all and returns when clients are served again."""
    seed = random.randrange(1, 1 << 30)
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL",
         *_command(stage, MOST_SESSIONS, concurrency, max_bytes, seed, seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = threading.Timer(seconds + 90, process.kill)
    limit.start()
    output, cuts = "", 0
    try:
        for line in process.stdout:
            if line != "cut\n":
                output += line
                continue
            cut()
            cuts += 1
            process.stdin.write("x")
            process.stdin.flush()
    finally:
        limit.cancel()
        process.kill()
        status = process.wait()
        process.stdin.close()
        process.stdout.close()
    assert status == 0, f"seed {seed}, status {status}: {output}"
    return {**_counts(output), "cuts": cuts}
