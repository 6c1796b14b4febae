"""What is made of a contestant's output in the tiers benchmark; hostile output is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from harness import cli
from harness.bench.rows import Row
from harness.bench.tiers import contest, verdict
from harness.bench.tiers.contest import Contestant, Outcome, Plan, Sample
from harness.errors import GuestFault, HarnessError, LabError, UsageError

MB = 1_000_000
PLAN = Plan(limit=30 * MB, turns=2, think_ms=100)
BEGIN = 5_000  # ms of the guest's clock


def sample(ms: int, turn: int, **of: int) -> dict[str, Any]:
    values = dict.fromkeys((one.name for one in fields(Sample)), 0)
    return {"event": "sample", **values, **of, "ms": BEGIN + ms, "turn": turn}


def step(turn: int, ns: int, size: int = 1000, agent: int = 0) -> dict[str, Any]:
    return {"event": "step", "agent": agent, "turn": turn, "ms": BEGIN + turn * 3000 + 10, "bytes": size, "ns": ns}


def turn(number: int, stalled_us: int = 0, **rest: int) -> list[dict[str, Any]]:
    about = {"turn": number, "ms": BEGIN + number * 3000, "wall_ms": 3000, "working": 2, "stalled_us": stalled_us}
    return [
        {"event": "turn", **about},
        {"event": "rest", "turn": number, "resident": 0, "stored": 10 * MB, "distinct": 40 * MB, **rest},
    ]


def output(*late: dict[str, Any], differ: int = 0) -> list[dict[str, Any]]:
    """Reading takes 2 ns a byte without a limit."""
    return [
        {"event": "begin", "ms": BEGIN, "agents": 6, "working": 2},
        sample(100, 0, resident_top=60 * MB),
        *(step(0, 2000, agent=agent) for agent in range(2)),
        *turn(0),
        {"event": "limit", "ms": BEGIN + 3000, "bytes": 30 * MB},
        sample(3100, 1, anon0=MB, resident_top=20 * MB, resident_lower=5 * MB, stored_bytes=9 * MB, evict_pressure=4),
        step(1, 2000),
        step(1, 30_002_000),
        *turn(1, 6000, resident=MB),
        sample(6100, 2, stored_bytes=9 * MB, swapped_bytes=2 * MB, shmem1=MB, zram=3 * MB, current=29 * MB),
        step(2, 2000),
        *late,
        *turn(2, 6000, resident=4 * MB),
        {"event": "checked", "reads": 40, "differ": differ},
        {"event": "done"},
    ]


def read(events: list[Any], code: int = 0, one: Contestant = Contestant.AGENT_MEM) -> Outcome:
    stdout = "".join(f"{event if isinstance(event, str) else json.dumps(event)}\n" for event in events)
    return contest.read(one, PLAN, stdout.encode(), code)


def without(event: str, **of: Any) -> list[dict[str, Any]]:
    return [
        one for one in output() if one["event"] != event or any(one.get(name) != value for name, value in of.items())
    ]


def instead(event: str, **values: Any) -> list[dict[str, Any]]:
    return [{**one, **values} if one["event"] == event else one for one in output()]


def rows(*outcomes: Outcome) -> dict[str, Row]:
    return {row.key: row for row in verdict.rows(outcomes)}


def test_a_run_is_read_with_times_since_its_beginning() -> None:
    outcome = read(output())
    assert (outcome.agents, outcome.limited, outcome.checked) == (6, 3000, 40)
    assert [one.ms for one in outcome.samples] == [100, 3100, 6100]
    assert [one.ms for one in outcome.turns] == [0, 3000, 6000]


@pytest.mark.parametrize(
    "events",
    [
        [],
        ["not JSON"],
        ["[]"],
        ["[" * 100_000],
        [{"event": "unknown"}],
        output()[:-1],
        output()[1:],
        [*output(), {"event": "done"}],
        without("turn", turn=1),
        without("rest", turn=2),
        without("step", turn=2),
        without("sample"),
        without("checked")[:-1],
        instead("limit", bytes=29 * MB),
        instead("step", bytes=0),
        instead("step", ns=0),
        instead("step", ns=-1),
        instead("step", ns=True),
        instead("step", ns=1 << 60),
        instead("step", ms=BEGIN - 1),
        instead("turn", wall_ms=0),
        instead("turn", working=0),
        instead("turn", stalled_us=-1),
    ],
)
def test_output_that_makes_no_sense_is_the_laboratorys_trouble(events: list[Any]) -> None:
    with pytest.raises(LabError, match="makes no sense"):
        read(events)


@pytest.mark.parametrize("code", [1, 2, 3, 137])
def test_an_exit_code_that_does_not_fit_is_refused(code: int) -> None:
    with pytest.raises(LabError):
        read(output(), code)


@pytest.mark.parametrize(("one", "kind"), [(Contestant.AGENT_MEM, GuestFault), (Contestant.ZRAM, LabError)])
def test_a_byte_that_differs_fails_the_run(one: Contestant, kind: type[HarnessError]) -> None:
    found = {"event": "differs", "agent": 3, "text": 1, "offset": 4096}
    with pytest.raises(kind, match="1 reads of .* agent 3, text 1, offset 4096"):
        read(output(found, differ=1), 1, one)


@pytest.mark.parametrize(
    ("what", "one", "kind"),
    [
        ("agent_mark_hot", Contestant.AGENT_MEM, GuestFault),
        ("pread of an object", Contestant.AGENT_MEM, GuestFault),
        ("fork", Contestant.AGENT_MEM, LabError),
        ("swapoff of zram", Contestant.ZRAM, LabError),
    ],
)
def test_a_call_that_failed_is_told(what: str, one: Contestant, kind: type[HarnessError]) -> None:
    error = {"event": "error", "what": what, "errno": 12, "error": "Cannot\x1b allocate", "agent": 1}
    with pytest.raises(kind, match=f"{one} failed: {what}: Cannot. allocate"):
        read([error], 3, one)


# -- shares and goals --


def test_a_stall_is_what_reading_takes_longer_than_without_a_limit() -> None:
    """30 ms more than it should take, of two agents in two turns of 3 s."""
    seen = verdict.stalls(read(output()))
    assert seen.share == pytest.approx(0.030 / 12)
    assert seen.reading == pytest.approx(0.030006 / 12)
    assert seen.pressure == pytest.approx(0.012 / 12)
    assert seen.slowdown == pytest.approx(30_006_000 / 6000)
    assert seen.median == 1


def test_a_quick_step_makes_up_for_none_below_nothing() -> None:
    quick = [{**one, "ns": 1000} if one["event"] == "step" and one["turn"] else one for one in output()]
    assert verdict.stalls(read(quick)).share == 0


@pytest.mark.parametrize(("ns", "met"), [(239 * MB, "met"), (241 * MB, "missed")])
def test_the_goal_is_two_percent_of_wall_time(ns: int, met: str) -> None:
    late = [{**one, "ns": ns} if one["event"] == "step" and one["ns"] > 2000 else one for one in output()]
    row = rows(read(late))["stall.agent_mem"]
    assert (row.verdict, row.goal) == (met, 0.02)


def test_peers_stand_beside_and_have_no_goal() -> None:
    found = rows(read(output()), read(output(), one=Contestant.ZRAM))
    assert found["stall.zram"].measured > 0 and found["stall.zram"].verdict == ""


def test_the_floor_is_the_compressed_form_after_each_turn() -> None:
    """1 and 4 MB beside 10 MB that are compressed; the turn without a limit does not count."""
    row = rows(read(output()))["floor"]
    assert row.measured == pytest.approx(1.25) and row.verdict == "missed" and row.detail.endswith("1.10, 1.40")
    assert rows(read(instead("rest", resident=MB // 10)))["floor"].verdict == "met"


def test_each_tier_has_what_the_kernel_says_that_it_has() -> None:
    outcome = read(output())
    tiers = [verdict.tiers(outcome.contestant, one) for one in outcome.samples]
    assert tiers[1] == {"top": 21 * MB, "lower": 5 * MB, "compressed": 9 * MB, "archive": 0, "swap": 0}
    assert tiers[2] == {"top": 0, "lower": 0, "compressed": 7 * MB, "archive": MB, "swap": 3 * MB}
    assert rows(outcome)["tiers"].verdict == "met"


def test_a_tier_without_anything_is_missed() -> None:
    row = rows(read([{**one, "zram": 0} if one["event"] == "sample" else one for one in output()]))["tiers"]
    assert (row.verdict, row.detail) == ("missed", "top, lower, compressed, archive")


def test_the_result_counts_from_the_first_sample_to_the_last() -> None:
    events = [{**one, "evict_pressure": one["ms"]} if one["event"] == "sample" else one for one in output()]
    told = verdict.summary(read(events))
    assert told["evicted_chunks"]["pressure"] == 6000 and told["steps"] == 3
    assert told["tier_bytes"]["compressed"] == {"mean": 8 * MB, "peak": 9 * MB}


# -- the command --


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--limit", "0"], "--limit takes"),
        (["--limit", "1.5"], "--limit takes"),
        (["--agents", "1"], "--agents from 2"),
        (["--scale", "0"], "--scale"),
        (["--topology", "uma"], "one memory tier"),
        (["--topology", "cxl"], "nothing is measured"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_built(
    words: list[str], cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "tiers", *words]) == UsageError.exit_code
    assert cause in capfd.readouterr().err
