"""Real coding agents, unmodified, under agentmem-run with the shim: what their tools give is what they give without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import programs, userspace
from harness.agents import endpoint, scripted
from harness.programs import Program

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("make", [scripted.pi, scripted.claude], ids=lambda make: make.__name__)
def test_a_coding_agent_reads_and_ends_as_without_the_shim(make: Callable[[], Program], tmp_path: Path) -> None:
    without, with_it = both(make(), tmp_path)
    *given, end = without.splitlines()
    assert end == endpoint.FINAL and len(given) == scripted.FILES and sum(map(len, given)) > 500_000
    assert with_it == without


def test_mini_swe_agents_commands_print_what_they_print_without_the_shim(tmp_path: Path) -> None:
    without, with_it = both(scripted.mini(), tmp_path)
    assert without.count('"role": "tool"') > 100
    assert with_it == without


def both(program: Program, place: Path) -> tuple[str, str]:
    """Results without, and under agentmem-run."""
    (runtime := place / "runtime").mkdir(mode=0o700)
    store = {"XDG_RUNTIME_DIR": str(runtime), "AGENTMEM_BACKEND": "fallback"}
    runner = str(userspace.preload() / "agentmem-run")
    without = programs.run(program, store)
    with_it = programs.run(program, store, wrapper=[runner, program.name, "--"])
    assert (without.code, with_it.code) == (0, 0), without.result[-2000:] + with_it.result[-2000:]
    return without.result, with_it.result
