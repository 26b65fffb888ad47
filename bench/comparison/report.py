"""The table, and what pgsplice promises, held against it."""

from . import figures as f

UNITS = {"rate": "/s", "gb_per_s": "GB/s", "cpu_us": "us CPU each", "cpu_per_gb": "s CPU/GB",
         "p50_us": "us p50", "p99_us": "us p99", "p999_us": "us p99.9", "latency_ms": "ms mean",
         "idle_bytes": "B/session", "start_bytes": "B at start", "descriptors": "descriptors"}
# Where an interval holds the bound: noise up to this counts as "in noise", beyond
# it nothing was shown.
CLEAR = 0.1
HIDDEN = {"sessions", "p999_us", "latency_ms"}
FLOORS = ["floor-copy", "floor-splice-64k", "floor-splice-1m"]
SPLICE_FLOOR = "floor-splice-1m"
OURS = "pgsplice"

# Of the floors to HAProxy, as first measured: a floor far below is no floor.
KNOWN_FLOORS = {
    ("rtt 100B c=1", "rate"): {"floor-copy": 1.23, "floor-splice-64k": 1.26,
                               "floor-splice-1m": 1.15},
    ("rtt 100B c=16", "rate"): {"floor-copy": 1.01, "floor-splice-64k": 0.89,
                                "floor-splice-1m": 0.99},
    ("rtt 100B c=128", "rate"): {"floor-copy": 1.15, "floor-splice-64k": 1.04,
                                 "floor-splice-1m": 1.05},
    ("bulk to client", "gb_per_s"): {"floor-copy": 1.87, "floor-splice-64k": 1.93,
                                     "floor-splice-1m": 2.43},
    ("setups 16 at once", "rate"): {"floor-copy": 1.04, "floor-splice-64k": 1.02,
                                    "floor-splice-1m": 0.87},
}


def unit_of(cell, figure):
    if cell.startswith("copy") and figure == "rate":
        return "GB/s"
    return "tps" if cell.startswith("pgbench") and figure == "rate" else UNITS[figure]


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f}M"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def lines_of(table):
    """Columns as wide as they must be; the first one to the left."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        yield "  ".join(text.ljust(w) if i == 0 else text.rjust(w)
                        for i, (text, w) in enumerate(zip(row, widths))).rstrip()


def visible_rows(samples):
    return [(cell, figure) for cell, figure in f.rows(samples) if figure not in HIDDEN]


def medians_table(samples, names):
    names = [n for n in names if any(n in by_name for by_name in samples.values())]
    table = [["median", *names]]
    for cell, figure in visible_rows(samples):
        table.append([f"{cell}, {unit_of(cell, figure)}",
                      *(number(f.median(samples, cell, n, figure)) for n in names)])
    return lines_of(table)


def ratios_table(samples, ours):
    table = [[f"{ours}", "min", "median", "max", "to haproxy", "to the floor", "which",
              "to direct"]]
    for cell, figure in visible_rows(samples):
        ends = f.extremes(samples, cell, ours, figure)
        if ends is None:
            continue
        floor = f.best(samples, cell, figure, FLOORS)
        to = [f.ratio(samples, cell, figure, ours, other) if other else None
              for other in ("haproxy", floor, "direct")]
        table.append([f"{cell}, {unit_of(cell, figure)}", number(ends[0]),
                      number(f.median(samples, cell, ours, figure)), number(ends[1]),
                      *("-" if r is None else str(r) for r in to)])
        table[-1].insert(6, floor or "-")
    return lines_of(table)


def added_latency(samples, names):
    """(contestant, p50, p99 above direct in us) of one small message at a time."""
    cell = "rtt 100B c=1"
    for name in names:
        added = []
        for figure in ("p50_us", "p99_us"):
            own, direct = (f.median(samples, cell, n, figure) for n in (name, "direct"))
            added.append(None if own is None or direct is None else own - direct)
        if name != "direct" and added[0] is not None:
            yield name, *added


def verdict(low, high, wanted, cost):
    """Of an interval and the bound that it should keep."""
    if low >= wanted if not cost else high <= wanted:
        return "holds"
    if high < wanted if not cost else low > wanted:
        return "BROKEN"
    return "in noise" if high - low <= 2 * CLEAR else "unclear"


def at_least(samples, cell, figure, reference, wanted):
    """One promise: (verdict or None if not measured, text)."""
    r = f.ratio(samples, cell, figure, OURS, reference) if reference else None
    cost = figure in f.COSTS
    if r is None:
        return None, ""
    text = f"{cell}, {unit_of(cell, figure)}: {'<=' if cost else '>='} {wanted} x {reference}: {r}"
    return verdict(r.value - r.noise, r.value + r.noise, wanted, cost), text


def at_most(samples, cell, figure, wanted):
    value = f.median(samples, cell, OURS, figure)
    if value is None:
        return None, ""
    return (verdict(value, value, wanted, True),
            f"{cell}, {unit_of(cell, figure)}: <= {wanted}: {number(value)}")


def load_promises(samples, peers):
    for c in (1, 16, 128):
        cell = f"rtt 100B c={c}"
        yield at_least(samples, cell, "rate", f.best(samples, cell, "rate", FLOORS), 0.97)
        yield at_least(samples, cell, "cpu_us", f.best(samples, cell, "cpu_us", FLOORS), 1.08)
        for peer in peers:
            yield at_least(samples, cell, "rate", peer, 1)
    for cell in ("bulk to client", "bulk to server"):
        yield at_least(samples, cell, "gb_per_s", SPLICE_FLOOR, 0.97)
        yield at_least(samples, cell, "cpu_per_gb", SPLICE_FLOOR, 1.15)
    cell = "setups 16 at once"
    yield at_least(samples, cell, "rate", f.best(samples, cell, "rate", FLOORS), 0.97)
    yield at_least(samples, "mixed 64 + bulk", "p99_us", "haproxy", 2)
    yield at_most(samples, "idle 5000", "idle_bytes", 600)
    yield at_most(samples, "idle 9000", "descriptors", 20000)


def postgres_promises(samples):
    for c in (1, 8, 64):
        yield at_least(samples, f"pgbench -S c={c}", "rate", "haproxy", 1)


def floor_checks(samples):
    """A floor more than a tenth and the noise below what is known is not valid."""
    for (cell, figure), known in KNOWN_FLOORS.items():
        for name, ratio in known.items():
            r = f.ratio(samples, cell, figure, name, "haproxy")
            if r is not None and r.value + r.noise < 0.9 * ratio:
                yield "INVALID", f"{name}, {cell}: {r} x haproxy, known is {ratio}"


def check_lines(checks):
    return [f"  {word:8}  {text}" for word, text in checks if word is not None]


def text_of(results):
    """The whole report."""
    names, ours, machine = results["names"], results["ours"], results["machine"]
    lines = [f"{machine['cores']} cores ({machine['processor']}), Linux {machine['kernel']}, "
             f"{machine['congestion']}, {results['date']}, {results['rounds']} rounds of "
             f"{results['duration_ms']} ms"]
    peers = [n for n in names if n not in (*FLOORS, *ours, "direct", "pgbouncer")]
    sections = [*results["loads"].items()]
    if results.get("postgres"):
        sections.append((None, results["postgres"]))
    for threads, samples in sections:
        title = "PostgreSQL" if threads is None else f"{threads} thread(s) in each proxy"
        lines += ["", f"== {title}", "", *medians_table(samples, names)]
        for name in ours:
            lines += ["", *ratios_table(samples, name)]
        latencies = [f"  {n} {number(p50)} {number(p99)}"
                     for n, p50, p99 in added_latency(samples, names)]
        if latencies:
            lines += ["", "added latency over direct, 100 B, one connection, us p50 and p99:",
                      *latencies]
        promises = (postgres_promises(samples) if threads is None
                    else [*load_promises(samples, peers), *floor_checks(samples)])
        checks = check_lines(promises)
        if checks:
            lines += ["", "promises (± is the noise of the paired rounds):", *checks]
    return "\n".join(lines)
