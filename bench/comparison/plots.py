"""Which plots there are."""

import math

from . import figures as f
from .plot import bars

REFERENCE = "haproxy"

# file, title, figure, the cells' beginnings
RATIOS = [
    ("round-trips", "Round trips, more is better", "rate", ("rtt", "setups")),
    ("cpu-per-round-trip", "Processor time of the proxy, less is better", "cpu_us",
     ("rtt", "setups")),
    ("bulk", "One stream, more is better", "gb_per_s", ("bulk",)),
    ("cpu-per-byte", "Processor time of the proxy, less is better", "cpu_per_gb", ("bulk",)),
    ("postgres", "PostgreSQL, more is better", "rate", ("pgbench", "copy")),
]
ABSOLUTES = [
    ("mixed", "64 small ones beside a stream: p99, less is better", "us", "p99_us", ("mixed",)),
    ("latency", "Round trip of 100 B: p99, less is better", "us", "p99_us", ("rtt 100B",)),
    ("memory", "Private memory of an idle session, less is better", "B", "idle_bytes",
     ("idle 5000",)),
]


def groups_of(samples, figure, starts, names, bar):
    groups = []
    for cell in samples:
        if cell.startswith(starts):
            series = [(n, *b) for n in names if (b := bar(samples, cell, figure, n)) is not None]
            if series:
                groups.append((cell, series))
    return groups


def absolute(samples, cell, figure, name):
    ends = f.extremes(samples, cell, name, figure)
    if ends is None or ends[1] < 0:
        return None
    return max(f.median(samples, cell, name, figure), 0), max(ends[0], 0), ends[1]


def to_reference(samples, cell, figure, name):
    r = f.ratio(samples, cell, figure, name, REFERENCE)
    if r is None:
        return None
    noise = 0 if math.isinf(r.noise) else r.noise
    return r.value, max(r.value - noise, 0), r.value + noise


def charts(samples, names):
    for file, title, figure, starts in RATIOS:
        groups = groups_of(samples, figure, starts, names, to_reference)
        if groups:
            yield file, bars(title, f"to {REFERENCE}", groups, 1)
    for file, title, unit, figure, starts in ABSOLUTES:
        groups = groups_of(samples, figure, starts, names, absolute)
        if groups:
            yield file, bars(title, unit, groups)


def blackout(failover):
    """From bench/failover's figures."""
    groups = []
    rows = ("last server side cut", "last session cut", "proxy info seen", "new leader served")
    for row in rows:
        series = [(name, *(figures[row][k] for k in ("median", "min", "max")))
                  for name, figures in failover if row in figures]
        groups.append((row, series))
    return bars("The leader is withdrawn, the next one named", "ms", groups)


def write(folder, results):
    names = results["names"]
    folder.mkdir(parents=True, exist_ok=True)
    last = list(results["loads"].items())[-1:]
    sections = [samples for _, samples in last] + [results.get("postgres") or {}]
    for samples in sections:
        for file, svg in charts(samples, names):
            (folder / f"{file}.svg").write_text(svg)
    if results.get("failover"):
        measured = results["failover"]["measured"][0]
        found = [(n, measured[k]["figures"]) for n, k in (("pgsplice", "proxy"),
                                                          ("floor-copy", "floor"))
                 if k in measured]
        renamed = [("floor" if n == "floor-copy" else n, x) for n, x in found]
        (folder / "blackout.svg").write_text(blackout(renamed))
