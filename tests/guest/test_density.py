"""The density benchmark in real guests, tiny: every contestant holds, every byte is checked, the result is whole."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import cache
from harness.bench.density import contest, limit, run
from harness.bench.density.contest import Contestant, Outcome
from harness.bench.density.fleets import Fleet, Name
from harness.bench.density.material import Material, Size
from harness.errors import GuestFault, LabError
from harness.guest import Guest
from harness.kernel import Kernel
from tests.unit import density_corpus

SIZE = Size(4, 0.005)
MEMORY_MB = 512
# The lab's kernel has neither page merging nor zram; with them: the test of the command below.
HERE = (Contestant.PRIVATE, Contestant.MEMFD, Contestant.AGENT_MEM)
PAGE = 4096
NOISE = 700_000  # bytes: processes, per-CPU lists


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Material]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "REPO", tmp_path_factory.mktemp("repo"))
        yield Material(density_corpus.source(), SIZE)


@pytest.fixture(scope="module")
def fleets(material: Material) -> dict[Name, Fleet]:
    return {fleet.name: fleet for fleet in run.make_fleets((Name.IDENTICAL, Name.MIXED), material)}


@pytest.fixture(scope="module")
def outcomes(
    kernels: Callable[[str], Kernel], material: Material, fleets: dict[Name, Fleet]
) -> dict[tuple[Name, Contestant], Outcome]:
    """Interrupted after the first contestant, as it were, and gone on with."""
    plan = run.Plan(material, tuple(fleets.values()), HERE[:1], memory_mb=MEMORY_MB)
    first = run.Run(kernels("lab"), plan).outcomes()
    going_on = run.Run(kernels("lab"), dataclasses.replace(plan, contestants=HERE))
    found = going_on.outcomes()
    assert going_on.boots == 2 and all(found[name][:1] == first[name] for name in first)
    going_on.forget()
    return {(name, one.contestant): one for name, several in found.items() for one in several}


def test_all_agents_hold_and_all_reads_are_right(outcomes: dict[tuple[Name, Contestant], Outcome]) -> None:
    assert set(outcomes) == {(name, one) for name in (Name.IDENTICAL, Name.MIXED) for one in HERE}
    for outcome in outcomes.values():
        assert outcome.last.agents == SIZE.agents and outcome.last.converged
        assert outcome.probes == SIZE.agents * contest.PROBES and outcome.differ == 0


def test_memory_is_what_each_way_to_hold_texts_must_take(
    outcomes: dict[tuple[Name, Contestant], Outcome], fleets: dict[Name, Fleet]
) -> None:
    """Copies take every byte, what is shared by hand or as objects at most the distinct ones, by both witnesses."""
    logical = fleets[Name.IDENTICAL].logical_bytes
    distinct = sum(text.length for text in fleets[Name.IDENTICAL].texts)
    last = {one: outcomes[Name.IDENTICAL, one].last for one in HERE}
    for used in (last[Contestant.PRIVATE].used, last[Contestant.PRIVATE].memcg):
        assert logical - NOISE < used < logical * 1.1 + NOISE
    for one in (Contestant.MEMFD, Contestant.AGENT_MEM):
        assert last[one].used < distinct * 1.1 + NOISE and last[one].memcg < distinct * 1.1 + NOISE
    assert last[Contestant.MEMFD].used > distinct - NOISE
    assert distinct < logical - 3 * NOISE  # so that the two are apart


def test_what_is_at_rest_is_compressed_and_what_is_active_is_not(
    outcomes: dict[tuple[Name, Contestant], Outcome], fleets: dict[Name, Fleet]
) -> None:
    store = {name: outcomes[name, Contestant.AGENT_MEM].details["store"] for name in fleets}
    active = {text for agent in fleets[Name.MIXED].agents if agent.active for text in agent.texts}
    assert 0 < len(active) < len(fleets[Name.MIXED].texts)
    assert store[Name.IDENTICAL]["resident"] == 0
    assert store[Name.MIXED]["resident"] == sum(-(-text.length // PAGE) * PAGE for text in active)
    for name, told in store.items():
        assert told["objects"] == len(fleets[name].texts) and told["chunk"] == limit.CHUNK
        assert 0 < told["charged"] <= told["pool"] < sum(text.length for text in fleets[name].texts)
    assert outcomes[Name.IDENTICAL, Contestant.AGENT_MEM].last.used < store[Name.IDENTICAL]["pool"] + NOISE


def test_active_agents_read_at_random(outcomes: dict[tuple[Name, Contestant], Outcome]) -> None:
    for one in HERE:
        active = outcomes[Name.MIXED, one].active
        assert active and active.agents == 3 and active.reads == 3 * contest.PROBES * contest.ACTIVE
        assert active.read_ns > 0
        assert outcomes[Name.IDENTICAL, one].active is None


def test_a_changed_byte_fails_the_run(
    kernels: Callable[[str], Kernel], material: Material, fleets: dict[Name, Fleet], tmp_path: Path
) -> None:
    built, fleet = kernels("lab"), fleets[Name.IDENTICAL]
    fleet.write(tmp_path / "table")
    disks = [material.disk(part) for part in ("shared", "talk", "long")]
    files = {contest.PROGRAM: contest.build(built)}
    with Guest.start(built, memory_mb=MEMORY_MB, files=files, disks=disks) as guest:
        guest.push(tmp_path / "table", contest.TABLE)
        for one, kind in ((Contestant.PRIVATE, LabError), (Contestant.AGENT_MEM, GuestFault)):
            done = guest.run(contest.command(one, damage=2))
            with pytest.raises(kind, match="came back changed: agent 2, text 0"):
                contest.read(one, fleet, done.stdout, done.code)


@pytest.mark.long
def test_the_command_runs_every_contestant(tmp_path: Path) -> None:
    """With the default input, so that nothing but the checkout is needed."""
    sizes = ["--agents", "3", "--scale", "0.002", "--fleet", "b", "--fleet", "f", "--memory", "512"]
    argv = [sys.executable, "-m", "harness", "bench", "density", *sizes, "--json", "--out", str(tmp_path)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=1500, check=False, cwd=cache.REPO)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert list(result["fleets"]) == ["b", "f"]
    for told in result["fleets"].values():
        assert 0 < told["offline_limit_bytes"] < told["logical_bytes"]
        assert list(told["contestants"]) == [one.value for one in Contestant]
        used = {name: entry["used_bytes"] for name, entry in told["contestants"].items()}
        assert used["zram"] < used["private"] and used["ksm_zram"] < used["ksm_aligned"]
        for entry in told["contestants"].values():
            assert entry["complete"] and entry["probes"] == 3 * contest.PROBES
            assert entry["ratio"] == round(told["logical_bytes"] / entry["used_bytes"], 4)
    assert (tmp_path / "report.html").read_text().count("<svg") == 8
