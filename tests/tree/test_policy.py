"""The kernel's policy outside the kernel: its own table of cases, and the contest it is in."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import ktap, listing, pytest_lab
from harness.bench.policy import compare, contestants, draw, native
from harness.bench.policy.compare import Plan
from harness.bench.policy.objects import NOBODY, Table, Type
from harness.bench.policy.replay import Memory
from harness.bench.policy.timeline import Scale, State, Timeline
from harness.errors import ToolError, UsageError
from harness.sessions import Session, compact

CASES = "mm/agent_mem_policy_kunit.c"
HOUR = 3600_000


@pytest.fixture(scope="module")
def source(pytestconfig: pytest.Config) -> Path:
    return pytest_lab.applied(pytestconfig) / native.NAME


@pytest.fixture(scope="module")
def policy(source: Path) -> native.Policy:
    return native.load(source)


def test_the_kernels_table_of_cases_holds_outside_the_kernel_too(source: Path) -> None:
    tree = source.parent.parent
    program = native.compiled([source, tree / CASES], tree, ["-fsanitize=undefined"], "policy_cases")
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    report = ktap.parse(done.stdout)
    assert report.good and done.returncode == 0, done.stdout + done.stderr
    assert [leaf.name for leaf in report.leaves()] == listing.kunit((tree / CASES).read_text())


# -- what the policy is told, and what it makes of it --


def memory(types: list[Type], owner: list[int], agents: int = 2) -> Memory:
    column = np.ones(len(types), np.int64)
    alone = column * NOBODY
    table = Table(column, column * 4096, np.array(types), np.array(owner), alone, alone)
    told = Memory(Timeline(agents, table, ()), 100)
    told.now = told.agent_used[:] = told.used[:] = HOUR
    told.reads[:] = 1
    return told


def first(policy: native.Policy, told: Memory) -> list[int]:
    """Units in the order in which they go."""
    places = contestants.semantic(policy)(told, np.arange(len(told.used)))
    return [int(unit) for unit in np.argsort(places, kind="stable")]


def test_idle_agents_units_go_before_those_of_agents_at_work(policy: native.Policy) -> None:
    told = memory([Type.CONVERSATION] * 2, [0, 1])
    told.state[:] = State.ACTIVE, State.IDLE
    assert first(policy, told) == [1, 0]
    told.state[:] = State.IDLE, State.PAUSED
    assert first(policy, told) == [0, 1]


def test_what_an_agent_has_gone_on_without_goes_first_of_all(policy: native.Policy) -> None:
    told = memory([Type.CONVERSATION] * 3, [0, 0, 1])
    told.state[:] = State.ACTIVE, State.IDLE
    told.used[:] = HOUR - 9_000, HOUR, HOUR - 60_000
    told.agent_used[1] = HOUR - 60_000
    assert first(policy, told) == [0, 2, 1]


def test_a_shared_unit_is_as_hot_as_its_hottest_holder(policy: native.Policy) -> None:
    told = memory([Type.SYSTEM_PROMPT, Type.CONVERSATION], [NOBODY, 1])
    told.holders[0] = {0, 1}
    told.state[:] = State.IDLE, State.IDLE
    told.used[:] = told.agent_used[:] = HOUR - 11_000, HOUR - 10_000  # of two who may be back, one is sooner
    assert first(policy, told) == [1, 0]
    told.holders[0] = {0}
    assert first(policy, told) == [0, 1]
    told.state[0] = State.ACTIVE
    assert first(policy, told) == [1, 0]


def test_as_built_drops_the_first_half_of_each_sample(policy: native.Policy) -> None:
    count = 4 * contestants.SAMPLE
    told = memory([Type.SYSTEM_PROMPT] * count, [0, 1] * (count // 2))
    told.state[:] = State.ACTIVE, State.IDLE
    units = np.arange(count)
    places = contestants.as_built(policy, 1)(told, units)
    assert sorted(places.tolist()) == units.tolist()
    idle = units % 2 == 1
    # Not all that are idle go first: a sample may have more of them than it gives.
    assert places[idle].mean() < places[~idle].mean()
    assert not np.array_equal(np.sort(places[idle]), np.arange(count // 2))


def test_a_policy_that_is_not_there_or_does_not_compile_is_told(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no policy"):
        native.load(tmp_path / "none.c")
    stray = tmp_path / "mm" / "agent_mem_policy.c"
    stray.parent.mkdir()
    stray.write_text(source.read_text())
    with pytest.raises(UsageError, match="in no kernel tree"):
        native.load(stray)
    (tmp_path / "include").symlink_to(source.parent.parent / "include")
    (stray.parent / "agent_mem_policy.h").write_text(source.with_suffix(".h").read_text())
    stray.write_text("u64 agent_policy_rank;\n")
    with pytest.raises(ToolError, match="does not compile"):
        native.load(stray)
    other = source.with_suffix(".h").read_text().replace("u64\tused;", "u64\tused;\n\tu64\tmore;")
    (stray.parent / "agent_mem_policy.h").write_text(other)
    stray.write_text(source.read_text())
    with pytest.raises(UsageError, match="another one"):
        native.load(stray)


# -- the contest --


def talk(number: int) -> Session:
    messages: list[dict[str, Any]] = []
    for turn in range(6):
        for role, size, ms in (
            ("user", 300, 0),
            ("assistant", 500, 100),
            ("tool", 9000, 5000),
            ("assistant", 800, 5100),
        ):
            messages.append({"role": role, "content": "x" * (size + number), "timestamp": turn * 90_000 + ms})
    return Session(f"talk-{number}", b"You are one of many. " * 200, (b"a tool",), compact(messages))


PLAN = Plan((0.1, 0.3, 1.0), (1,), Scale(agents=20, seconds=900.0, arrival=60.0))


@pytest.fixture(scope="module")
def measured(source: Path) -> compare.Comparison:
    return compare.compare([talk(number) for number in range(8)], "report", source, PLAN)


def test_the_policy_is_between_lru_and_the_oracle(measured: compare.Comparison) -> None:
    assert (measured.recordings, measured.timed) == (4, 4)
    for limit in (0.1, 0.3):
        told = {name: cost.decompressed for name, cost in measured.costs[limit].items()}
        assert told["oracle"] < told["semantic"] < told["LRU"], told
        assert told["oracle"] <= min(told.values())


def test_nothing_is_decompressed_where_all_fits(measured: compare.Comparison) -> None:
    assert {name: cost.decompressed for name, cost in measured.costs[1.0].items()} == dict.fromkeys(draw.COLOURS, 0)
    verdicts = [row.verdict for row in measured.rows() if row.key in ("oracle.1", "lru.1")]
    assert verdicts == ["met", "met"]


def test_the_result_is_json_and_pictures(measured: compare.Comparison, tmp_path: Path) -> None:
    told = json.loads(json.dumps(measured.as_json()))
    assert told["limits"]["0.1"]["LRU"]["decompressed_bytes"] == measured.costs[0.1]["LRU"].decompressed
    assert sum(told["fleets"][0]["seconds"].values()) == pytest.approx(20 * 900, rel=0.05)
    for png, svg in (draw.costs(measured, tmp_path / "costs"), draw.ratios(measured, tmp_path / "ratios")):
        assert png.read_bytes().startswith(b"\x89PNG") and "<svg" in svg.read_text()
