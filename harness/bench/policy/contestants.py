"""Who orders: plain LRU; the policy, told all or told what the kernel tells it; and two who know what no kernel can.

oracle: when each unit is read next. Furthest first is the least possible for units of one size (Belady); for several
sizes it is the usual approximation. informed: what is never read again, and how long answers and users take in
general, which is as much as can be known of when they come: what is between it and the oracle is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.bench.policy import native
from harness.bench.policy.objects import NOBODY, Units
from harness.bench.policy.replay import NEVER, Memory, Order
from harness.bench.policy.timeline import Pace, State

SAMPLE, TAKEN = 64, 8  # objects that the kernel's shrinker compares, and takes of them (mm/agent_mem_lru.c)
HOT, WARM = 1, 2  # enum agent_temperature
IMPORTANCE = 500  # the default; no recording has another one
EPOCH = 1 << 32  # milliseconds that the machine has been up when the fleet comes: nothing was used at 0

Numbers = NDArray[np.int64]


def lru(memory: Memory, units: Units) -> Numbers:
    return memory.order[units]


def oracle(memory: Memory, units: Units) -> Numbers:
    return -memory.upcoming[units]


@dataclass(frozen=True)
class Holders:
    """Of each unit: the hottest state, the last access of the holder who has done least since, their number."""

    state: Numbers
    used: Numbers
    count: Numbers

    @staticmethod
    def of(memory: Memory, units: Units) -> Holders:
        owner = np.maximum(memory.table.owner[units], 0)
        told = Holders(memory.state[owner], memory.agent_used[owner], np.ones(len(units), np.int64))
        for place in np.flatnonzero(memory.table.owner[units] == NOBODY).tolist():
            holders = list(memory.holders[int(units[place])])
            told.state[place] = memory.state[holders].min()
            told.used[place] = memory.agent_used[holders].min()
            told.count[place] = len(holders)
        return told


def view(memory: Memory, units: Units) -> NDArray[np.void]:
    """What the kernel tells the policy. An older version of a conversation is of who has gone on with it."""
    holders = Holders.of(memory, units)
    shared = memory.table.owner[units] == NOBODY
    views = np.zeros(len(units), native.VIEW)
    views["used"] = EPOCH + memory.used[units]
    views["passed"] = np.maximum(holders.used - memory.used[units], 0)
    views["resident"] = memory.table.pages[units]
    views["holders"] = holders.count
    views["reads"] = memory.reads[units]
    views["state"] = holders.state
    views["mark"] = np.where((holders.state == State.PAUSED) & ~shared, WARM, HOT)  # a pause makes it so
    views["importance"] = IMPORTANCE
    views["type"] = memory.table.type[units]
    return views


def semantic(policy: native.Policy) -> Order:
    def order(memory: Memory, units: Units) -> Numbers:
        return policy.ranks(view(memory, units), EPOCH + memory.now).astype(np.int64)

    return order


def as_built(policy: native.Policy, seed: int) -> Order:
    """As mm/agent_mem_lru.c asks it: in samples, the first ones of each go."""
    random = np.random.default_rng(seed)

    def order(memory: Memory, units: Units) -> Numbers:
        ranks = policy.ranks(view(memory, units), EPOCH + memory.now)
        shuffled = random.permutation(len(units))
        sample = np.arange(len(units)) // SAMPLE
        within = shuffled[np.lexsort((ranks[shuffled], sample))]
        second = (np.arange(len(units)) % SAMPLE) >= TAKEN
        places = np.empty(len(units), np.int64)
        places[within[np.argsort(second, kind="stable")]] = np.arange(len(units))
        return places

    return order


def informed(pace: Pace) -> Order:
    answers, thinks = (_left(np.sort(np.array(values) * 1000)) for values in (pace.answers, pace.thinks))
    turn = 1000 * sum(pace.answers) / len(pace.answers)

    def order(memory: Memory, units: Units) -> Numbers:
        holders, age = Holders.of(memory, units), (memory.now - memory.used[units]).astype(np.float64)
        of_state = [answers(age), np.full(len(units), turn), thinks(age) / holders.count]
        away = np.choose(holders.state - State.ACTIVE, of_state)
        return -np.where(memory.upcoming[units] == NEVER, NEVER, np.minimum(away, 1e15).astype(np.int64))

    return order


def _left(recorded: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The mean of what is left of a time of which so much has gone. Beyond the longest one: as much again."""
    sums = np.append(np.cumsum(recorded[::-1])[::-1], 0.0)

    def left(age: NDArray[np.float64]) -> NDArray[np.float64]:
        place = np.searchsorted(recorded, age, side="right")
        more = len(recorded) - place
        return np.where(more > 0, sums[place] / np.maximum(more, 1) - age, age)

    return left


def all_of(policy: native.Policy, pace: Pace, seed: int) -> Mapping[str, Order]:
    return {
        "LRU": lru,
        "as built": as_built(policy, seed),
        "semantic": semantic(policy),
        "informed": informed(pace),
        "oracle": oracle,
    }
