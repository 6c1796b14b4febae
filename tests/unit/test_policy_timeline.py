"""Fleets in time: who reads what of a growing history, which states there are, and that all is given back."""

from __future__ import annotations

import numpy as np
import pytest

from harness.bench.policy import replay, timeline
from harness.bench.policy.objects import CHUNK, KEYFRAME, NOBODY, PAGE, History, Objects, Type
from harness.bench.policy.recording import Recording, Request
from harness.bench.policy.timeline import Kind, Pace, Scale, State
from harness.errors import UsageError

TURN = (Request(True, 3000, (), 4.0, None), Request(False, 2000, (700,), None, 30.0))
PACE = Pace((4.0, 6.0), (20.0, 40.0))


def recorded(turns: int = 3, name: str = "r") -> Recording:
    return Recording(name, b"p" * 5000, (b"tool one", b"tool two"), TURN * turns)


def test_an_append_owns_the_pages_from_the_one_its_base_ends_in() -> None:
    objects = Objects()
    history = History(objects, 0)
    first, second, third = (history.append(count) for count in (PAGE + 1000, 100, 3 * PAGE))
    table = objects.table()
    assert table.pages.tolist() == [2, 1, 4]
    assert table.size.tolist() == [PAGE + 1000, 1100, 3 * PAGE + 1100]
    # The first version's first page is still read, in its unit; the second version is wholly in the third.
    assert history.from_its_end().tolist() == [third[0], first[0]]
    assert second[0] not in history.from_its_end()
    assert table.base.tolist() == [NOBODY, first[0], second[0]]
    assert history.last_page().tolist() == [third[0]]


def test_one_of_so_many_appends_stands_alone() -> None:
    objects = Objects()
    history = History(objects, 0)
    for _ in range(2 * KEYFRAME):
        history.append(PAGE)
    table = objects.table()
    assert np.flatnonzero(table.base == NOBODY).tolist() == [0, KEYFRAME]
    assert table.before.tolist() == [NOBODY, *range(2 * KEYFRAME - 1)]
    assert history.last_page().tolist() == []  # it ends where a page does: nothing is copied


def test_a_large_object_is_several_units() -> None:
    made = Objects()
    units = made.make(Type.TOOL_RESULT, 0, 2 * CHUNK + 1, 0)
    assert made.table().size[units].tolist() == [CHUNK, CHUNK, 1]


def test_equal_texts_are_one_object_while_somebody_holds_them() -> None:
    line = timeline.play([recorded()], PACE, Scale(agents=5, seconds=300, at_work=1.0, arrival=10), 1)
    table = line.table
    assert (table.owner == NOBODY).sum() == 3
    opened = [event for event in line.events if event.kind is Kind.OPEN]
    assert len(opened) >= 5 and all(event.shared.tolist() == opened[0].shared.tolist() for event in opened)


def test_the_same_seed_gives_the_same_fleet_and_another_one_another() -> None:
    def told(seed: int) -> list[tuple[int, Kind, int]]:
        line = timeline.play([recorded()], PACE, Scale(agents=4, seconds=200, arrival=50), seed)
        return [(event.time, event.kind, event.agent) for event in line.events]

    assert told(1) == told(1) != told(2)


def test_a_turn_beyond_what_may_be_at_work_is_paused_until_another_ends() -> None:
    line = timeline.play([recorded()], PACE, Scale(agents=4, seconds=600, at_work=0.25, arrival=1), 1)
    states = dict.fromkeys(range(4), State.IDLE)
    seen = set()
    for event in line.events:
        if event.kind is Kind.STATE:
            seen.add((states[event.agent], event.state))
            states[event.agent] = event.state
        elif event.kind is Kind.REQUEST:
            assert states[event.agent] is State.ACTIVE
        assert list(states.values()).count(State.ACTIVE) <= 1
    assert {(State.IDLE, State.PAUSED), (State.PAUSED, State.ACTIVE), (State.ACTIVE, State.IDLE)} <= seen


def test_recorded_times_are_kept() -> None:
    line = timeline.play([recorded(1)], PACE, Scale(agents=1, seconds=60, arrival=0), 1)
    start, second = [event.time for event in line.events if event.kind is Kind.REQUEST][:2]
    assert second - start == 4000
    idle = next(event.time for event in line.events if event.state is State.IDLE and event.kind is Kind.STATE)
    closed, opened = (
        next(e.time for e in line.events if e.kind is kind and e.time >= idle) for kind in (Kind.CLOSE, Kind.OPEN)
    )
    assert closed == idle and opened - second == 30_000


def test_what_is_held_is_counted_once_and_given_back() -> None:
    line = timeline.play([recorded(1)], PACE, Scale(agents=2, seconds=30, at_work=1.0, arrival=0), 1)
    # Two pages of prompt and one for each tool, once; of each agent: versions of 3000 and 5000 bytes, and a result.
    assert replay.whole(line) == 2 + 2 + 2 * (1 + 2 + 1)


def test_a_corpus_without_times_or_answers_is_refused() -> None:
    with pytest.raises(UsageError, match="when its messages came"):
        Pace.of([Recording("r", b"", (), (Request(True, 1, (), None, None),))])
    with pytest.raises(UsageError, match="no conversation"):
        timeline.play([Recording("r", b"", (), ())], PACE, Scale(), 1)
