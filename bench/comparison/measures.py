"""What is measured, and the rounds: every contestant once, then again."""

import json
import subprocess
import sys
import time

from .postgres import Postgres, pgbench_cells
from .processes import BenchError, answers

MODES = ["idle", "rtt", "bulk", "mixed", "setups", "pgbench", "copy", "failover"]


def load_cells():
    """(mode, cell, bench_load's arguments)"""
    cells = [("rtt", f"rtt {label} c={c}", ["rtt", f"--size={size}", f"--connections={c}"])
             for size, label in ((100, "100B"), (8192, "8KiB")) for c in (1, 16, 128)]
    return cells + [
        ("bulk", "bulk to client", ["bulk"]),
        ("bulk", "bulk to server", ["bulk", "--to-server"]),
        ("mixed", "mixed 64 + bulk", ["mixed", "--connections=64"]),
        ("setups", "setups 16 at once", ["setups", "--connections=16"]),
    ]


def say(text):
    print(text, file=sys.stderr, flush=True)


def load_figures(bench, arguments, running):
    pids = running.pids()
    command = [str(bench.build / "bench/bench_load"), *arguments, f"--port={running.port}",
               f"--duration-ms={bench.duration_ms}", f"--warm-up-ms={bench.warm_up_ms}",
               *(f"--pid={pid}" for pid in pids)]
    limit_s = 60 + bench.duration_ms / 1000
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=limit_s,
                                stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"bench_load has not ended in {limit_s:.0f} s") from None
    if result.returncode != 0:
        raise BenchError(result.stderr.strip() or "bench_load was killed")
    return interpret(json.loads(result.stdout), arguments[0], bool(pids))


def interpret(seen, mode, has_cpu):
    figures = {}
    if mode in ("rtt", "mixed", "setups"):
        figures["rate"] = seen["turns"] / seen["seconds"]
        figures |= {k: seen[k] for k in ("p50_us", "p99_us", "p999_us") if k in seen}
        if has_cpu and mode != "mixed" and seen["turns"]:
            figures["cpu_us"] = seen["cpu_s"] / seen["turns"] * 1e6
    if mode in ("bulk", "mixed"):
        figures["gb_per_s"] = seen["bytes"] / 1e9 / seen["seconds"]
        if has_cpu and mode == "bulk" and seen["bytes"]:
            figures["cpu_per_gb"] = seen["cpu_s"] / (seen["bytes"] / 1e9)
    return figures


def add(samples, cell, name, measure):
    """One round of one contestant; a failure is told and leaves a gap."""
    try:
        figures = measure()
    except BenchError as error:
        say(f"{cell}, {name}: {error}")
        figures = None
    samples.setdefault(cell, {}).setdefault(name, []).append(figures)


def turned(items, number):
    """So that nobody always comes after the same other."""
    start = number % len(items)
    return items[start:] + items[:start]


def run_rounds(bench, samples, running, cells, settle_s=0.05):
    """cells: (cell, function of a Running that answers figures)"""
    for number in range(bench.rounds):
        began = time.monotonic()
        for cell, measure in cells:
            for r in turned(running, number):
                add(samples, cell, r.name, lambda m=measure, r=r: m(r))
                time.sleep(settle_s)
        say(f"round {number + 1} of {bench.rounds}: {time.monotonic() - began:.0f} s")


def idle_figures(bench, running, count):
    """Memory of a fresh program, and what count idle sessions add to it."""
    start = running.private_bytes()
    command = [str(bench.build / "bench/bench_load"), "idle", f"--connections={count}",
               f"--port={running.port}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as load:
        opened = load.stdout.readline()
        if not opened:
            raise BenchError(load.stderr.read().decode().strip())
        time.sleep(0.5)
        figures = {"start_bytes": start, "sessions": count,
                   "idle_bytes": (running.private_bytes() - start) / count,
                   "descriptors": running.descriptors()}
        load.stdin.close()
        load.wait()
    time.sleep(0.5)
    return figures


def measure_idle(bench, samples, running):
    """Once each: memory hardly varies, and only a fresh program shows it."""
    for r in running:
        # Four more descriptors a session do not fit.
        if r.process is not None and not r.name.startswith("floor-splice"):
            add(samples, "idle 5000", r.name, lambda r=r: idle_figures(bench, r, 5000))
    for r in running:
        if r.contestant.is_ours:
            add(samples, "idle 9000", r.name, lambda r=r: idle_figures(bench, r, 9000))


def measure_loads(bench, threads):
    """Everything against bench_server, with so many threads in each proxy."""
    samples = {}
    server = bench.start_server()
    contestants = [c for c in bench.contestants if not c.postgres_only]
    running = bench.start_all(contestants, server.port, threads, answers)
    if "idle" in bench.modes:
        measure_idle(bench, samples, running)
    cells = [(cell, lambda r, a=arguments: load_figures(bench, a, r))
             for mode, cell, arguments in load_cells() if mode in bench.modes]
    run_rounds(bench, samples, running, cells)
    bench.end_all(running)
    bench.programs.end(server)
    return samples


def measure_postgres(bench, threads):
    samples = {}
    postgres = Postgres(bench.programs, bench.scale, bench.copy_bytes)
    contestants = [c for c in bench.contestants
                   if not c.is_floor or c.name in ("floor-copy", "floor-splice-1m")]
    running = bench.start_all(contestants, postgres.port, threads, postgres.answers)
    cells = []
    if "pgbench" in bench.modes:
        cells += [(cell, lambda r, a=arguments: postgres.pgbench(r, a, bench.pgbench_s))
                  for cell, arguments in pgbench_cells(bench.cores).items()]
    if "copy" in bench.modes:
        cells += [("copy out", lambda r: postgres.copy(r, False)),
                  ("copy in", lambda r: postgres.copy(r, True))]
    run_rounds(bench, samples, running, cells)
    bench.end_all(running)
    return samples
