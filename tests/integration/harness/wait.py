"""Waiting for conditions: the only way these tests wait for anything."""

import time


def wait_until(condition, timeout=10.0, what=None, step=0.002):
    """Returns the first true result of condition(); fails after timeout seconds.

    what may be a text or a function that describes what was seen instead."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {timeout} s: {text or condition}")
        time.sleep(step)


def holds_for(condition, duration, what=None, step=0.005):
    """Checks that condition() stays true: for promises that something does not
    happen. duration is the promise's own time, never a guess at how long
    something takes."""
    deadline = time.monotonic() + duration
    while time.monotonic() < deadline:
        assert condition(), what or "it changed"
        time.sleep(step)
