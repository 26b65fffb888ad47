"""Medians, and ratios of rounds that were measured side by side.

Samples are {cell: {contestant: [figures of a round, None if it failed]}}, figures
are {name: number}."""

import math
import statistics
import typing

# Where less is better.
COSTS = {"p50_us", "p99_us", "p999_us", "cpu_us", "cpu_per_gb", "latency_ms", "idle_bytes",
         "start_bytes"}


class Ratio(typing.NamedTuple):
    value: float  # the median of the rounds' ratios
    noise: float  # two standard errors of that median; nothing known by one round

    def __str__(self):
        return f"{self.value:.2f}±{'?' if math.isinf(self.noise) else f'{self.noise:.2f}'}"


def values(samples, cell, name, figure):
    rounds = samples.get(cell, {}).get(name, [])
    return [None if r is None else r.get(figure) for r in rounds]


def median(samples, cell, name, figure):
    found = [v for v in values(samples, cell, name, figure) if v is not None]
    return statistics.median(found) if found else None


def extremes(samples, cell, name, figure):
    found = [v for v in values(samples, cell, name, figure) if v is not None]
    return (min(found), max(found)) if found else None


def ratio(samples, cell, figure, name, reference):
    """None if they have no round in common."""
    pairs = zip(values(samples, cell, name, figure), values(samples, cell, reference, figure))
    found = [a / b for a, b in pairs if a is not None and b]
    if not found:
        return None
    middle = statistics.median(found)
    if len(found) < 2:
        return Ratio(middle, math.inf)
    spread = statistics.median(abs(r - middle) for r in found)
    # 1.4826: from this spread to a standard deviation; 1.2533: a median's error.
    return Ratio(middle, 2 * 1.4826 * 1.2533 * spread / math.sqrt(len(found)))


def best(samples, cell, figure, names):
    """Of these contestants the one whose median is best, None if none was measured."""
    found = [(median(samples, cell, name, figure), name) for name in names]
    found = [pair for pair in found if pair[0] is not None]
    if not found:
        return None
    return (min if figure in COSTS else max)(found)[1]


def rows(samples):
    """(cell, figure) of all that was measured, in order."""
    seen = {}
    for cell, by_name in samples.items():
        for rounds in by_name.values():
            for figures in rounds:
                for figure in figures or ():
                    seen[cell, figure] = True
    return list(seen)
