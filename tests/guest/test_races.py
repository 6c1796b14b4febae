"""KCSAN finds no data race in our functions while the selftests run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import pytest_lab, races, selftests
from harness.kernel import Kernel
from harness.selftests import Selftests

LEAST = 10_000  # watchpoints: fewer, and KCSAN has not looked
pytestmark = pytest.mark.long


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "source" in metafunc.fixturenames:
        programs = selftests.programs(pytest_lab.applied(metafunc.config))
        chosen = [source for source in programs if selftests.suits(source, "kcsan")]
        metafunc.parametrize("source", chosen, ids=[source.stem for source in chosen])


@pytest.fixture(scope="module")
def suite(kernels: Callable[[str], Kernel], request: pytest.FixtureRequest) -> Iterator[Selftests]:
    started = Selftests(kernels("kcsan"), request.config.getoption("topology"))
    races.watch(started.running(), started.kernel)
    yield started
    started.close()


def test_program_runs_without_a_race(suite: Selftests, source: Path) -> None:
    suite.run(source).judge_whole(selftests.listed(source))


def test_accesses_were_watched(suite: Selftests) -> None:
    assert races.watched(suite.running()) >= LEAST
