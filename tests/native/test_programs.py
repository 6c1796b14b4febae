"""Programs that nobody here wrote give the same results with the shim."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import programs, userspace
from harness.cache import REPO
from harness.programs import Program
from tests.native import allocators


@pytest.fixture(scope="module")
def shim() -> str:
    return str(userspace.preload() / "libagentmem-preload.so")


def same(program: Program, preload: str, least: int) -> None:
    """least: lines of the result; so that two runs that did nothing are not taken for equal."""
    without, with_it = programs.run(program, {}), programs.run(program, {"LD_PRELOAD": preload})
    assert without.code == 0 and len(without.result.splitlines()) >= least, without.result
    assert with_it.code == 0
    if not program.same(without.result, with_it.result):
        assert with_it.result == without.result  # pytest shows where they differ


@pytest.mark.parametrize(
    ("make", "least"),
    [
        (programs.cpython, 1000),
        (programs.sqlite, 50),
        (programs.node, 4),
        (programs.node_tests, 115),
        (programs.git, 8),
        (programs.cc, 14),
        (programs.stress, 1),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_the_result_is_the_same(make: Callable[[], Program], least: int, shim: str) -> None:
    program = make()
    same(program, shim, least)


@pytest.mark.parametrize("allocator", allocators.OTHERS.values())
def test_the_result_is_the_same_on_another_allocator(allocator: str, shim: str) -> None:
    for program, least in ((programs.sqlite(20_000), 50), (programs.node(), 4), (programs.git(), 8)):
        same(program, f"{shim}:{allocator}", least)


def test_under_agentmem_run(shim: str, tmp_path: Path) -> None:
    (store := tmp_path / "runtime").mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(store), "AGENTMEM_BACKEND": "fallback"}
    runner = str(Path(shim).parent / "agentmem-run")
    without = programs.run(programs.sqlite(), {})
    with_it = programs.run(programs.sqlite(), env, wrapper=[runner, "database", "--"])
    assert (with_it.code, with_it.result) == (0, without.result)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_good_part_of_cpythons_own_tests(shim: str) -> None:
    same(programs.cpython(programs.LARGE_TESTS), shim, 5000)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_good_part_of_nodes_own_tests(shim: str) -> None:
    same(programs.many_node_tests(), shim, 1000)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("allocator", allocators.OTHERS.values())
def test_cpythons_own_tests_on_another_allocator(allocator: str, shim: str) -> None:
    same(programs.cpython(), f"{shim}:{allocator}", 1000)


@pytest.mark.long
def test_the_benchmark_tells_both_sides(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "harness", "bench", "shim", "--quick", "--json", "--out", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=REPO, timeout=280)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {line["program"] for line in told["programs"]} == {make().name for make in programs.ALL}
    assert all(line[side]["seconds"] > 0 for line in told["programs"] for side in ("without", "shim"))
    assert [held["language"] for held in told["alike"]] == ["python", "node"]
    for held in told["alike"]:
        alike = {side: held[side]["bytes"] - held[side]["merged_bytes"] for side in ("without", "shim")}
        assert alike["shim"] > 0.8 * held["text_bytes"] > 0 and alike["shim"] > 1.1 * alike["without"]
    assert json.loads((tmp_path / "result.json").read_text()) == told
