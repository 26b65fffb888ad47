"""Real etcd servers that tests may kill, stop, wipe and cut off: one, or a cluster."""

import os
import shutil
import signal
import subprocess

from .etcd_store import EtcdClient
from .ports import free_port
from .wait import wait_until


def program():
    found = os.environ.get("ETCD_BIN") or shutil.which("etcd")
    assert found, "etcd is not installed"
    return found


class Etcd:
    """One member. start() may be called again after stop() or kill().

    launcher is put before the program, as for a network namespace."""

    def __init__(self, folder, name="one", host="127.0.0.1", peer_host=None, launcher=(),
                 options=()):
        self.folder = os.path.join(str(folder), name)
        self.name = name
        self.launcher = launcher
        self.options = list(options)
        self.host = host
        self.port = free_port()
        self.url = f"http://{host}:{self.port}"
        self.peer_url = f"http://{peer_host or host}:{free_port()}"
        self.initial = f"{name}={self.peer_url}"
        self.client = EtcdClient([self.url])
        self.process = None
        os.makedirs(self.folder, exist_ok=True)

    @property
    def data(self):
        return os.path.join(self.folder, "data")

    @property
    def pid(self):
        return self.process.pid

    def launch(self):
        with open(self.folder + "/log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.launcher, program(),
                 "--name", self.name, "--data-dir", self.data,
                 "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                 "--listen-peer-urls", self.peer_url,
                 "--initial-advertise-peer-urls", self.peer_url,
                 "--initial-cluster", self.initial, "--heartbeat-interval=30",
                 "--election-timeout=300", "--log-level=warn", "--bcrypt-cost=4",
                 *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self):
        """Returns self once it answers a linearizable read."""
        self.launch()
        return self.wait_until_it_answers()

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            self.client.call("/kv/range", {"key": "AA=="}, timeout=2)
            return True
        except OSError as error:
            # With accounts that is an answer, too.
            return "user name is empty" in str(error) or "auth token" in str(error)

    def wait_until_it_answers(self, timeout=30):
        wait_until(self.answers, timeout, self.log, step=0.01)
        return self

    def log(self):
        with open(self.folder + "/log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def status(self):
        return self.client.call("/maintenance/status", {})

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, number=signal.SIGTERM):
        if self.is_running():
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        self.stop(signal.SIGKILL)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

        def stands():
            folder = f"/proc/{self.pid}/task"
            states = [open(f"{folder}/{tid}/stat", encoding="utf-8").read().rsplit(")", 1)[1]
                      for tid in os.listdir(folder)]
            return all(s.split()[0] == "T" for s in states)

        wait_until(stands, what="a stopped etcd")

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def wipe(self):
        """Forgets all data; it must not be running."""
        shutil.rmtree(self.data)


class EtcdCluster:
    """Members on loopback, or where place(index) puts them: (host, peer host,
    launcher)."""

    def __init__(self, folder, count=3, place=lambda index: ("127.0.0.1", None, ())):
        self.members = []
        for i in range(count):
            host, peer_host, launcher = place(i)
            self.members.append(Etcd(folder, f"m{i}", host, peer_host, launcher))
        for member in self.members:
            member.initial = ",".join(f"{m.name}={m.peer_url}" for m in self.members)

    def start(self):
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_until_it_answers()
        return self

    @property
    def urls(self):
        return [m.url for m in self.members]

    def leader(self, among=None):
        """The member that leads, as those in `among` see it; waits for one."""

        def found():
            ids = {}
            leaders = set()
            for member in among or self.members:
                try:
                    status = member.status()
                except OSError:
                    return None
                ids[status["header"]["member_id"]] = member
                leaders.add(status.get("leader"))
            return ids.get(leaders.pop()) if len(leaders) == 1 else None

        return wait_until(found, 20, "a leader", step=0.02)

    def stop(self):
        for member in self.members:
            member.kill()
