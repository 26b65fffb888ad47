"""packaging/quickstart, which is what a newcomer runs first, with the program under
test: it shows what README.md says, and leaves nothing behind."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

from harness import binary, free_port, is_listening, wait_until
from harness.process import ENVIRONMENT

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "packaging/quickstart"
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIMIT_S = 120


def segments_of_all():
    """(process that made it, number) of each one of System V's shared memory"""
    lines = pathlib.Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    return {(fields[4], fields[1]) for fields in map(str.split, lines)}


class Run:
    """One quickstart, with a temporary directory of its own for all of its files."""

    def __init__(self, *args):
        self.folder = tempfile.mkdtemp(prefix="pgsplice-test-quickstart-")
        os.chmod(self.folder, 0o755)
        self.port, self.direct_port = free_port(), free_port()
        self.segments = set()  # of shared memory, that its servers ever had
        self.output = os.path.join(self.folder, "output")
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [QUICKSTART, "--no-install", f"--port={self.port}",
                 f"--direct-port={self.direct_port}", *args],
                env={**ENVIRONMENT, "PGSPLICE_BIN": binary(), "TMPDIR": self.folder},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def text(self):
        return pathlib.Path(self.output).read_text(encoding="utf-8")

    def wait_for(self, pattern):
        wait_until(lambda: self.has_ended() or re.search(pattern, self.text(), re.M), LIMIT_S,
                   self.text, step=0.05)
        assert not self.has_ended(), self.text()

    def has_ended(self):
        for file in pathlib.Path(self.folder).glob("*/db?/postmaster.pid"):
            try:
                lines = file.read_text(encoding="ascii").splitlines()
            except OSError:
                continue
            if len(lines) >= 7 and lines[6].strip():
                self.segments.add((lines[0].lstrip("-"), lines[6].split()[1]))
        return self.process.poll() is not None

    def end(self):
        """Its exit status, once it is seen that nothing is left."""
        wait_until(self.has_ended, LIMIT_S, self.text, step=0.05)
        status = self.process.wait()
        assert not self.segments & segments_of_all()
        assert os.listdir(self.folder) == ["output"], self.text()
        assert self.processes() == []
        assert not is_listening(self.port) and not is_listening(self.direct_port)
        return status

    def processes(self):
        """What it has started knows its temporary directory."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(f"TMPDIR={self.folder}") in environment.split(b"\0"):
                found.append(pid)
        return found

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def quickstart():
    """A function that starts one."""
    started = []

    def start(*args):
        started.append(Run(*args))
        return started[-1]

    yield start
    for run in started:
        run.close()


def test_the_leader_is_killed_and_the_ports_answer_as_the_readme_says(quickstart):
    run = quickstart("--once")
    assert run.end() == 0, run.text()
    assert len(run.segments) >= 3  # db1, db2, db1 once more, and of initdb
    text = run.text().replace(str(run.port), "5432").replace(str(run.direct_port), "5433")
    shown = re.search(r"^select pg_is_in_recovery\(\):\n.*?(?=```)", README, re.M | re.S).group()
    assert single_spaced(shown) in single_spaced(text)
    assert "\n writes acknowledged to a client and lost 0\n" in single_spaced(text), text


def single_spaced(text):
    """Columns depend on the length of ports."""
    return re.sub(" +", " ", text)


@pytest.mark.full
@pytest.mark.parametrize("store", ["file", "etcd"])
def test_with_a_store_the_withdrawal_is_acknowledged(quickstart, store):
    run = quickstart("--once", f"--store={store}")
    assert run.end() == 0, run.text()
    assert re.search("^  leader withdrawn -> acknowledged +[0-9]", run.text(), re.M), run.text()


# Steps at which it is interrupted: before, between and after the servers' starts, and
# in the failover.
@pytest.mark.full
@pytest.mark.parametrize("step", ["starting db1", "starting db2", "starting pgsplice", "^READY",
                                  "filling", "killing", "promoting", "pgbench again"])
def test_ctrl_c_ends_all_of_it(quickstart, step):
    run = quickstart("--once")
    run.wait_for(step)
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130, run.text()


@pytest.mark.full
def test_it_waits_until_ctrl_c(quickstart):
    run = quickstart()
    run.wait_for("Ctrl-C ends it")
    assert re.search(f"^READY port={run.port} direct={run.direct_port}$", run.text(), re.M)
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130, run.text()


def test_shellcheck_has_nothing_to_say():
    scripts = [QUICKSTART, ROOT / "packaging/install-deps", *(ROOT / "packaging").glob("*.sh")]
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert done.stdout == ""
    assert done.returncode == 0
