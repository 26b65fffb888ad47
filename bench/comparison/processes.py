"""Programs that the bench starts and ends, and what /proc says of them."""

import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import time

HOST = "127.0.0.1"
TICK = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """What the user is to be told in one line."""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind((HOST, 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def free_port():
    return free_ports(1)[0]


def wait_until(condition, what, limit_s=30, step_s=0.02):
    give_up = time.monotonic() + limit_s
    while time.monotonic() < give_up:
        result = condition()
        if result:
            return result
        time.sleep(step_s)
    raise BenchError(f"waited {limit_s} s in vain for {what}")


def answers(port):
    """Whether a connection reaches bench_server."""
    try:
        with socket.create_connection((HOST, port), 2) as s:
            s.settimeout(2)
            s.sendall(b"n")
            return s.recv(1) == b"n"
    except OSError:
        return False


def plain_user():
    """As whom programs run that refuse to be root: arguments for subprocess."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise BenchError("run as root, but there is no user postgres") from None
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Programs:
    """Everything that was started; ended in reverse order by close(). Each also
    ends when this process does."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.running = []

    def start(self, name, command, end_by=signal.SIGTERM, **more):
        log_path = self.folder / f"{name}.log"
        with open(log_path, "ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
                stdin=more.pop("stdin", subprocess.DEVNULL), stderr=log,
                stdout=more.pop("stdout", log), **more)
        process.bench_log = log_path
        process.bench_end_by = end_by
        self.running.append(process)
        return process

    def end(self, process):
        self.running.remove(process)
        if process.poll() is None:
            process.send_signal(process.bench_end_by)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self):
        while self.running:
            self.end(self.running[-1])


def tree(pid):
    """pid and all its descendants."""
    pids = [pid]
    for parent in pids:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                text = pathlib.Path(f"/proc/{parent}/task/{task}/children").read_text()
                pids += [int(child) for child in text.split()]
        except OSError:
            pass
    return pids


def cpu_seconds(pids):
    """utime + stime of all threads, also of those that have ended."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def private_bytes(pids):
    """Written pages. Clean ones are the file's, and count as private only while nobody
    else runs the same program."""
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(kb) for kb in re.findall(r"^Private_Dirty:\s+(\d+) kB", text, re.M))
    return total * 1024


def descriptors(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
