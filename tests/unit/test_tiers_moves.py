"""The trace of what moves between tiers: read, added up, and refused if it is anything else."""

from __future__ import annotations

import pytest

from harness.bench.tiers import moves
from harness.bench.tiers.moves import Move

EVENTS = [
    "    kswapd1-52      [000] .....    12.000500: smu_evict: ino=7 pages=32 class=idle rank=2fffffffffffffa pressure",
    "   kworker/u4:1-30  [000] .....    12.500000: smu_evict: ino=8 pages=3 class=cold rank=0 age",
    "          tiers-90  [000] ...1.    13.000000: smu_demote: ino=7 index=64 pages=16 node=1",
    "          tiers-90  [000] .....    13.000100: smu_promote: ino=7 index=64 pages=4 node=0",
]


def trace(*events: str, written: int | None = None) -> str:
    head = f"# entries-in-buffer/entries-written: {len(events)}/{written or len(events)}   #P:1"
    return "\n".join(["# tracer: nop", "#", head, "#", *events, ""])


def test_events_are_read_with_times_since_the_beginning() -> None:
    seen = moves.read(trace(*EVENTS), begin=11_000)
    assert seen.moves == (
        Move(1000, "evict", 32, "idle", "pressure"),
        Move(1500, "evict", 3, "cold", "age"),
        Move(2000, "demote", 16),
        Move(2000, "promote", 4),
    )
    assert seen.lost == 0


def test_pages_are_added_up_by_reason_and_class() -> None:
    told = moves.read(trace(*EVENTS, EVENTS[0]), begin=0).as_json()
    assert told["evicted_pages"]["pressure"]["idle"] == 64 and told["evicted_pages"]["age"]["cold"] == 3
    assert told["evicted_pages"]["pressure"]["cold"] == 0
    assert (told["demoted_pages"], told["promoted_pages"], told["events"]) == (16, 4, 5)


def test_an_event_of_before_the_beginning_is_at_its_start() -> None:
    assert moves.read(trace(EVENTS[0]), begin=20_000).moves[0].ms == 0


def test_what_the_buffer_has_lost_is_told() -> None:
    assert moves.read(trace(*EVENTS, written=10), begin=0).lost == 6
    assert moves.read(trace("CPU:0 [LOST 3 EVENTS]", written=3).replace(" 1/3", " 0/3"), begin=0).lost == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n".join(EVENTS),
        trace(*EVENTS).replace(" 4/4", " 5/5"),
        trace(*EVENTS).replace(" 4/4", " 4/3"),
        trace("anything else"),
        trace(EVENTS[0].replace("smu_evict", "smu_alloc")),
        trace(EVENTS[0].replace("class=idle", "class=asleep")),
        trace(EVENTS[0].replace("pressure", "spite")),
        trace(EVENTS[0].replace("pages=32", "pages=-1")),
        trace(EVENTS[2].replace("node=1", "node=")),
    ],
)
def test_what_is_no_such_trace_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        moves.read(text, begin=0)
