"""What is made of a contestant's output, and of the points it has measured; hostile output is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.bench.density import contest, draw, tables, whole
from harness.bench.density.contest import Contestant, Outcome
from harness.bench.density.fleets import Agent, Fleet, Name, Piece, Text
from harness.bench.density.limit import Limit
from harness.bench.density.run import _Clock
from harness.errors import GuestFault, HarnessError, LabError, UsageError
from harness.fleet import TextType

MB = 1_000_000
GAUGE = {"mem_available": 1, "mem_free": 900 * MB, "pcp_free": 0, "unevictable": 0, "page_tables": 0, "slab": 5 * MB}


def fleet(name: Name = Name.IDENTICAL, agents: int = 8) -> Fleet:
    """Each agent holds 10 MB in two texts."""
    texts = (Text(TextType.SYSTEM_PROMPT, (Piece(0, 0, 4 * MB),)), Text(TextType.TOOL_DEF, (Piece(0, 0, 6 * MB),)))
    return Fleet(name, tuple(Agent(texts, active=number < 2) for number in range(agents)))


def gauge(at: str, used: int = 0) -> dict[str, Any]:
    return {"event": "gauge", "at": at, **GAUGE, "mem_free": 900 * MB - used, "memcg_current": MB + used}


def point(agents: int, cpu_ms: int = 0, merge_ms: int = 0, last_merge_ms: int = 0) -> dict[str, Any]:
    figures = {"cpu_ms": cpu_ms, "merge_ms": merge_ms, "last_merge_ms": last_merge_ms, "reclaim_ms": 0, "wall_ms": 7}
    held = {"agents": agents, "bytes": agents * 10 * MB, "handles": agents * 2}
    return {"event": "point", **held, **figures, "converged": True}


def output(*points: tuple[int, int, int], **more: Any) -> list[dict[str, Any]]:
    """points: agents, bytes used, milliseconds."""
    events = [gauge("baseline"), {"event": "sample", "phase": "hold", "ms": 5, "cpu_ms": 9, "free": 890 * MB}]
    for agents, used, cpu in points:
        events += [{"event": "held", "agents": agents}, gauge("point", used), point(agents, cpu)]
    events += [{"event": "steady", "cpu_ms": 20, "wall_ms": 2000}]
    events += more.get("late", [])
    return [*events, {"event": "verified", "reads": 128, "differ": more.get("differ", 0)}, {"event": "done"}]


def read(events: list[Any], code: int = 0, one: Contestant = Contestant.ZRAM, agents: int = 8) -> Outcome:
    stdout = "".join(f"{event if isinstance(event, str) else json.dumps(event)}\n" for event in events)
    return contest.read(one, fleet(agents=agents), stdout.encode(), code)


def test_a_run_of_the_whole_fleet_is_read() -> None:
    outcome = read(output((8, 30 * MB, 500)))
    assert (outcome.last.agents, outcome.last.logical, outcome.last.used) == (8, 80 * MB, 30 * MB)
    assert (outcome.last.memcg, outcome.last.cpu, outcome.steady) == (30 * MB, 500, 0.01)
    assert (outcome.probes, outcome.samples[0].used) == (128, 10 * MB)


def test_merging_is_counted_as_if_it_were_done_once() -> None:
    events = output((8, 30 * MB, 0))
    events[events.index(point(8))] = point(8, cpu_ms=900, merge_ms=700, last_merge_ms=400)
    assert read(events).last.cpu == 600


def test_active_agents_are_read() -> None:
    figures = {"agents": 2, "reads": 32, "read_ns": 64, "median_ns": 2, "p99_ns": 9, "cpu_ms": 1, "stalled_us": 3}
    outcome = read(output((8, 30 * MB, 5), late=[gauge("active", 34 * MB), {"event": "active", **figures}]))
    assert outcome.active and (outcome.active.used, outcome.active.read_ns) == (34 * MB, 64)


def test_what_the_store_says_of_itself_is_in_the_result() -> None:
    said = {"chunk": 131072, "objects": 2, "resident": 0, "charged": 4 * MB, "pool": 5 * MB, "contexts": MB}
    outcome = read(output((8, 6 * MB, 500), late=[{"event": "store", **said}]), one=Contestant.AGENT_MEM)
    entry = whole.contestant(outcome, fleet())
    assert entry["store"] == said
    parts = whole.stack(entry)
    assert parts == {"uncompressed": 0, "compressed": 4 * MB, "pages": MB, "slab": 0, "rest": MB}
    assert sum(parts.values()) == entry["measured"]["used_bytes"]


def test_where_the_memory_is_gets_a_chart_if_a_contestant_has_a_store(tmp_path: Path) -> None:
    said = {"chunk": 131072, "objects": 2, "resident": MB, "charged": 4 * MB, "pool": 5 * MB, "contexts": MB}
    stored = read(output((8, 6 * MB, 500), late=[{"event": "store", **said}]), one=Contestant.AGENT_MEM)
    plain = read(output((4, 30 * MB, 500)))
    for outcomes, names in (([plain], ["memory", "time", "agents"]), ([plain, stored], ["memory", "stack"])):
        told = whole.summary(fleet(), Limit(1, MB, MB, MB), outcomes, 2.0)
        drawn = [svg.stem for _, svg in draw.fleet("a fleet", told, outcomes, tmp_path / "fleet")]
        assert drawn[: len(names)] == [f"fleet-{name}" for name in names]
        for table in tables.of(told):
            assert all(len(row) == len(table["columns"]) for row in table["rows"])
    assert "8 of 8 agents" in (tmp_path / "fleet-stack.svg").read_text()
    assert [row[2:] for row in tables.of(told)[1]["rows"]] == [("1.00", "4.00", "5.00", "0.00", "0.00")]


@pytest.mark.parametrize(
    "events",
    [
        [],
        ["not JSON"],
        ["[]"],
        ["[" * 100_000],
        [{"event": "unknown"}],
        [{"no": "event"}],
        output((8, 1, 1))[:-1],
        output((8, 1, 1))[1:],
        output(),
        [*output((8, 1, 1)), {"event": "done"}],
        output((9, 1, 1)),
        output((8, 1, -5)),
        [*output((8, 1, 1))[:-1], {"event": "steady", "cpu_ms": 1, "wall_ms": 0}, {"event": "done"}],
        [*output((8, 1, 1))[:-1], {"event": "steady", "cpu_ms": True, "wall_ms": 5}, {"event": "done"}],
        [*output((8, 1, 1))[:-1], {"event": "steady", "cpu_ms": 1 << 60, "wall_ms": 5}, {"event": "done"}],
    ],
)
def test_output_that_makes_no_sense_is_the_laboratorys_trouble(events: list[Any]) -> None:
    with pytest.raises(LabError):
        read(events)


@pytest.mark.parametrize("code", [1, 2, 3, 137])
def test_an_exit_code_that_does_not_fit_is_refused(code: int) -> None:
    with pytest.raises(LabError):
        read(output((8, 1, 1)), code)


@pytest.mark.parametrize(("one", "kind"), [(Contestant.AGENT_MEM, GuestFault), (Contestant.ZRAM, LabError)])
def test_a_byte_that_differs_fails_the_run(one: Contestant, kind: type[HarnessError]) -> None:
    found = {"event": "differs", "agent": 3, "text": 1, "offset": 4096}
    with pytest.raises(kind, match="2 reads of .* agent 3, text 1, offset 4096"):
        read(output((8, 1, 1), late=[found], differ=2), 1, one)


@pytest.mark.parametrize(
    ("what", "one", "kind"),
    [
        ("agent_alloc_smu", Contestant.AGENT_MEM, GuestFault),
        ("fork", Contestant.AGENT_MEM, LabError),
        ("memory.reclaim", Contestant.ZRAM, LabError),
    ],
)
def test_a_call_that_failed_is_told(what: str, one: Contestant, kind: type[HarnessError]) -> None:
    error = {"event": "error", "what": what, "errno": 12, "error": "Cannot\x1b allocate", "agent": 1}
    with pytest.raises(kind, match=f"{one} failed: {what}: Cannot. allocate") as raised:
        read([error], 3, one)
    assert "\x1b" not in str(raised.value)


# -- the whole fleet --


def test_what_was_measured_of_all_agents_is_the_figure() -> None:
    figures = whole.figures(read(output((8, 30 * MB, 1500))), fleet())
    assert (figures.used, figures.cpu_seconds, figures.complete) == (30 * MB, 1.5, True)


def test_what_is_shared_is_not_added_for_each_missing_agent() -> None:
    """20 MB once and 2 MB for each: 2 agents 24 MB, 4 agents 28 MB, so 8 take 36 MB."""
    figures = whole.figures(read(output((2, 24 * MB, 200), (4, 28 * MB, 600))), fleet())
    assert (figures.used, figures.cpu_seconds, figures.complete) == (36 * MB, 1.4, False)


def test_one_point_is_extended_in_proportion() -> None:
    assert whole.figures(read(output((2, 10 * MB, 0))), fleet()).used == 40 * MB


def test_less_memory_with_more_agents_does_not_go_on_for_ever() -> None:
    assert whole.figures(read(output((2, 24 * MB, 0), (4, 20 * MB, 0))), fleet()).used == 20 * MB


CPU = {"private": 500, "agent_mem": 1000, "ksm_zram": 2500}  # milliseconds


def outcomes(**used: int) -> list[Outcome]:
    runs = {Contestant(name): output((8, size, CPU.get(name, 900))) for name, size in used.items()}
    return [read(events, one=one) for one, events in runs.items()]


def test_a_fleet_of_the_result_has_the_shape_that_was_agreed() -> None:
    told = whole.summary(fleet(), Limit(stored=9 * MB), outcomes(private=81 * MB, agent_mem=10 * MB), 1.4)
    assert (told["logical_bytes"], told["offline_limit_bytes"]) == (80 * MB, 9 * MB)
    assert list(told["contestants"]) == ["private", "agent_mem"]
    entry = told["contestants"]["agent_mem"]
    assert (entry["used_bytes"], entry["ratio"], entry["cpu_seconds"]) == (10 * MB, 8.0, 1.0)
    assert json.loads(json.dumps(told)) == told


def verdicts(name: Name, limit: int, share: float = 2.0, **used: int) -> dict[str, bool]:
    told = whole.summary(fleet(name), Limit(stored=limit), outcomes(**used), share)
    assert all(goal["verdict"] in ("met", "missed") for goal in told["goals"])
    return {goal["key"]: goal["verdict"] == "met" for goal in told["goals"]}


def test_a_goal_is_undecided_where_a_peer_was_cut_short() -> None:
    runs = {name: output((8, size, CPU.get(name, 900))) for name, size in {"private": 80, "agent_mem": 10}.items()}
    runs["ksm_zram"] = output((2, 30, 2500))
    told = whole.summary(
        fleet(Name.OWN_LINE), Limit(stored=9), [read(run, one=Contestant(name)) for name, run in runs.items()], 1.4
    )
    assert {goal["key"]: goal["verdict"] for goal in told["goals"]} == {
        "limit": "missed",
        "plain": "met",
        "peers": "undecided",
        "cpu": "undecided",
        "steady": "met",
    }


def test_goals_are_those_of_the_fleet() -> None:
    all_of = {"private": 80 * MB, "memfd": 50 * MB, "zram": 31 * MB, "ksm_zram": 40 * MB, "agent_mem": 10 * MB}
    assert verdicts(Name.OWN_LINE, 10 * MB, 1.4, **all_of) == {
        "limit": True,
        "plain": True,
        "peers": True,
        "cpu": True,  # a quarter, when what plain copies take is taken off both
        "steady": True,
    }
    assert set(verdicts(Name.OWN_LINE, MB, 2.0, **all_of)) == {"limit", "peers", "cpu", "steady"}
    assert set(verdicts(Name.MIXED, MB, 1.0, **all_of)) == {"cpu", "steady"}
    assert "cpu" not in verdicts(Name.MIXED, MB, 1.0, private=MB, agent_mem=MB)
    assert verdicts(Name.HISTORY, 9 * MB, **all_of)["limit"] is False
    assert verdicts(Name.HISTORY, 9 * MB, **all_of)["plain"] is False
    assert verdicts(Name.HISTORY, 9 * MB, **{**all_of, "zram": 29 * MB})["peers"] is False
    assert verdicts(Name.IDENTICAL, MB, private=80 * MB) == {}


def test_single_tools_may_take_a_struct_file_for_each_handle() -> None:
    limit = 10 * MB
    beyond = 8 * 2 * whole.STRUCT_FILE
    assert verdicts(Name.TOOLS, limit, agent_mem=round(limit * 1.05) + beyond)["limit"]
    assert not verdicts(Name.TOOLS, limit, agent_mem=round(limit * 1.05) + beyond + 10_000)["limit"]


# -- time --


def test_a_chunk_that_the_kernel_does_not_take_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """Before anything is built, and with what it takes."""
    assert cli.main(["bench", "density", "--chunk", "100"]) == UsageError.exit_code
    assert "--chunk takes 64, 128, 256, not 100" in capfd.readouterr().err


def test_time_is_dealt_by_weight_and_what_is_left_goes_on() -> None:
    clock = _Clock(900, [Contestant.PRIVATE, Contestant.AGENT_MEM, Contestant.MEMFD])
    assert clock.share() in (112, 113)
    assert 770 < clock.share() <= 772  # the first one took no time: six parts of seven
    assert 899 < clock.share() <= 900
    assert _Clock(0, [Contestant.PRIVATE]).share() == 0
    assert _Clock(1, [Contestant.PRIVATE]).share() == 10
