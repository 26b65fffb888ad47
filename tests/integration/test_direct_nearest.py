"""--direct-balance=nearest, with members whose first answers take a time of their own."""

import random
import time

import pytest

from harness import echoes, wait_until

FOLLOWS_WITHIN_S = 5
# Far apart: the machine adds to both.
NEAR_S, FAR_S = 0.02, 0.2
NOISY_S = 0.6  # long, so that the machine adds little to the noise


@pytest.fixture
def start(make_direct):
    """A function that starts a stage whose standbys answer after these seconds."""
    def start_with(*delays, **keywords):
        stage = make_direct(standbys=len(delays), check_interval="1s", **keywords)
        for i, delay in enumerate(delays, 2):
            stage.servers[f"db{i}"].delay = delay
        stage.start("--direct-balance=nearest")
        return stage

    return start_with


def wait_until_nearest(stage, uid, timeout=FOLLOWS_WITHIN_S):
    seen = []

    def is_nearest():
        seen[:] = stage.met(3)
        return seen == [uid] * 3

    began = time.monotonic()
    wait_until(is_nearest, timeout, lambda: f"clients meet {seen}, not {uid}", step=0.02)
    return time.monotonic() - began


def measured(stage, times):
    """Until each standby has answered so many times more."""
    counts = {uid: s.answers + times for uid, s in stage.servers.items() if uid != "db1"}
    wait_until(lambda: all(stage.servers[uid].answers >= n for uid, n in counts.items()),
               times * 2 + 3, step=0.02)


def test_clients_follow_the_nearest_when_it_is_slowed(start):
    stage = start(FAR_S, NEAR_S, 2 * FAR_S)
    wait_until_nearest(stage, "db3")
    client = stage.direct_on("db3")
    stage.servers["db3"].delay = 4 * FAR_S
    wait_until_nearest(stage, "db2")
    stage.servers["db4"].delay = NEAR_S
    wait_until_nearest(stage, "db4")
    assert echoes(client)  # only new ones


def test_one_slow_answer_moves_nobody(start):
    stage = start(NEAR_S, FAR_S)
    measured(stage, 3)
    assert stage.met() == ["db2"]
    slow = iter([4 * FAR_S])
    stage.servers["db2"].delay = lambda: next(slow, NEAR_S)
    for _ in range(2):
        measured(stage, 1)
        assert stage.met(3) == ["db2"] * 3


def noisy(seconds):
    return lambda: seconds * random.uniform(0.85, 1.15)


def count_changes(stage, times):
    measured(stage, 2)
    before, = stage.met(1)
    assert before != "db1"  # the leader, which answers at once
    changes = 0
    for _ in range(times):
        measured(stage, 1)
        names = set(stage.met(4))
        changes += names != {before}
        before = names.pop()
    return changes


def test_noise_of_15_percent_moves_nobody(start):
    assert count_changes(start(noisy(NOISY_S), noisy(NOISY_S)), 2) == 0


@pytest.mark.full
def test_noise_of_15_percent_hardly_moves_anybody_in_a_minute(start):
    """A busy machine may add as much twice in a row, but that is all."""
    assert count_changes(start(noisy(NOISY_S), noisy(NOISY_S), noisy(NOISY_S)), 40) <= 1


def test_nearest_that_refuses_is_left_at_once_and_comes_back(start):
    stage = start(NEAR_S, FAR_S)
    wait_until_nearest(stage, "db2")
    stage.servers["db2"].close()
    assert stage.met(12) == ["db3"] * 12
    stage.start_again("db2").delay = NEAR_S
    wait_until_nearest(stage, "db2", 6)


def test_nearest_that_accepts_and_answers_nothing_is_left(start):
    """A server that hangs: no connect fails, but the questions are never answered."""
    stage = start(NEAR_S, FAR_S)
    wait_until_nearest(stage, "db2")
    stage.servers["db2"].delay = 3600
    wait_until_nearest(stage, "db3")
