"""The kernel with the numbers of the original design (patches/optional): they are these, and the suite passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import layout, pytest_lab, selftests
from harness.kernel import Kernel
from harness.selftests import Selftests

PROPOSED = {"agent_alloc_smu": 450, "agent_share_content": 451, "agent_mark_hot": 452, "agent_get_stats": 453}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "source" in metafunc.fixturenames:
        programs = selftests.programs(pytest_lab.applied(metafunc.config))
        metafunc.parametrize("source", programs, ids=[source.stem for source in programs])


@pytest.fixture(scope="module")
def suite(kernels: Callable[[str], Kernel]) -> Iterator[Selftests]:
    started = Selftests(kernels("numbers"))
    yield started
    started.close()


def test_installed_headers_give_the_proposed_numbers(suite: Selftests) -> None:
    assert layout.installed_numbers(suite.kernel.headers, PROPOSED) == PROPOSED


def test_the_series_takes_other_numbers(kernels: Callable[[str], Kernel]) -> None:
    taken = layout.installed_numbers(kernels("lab").headers, PROPOSED)
    first = min(taken.values())
    assert first > max(PROPOSED.values())
    assert [taken[name] for name in PROPOSED] == list(range(first, first + len(PROPOSED)))


def test_program_passes_whole(suite: Selftests, source: Path) -> None:
    run = suite.run(source)
    listed = selftests.listed(source)
    for case in listed:
        run.judge(case)
    run.judge_whole(listed)
