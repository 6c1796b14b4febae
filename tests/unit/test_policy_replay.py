"""Small timelines whose best order is known by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.bench.policy import contestants
from harness.bench.policy.objects import NOBODY, Table
from harness.bench.policy.replay import Cost, Memory, Order, replay, upcoming
from harness.bench.policy.timeline import Event, Kind, Pace, State, Timeline

PAGE = 4096


def units(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def table(pages: Sequence[int], base: Sequence[int] | None = None) -> Table:
    count = len(pages)
    alone = np.full(count, NOBODY)
    given = units(*base) if base else alone
    return Table(
        units(*pages), units(*pages) * PAGE, np.zeros(count, np.int64), np.zeros(count, np.int64), given, alone
    )


def played(reads: Sequence[Sequence[int]], pages: Sequence[int], base: Sequence[int] | None = None) -> Timeline:
    """The units are made one after the other, then read; a second lies between the reads."""
    made = (Event(0, Kind.REQUEST, 0, own=units(unit)) for unit in range(len(pages)))
    later = (Event(1000 * place, Kind.REQUEST, 0, read=units(*read)) for place, read in enumerate(reads, 1))
    return Timeline(1, table(pages, base), (*made, *later))


def cost(line: Timeline, limit: int, order: Order) -> Cost:
    return replay(line, limit, order, upcoming(line))


def test_a_loop_is_the_worst_for_lru_and_the_oracle_keeps_a_part() -> None:
    line = played([[0], [1], [2]] * 10, [1, 1, 1])
    # Two of three fit. LRU misses each read; the best there is misses every other one.
    assert cost(line, 2, contestants.lru).chunks == 30
    assert cost(line, 2, contestants.oracle).chunks == 15
    assert cost(line, 3, contestants.lru) == Cost(read=30 * PAGE)


def test_the_oracle_lets_go_what_is_never_read_again() -> None:
    line = played([[0], [1], [0], [2], [0], [3], [0]], [1, 1, 1, 1])
    assert cost(line, 2, contestants.oracle).chunks == 3  # 1, 2 and 3 once; 0 is kept
    assert cost(line, 2, contestants.lru).chunks == 4


def test_large_units_count_by_their_pages() -> None:
    line = played([[0], [1], [2], [0]], [4, 1, 1])
    assert cost(line, 5, contestants.lru).decompressed == (4 + 1 + 1 + 4) * PAGE


def test_what_is_stored_against_a_base_takes_it() -> None:
    pages = [1, 1, 1, 1]
    assert cost(played([[2]], pages, [NOBODY, 0, 1, NOBODY]), 1, contestants.lru).chunks == 3
    assert cost(played([[2]], pages), 1, contestants.lru).chunks == 1


def test_what_is_freed_needs_no_room() -> None:
    made = [Event(place, Kind.REQUEST, 0, own=units(place)) for place in range(3)]
    closed = Event(3, Kind.CLOSE, 0, own=units(0, 1))
    more = [Event(4, Kind.REQUEST, 0, own=units(3)), Event(5, Kind.REQUEST, 0, read=units(2, 3))]
    line = Timeline(1, table([1] * 4), (*made, closed, *more))
    assert replay(line, 3, contestants.lru).chunks == 0
    assert replay(Timeline(1, line.table, (*made, *more)), 3, contestants.oracle, None).chunks == 0
    assert replay(Timeline(1, line.table, (*made, *more)), 2, contestants.lru).chunks <= 1


def test_reads_of_one_step_count_once() -> None:
    seen: list[int] = []

    def order(
        memory: Memory, candidates: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        seen.append(int(memory.reads[0]))
        return candidates[::-1]

    reads = [Event(time, Kind.REQUEST, 0, read=units(0)) for time in (100, 1999, 3999, 9000)]
    more = Event(9001, Kind.REQUEST, 0, own=units(1, 2))
    replay(Timeline(1, table([1, 1, 1]), (Event(0, Kind.REQUEST, 0, own=units(0)), *reads, more)), 2, order)
    assert seen == [2]  # 2,000 ms and more apart: from 1,999 to 3,999, and to 9,000


def test_informed_takes_the_user_who_is_soonest_back_by_what_is_recorded() -> None:
    pace = Pace((5.0,), (10.0, 10.0, 1000.0))
    line = played([[0], [1]], [1, 1])
    memory = Memory(line, 2)
    memory.now = 21_000
    memory.used[:] = (20_000, 1_000)  # away for one second, and for twenty: that one is away for long
    memory.upcoming[:] = (500_000, 30_000)  # by chance the other way round: only the oracle knows
    memory.state[0] = State.IDLE
    first = contestants.informed(pace)(memory, units(0, 1))
    assert first[1] < first[0]
    assert contestants.oracle(memory, units(0, 1)).argmin() == 0
    memory.upcoming[0] = np.iinfo(np.int64).max
    assert contestants.informed(pace)(memory, units(0, 1)).argmin() == 0


def test_stalls_are_chunks_and_bytes() -> None:
    assert (Cost(0, 2_000_000, 3) + Cost(1, 0, 1)).stall == 0.002 + 4 * 10e-6
