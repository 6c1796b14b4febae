"""The series' kselftests in a guest: one item for each test that the sources list, on each flavour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import pytest_lab, selftests
from harness.kernel import Kernel
from harness.selftests import Selftests

FLAVOURS = ("lab", "debug")
LEAKS_FOUND_BY = ("debug",)  # flavours with kmemleak


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The flavour is the outer parameter: one guest after the other, not both at once."""
    if "suite" not in metafunc.fixturenames:
        return
    programs = selftests.programs(pytest_lab.applied(metafunc.config))
    flavours = LEAKS_FOUND_BY if metafunc.function is test_no_leak else FLAVOURS
    metafunc.parametrize("suite", flavours, indirect=True, scope="session")
    if "case" in metafunc.fixturenames:
        cases = [(source, case) for source in programs for case in selftests.listed(source)]
        names = [f"{source.stem}-{case}" for source, case in cases]
        metafunc.parametrize(("source", "case"), cases, ids=names)
    elif "source" in metafunc.fixturenames:
        metafunc.parametrize("source", programs, ids=[source.stem for source in programs])


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest, kernels: Callable[[str], Kernel]) -> Iterator[Selftests]:
    started = Selftests(kernels(request.param), request.config.getoption("topology"))
    yield started
    started.close()


def test_case(suite: Selftests, source: Path, case: str) -> None:
    suite.run(source).judge(case)


def test_program_is_sound_and_nothing_else_reported(suite: Selftests, source: Path) -> None:
    suite.run(source).judge_whole(selftests.listed(source))


def test_no_leak(suite: Selftests) -> None:
    for source in selftests.programs(suite.kernel.tree):
        if selftests.suits(source, suite.kernel.flavour):
            suite.run(source)
    suite.check_leaks()
