"""A timeline in a memory that does not hold everything: what has to be decompressed, by who is evicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.bench.policy.objects import NOBODY, Units
from harness.bench.policy.timeline import Event, Kind, State, Timeline

NEVER = np.iinfo(np.int64).max
STEP_GAP = 2000  # milliseconds, AGENT_STEP_GAP_MS: reads that far apart are two
READS_MAX = 255
SPARE = 200  # a 200th of the memory is freed beyond what is needed: nobody runs for each page
CHUNK_NS, BYTE_NS = 10_000, 1  # a stall: for each chunk, and for each byte of it


@dataclass
class Cost:
    """What the replay came to; bytes and chunks are those that were decompressed."""

    read: int = 0
    decompressed: int = 0
    chunks: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.read + other.read, self.decompressed + other.decompressed, self.chunks + other.chunks)

    @property
    def stall(self) -> float:
        """Seconds."""
        return (self.chunks * CHUNK_NS + self.decompressed * BYTE_NS) / 1e9


class Memory:
    """What is where, and what is known of it at `now`; of `upcoming` an oracle alone may know."""

    def __init__(self, timeline: Timeline, limit: int) -> None:
        count = len(timeline.table.pages)
        self.table = timeline.table
        self.now = 0
        self.limit = self.free = limit  # pages
        self.resident = np.zeros(count, np.bool_)
        self.used = np.zeros(count, np.int64)  # milliseconds
        self.order = np.zeros(count, np.int64)  # of the last access, among all
        self.reads = np.zeros(count, np.int64)
        self.upcoming = np.full(count, NEVER, np.int64)  # milliseconds
        self.state = np.full(timeline.agents, State.IDLE, np.int64)
        self.agent_used = np.zeros(timeline.agents, np.int64)
        self.holders: dict[int, set[int]] = {}  # of what is shared
        self.cost = Cost()
        self._accesses = 0

    def touch(self, units: Units) -> None:
        self.used[units] = self.now
        self.order[units] = np.arange(self._accesses, self._accesses + len(units))
        self._accesses += len(units)


Order = Callable[[Memory, Units], NDArray[np.int64]]
"""The place of each unit in the order of eviction: the lowest goes first."""


def upcoming(timeline: Timeline) -> list[Units]:
    """For each event, when what it is about is needed next."""
    following = np.full(len(timeline.table.pages), NEVER, np.int64)
    found: list[Units] = []
    for event in reversed(timeline.events):
        found.append(following[event.all])
        following[event.needed] = event.time
    return found[::-1]


def whole(timeline: Timeline) -> int:
    """Pages of all that is held at once, at most."""
    pages, holders = timeline.table.pages, np.zeros(len(timeline.table.pages), np.int64)
    now = most = 0
    for event in timeline.events:
        if event.kind is Kind.OPEN:
            now += int(pages[event.shared[holders[event.shared] == 0]].sum())
            holders[event.shared] += 1
        elif event.kind is Kind.REQUEST:
            now += int(pages[event.own].sum())
        elif event.kind is Kind.CLOSE:
            holders[event.shared] -= 1
            now -= int(pages[event.shared[holders[event.shared] == 0]].sum()) + int(pages[event.own].sum())
        most = max(most, now)
    return most


def replay(timeline: Timeline, limit: int, order: Order, following: list[Units] | None = None) -> Cost:
    """limit: pages. following: as upcoming() tells, for an order that looks at it."""
    memory = Memory(timeline, limit)
    for place, event in enumerate(timeline.events):
        memory.now = event.time
        if event.kind is Kind.STATE:
            memory.state[event.agent] = event.state
        elif event.kind is Kind.OPEN:
            _open(memory, event, order)
        elif event.kind is Kind.CLOSE:
            _close(memory, event)
        else:
            _request(memory, event, order)
        if following:
            memory.upcoming[event.all] = following[place]
    return memory.cost


def _open(memory: Memory, event: Event, order: Order) -> None:
    new = [unit for unit in event.shared.tolist() if not memory.holders.get(unit)]
    for unit in event.shared.tolist():
        memory.holders.setdefault(unit, set()).add(event.agent)
    made = np.array(new, np.int64)
    _make_room(memory, made, event.shared, order)
    memory.reads[made] = 0
    memory.touch(made)


def _close(memory: Memory, event: Event) -> None:
    for unit in event.shared.tolist():
        memory.holders[unit].discard(event.agent)
    gone = [unit for unit in event.shared.tolist() if not memory.holders[unit]]
    _drop(memory, np.concatenate([event.own, np.array(gone, np.int64)]))


def _request(memory: Memory, event: Event, order: Order) -> None:
    table, units = memory.table, event.read
    old = np.setdiff1d(event.needed, event.own)
    missing = _with_bases(memory, old[~memory.resident[old]])
    memory.cost.read += int(table.size[units].sum())
    memory.cost.decompressed += int(table.size[missing].sum())
    memory.cost.chunks += len(missing)
    _make_room(memory, np.concatenate([missing, event.own]), event.needed, order)
    again = np.setdiff1d(np.concatenate([units, missing]), event.own)
    memory.reads[again] += (memory.now - memory.used[again] >= STEP_GAP) & (memory.reads[again] < READS_MAX)
    for unit in event.own.tolist():
        before = table.before[unit]
        memory.reads[unit] = memory.reads[before] if before != NOBODY else 0
    for new in (event.own, missing, units):
        memory.touch(new)
    memory.agent_used[event.agent] = memory.now


def _with_bases(memory: Memory, missing: Units) -> Units:
    """And what it takes to decompress them."""
    base = memory.table.base[missing]
    while len(base):
        base = base[base != NOBODY]
        base = np.setdiff1d(base[~memory.resident[base]], missing)
        missing = np.concatenate([missing, base])
        base = memory.table.base[base]
    return missing


def _make_room(memory: Memory, units: Units, wanted: Units, order: Order) -> None:
    """Brings `units` in. What is `wanted` stays; where memory is too small for that, it holds more for a moment."""
    need = int(memory.table.pages[units].sum())
    if need > memory.free:
        others = memory.resident.copy()
        others[wanted] = False
        candidates = np.flatnonzero(others)
        ordered = candidates[np.argsort(order(memory, candidates), kind="stable")]
        freed = np.cumsum(memory.table.pages[ordered])
        count = int(np.searchsorted(freed, need - memory.free + memory.limit // SPARE)) + 1
        _drop(memory, ordered[:count])
    memory.resident[units] = True
    memory.free -= need


def _drop(memory: Memory, units: Units) -> None:
    there = units[memory.resident[units]]
    memory.resident[there] = False
    memory.free += int(memory.table.pages[there].sum())
