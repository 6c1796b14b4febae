"""The series' kselftests in a guest: one item for each test that the sources list, on each flavour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import kconfig, kernel, pytest_lab, selftests
from harness.kernel import Kernel
from harness.selftests import Selftests

FLAVOURS = ("lab", "debug")
LEAKS_FOUND_BY = ("debug",)  # flavours with kmemleak
# Programs that have nothing to do in a kernel without an option: there they are not run, so none of their tests skips.
NEEDS = {"failnth_test": "FAULT_INJECTION"}


def suits(source: Path, flavour: str) -> bool:
    needed = NEEDS.get(source.stem)
    asked = {request.name for request in kconfig.read(kernel.flavours()[flavour].fragments)}
    return needed is None or needed in asked


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The flavour is the outer parameter: one guest after the other, not both at once."""
    if "suite" not in metafunc.fixturenames:
        return
    programs = selftests.programs(pytest_lab.applied(metafunc.config))
    flavours = LEAKS_FOUND_BY if metafunc.function is test_no_leak else FLAVOURS
    runs = [(flavour, source) for flavour in flavours for source in programs if suits(source, flavour)]
    if "case" in metafunc.fixturenames:
        cases = [(*run, case) for run in runs for case in selftests.listed(run[1])]
        names = [f"{flavour}-{source.stem}-{case}" for flavour, source, case in cases]
        metafunc.parametrize(("suite", "source", "case"), cases, ids=names, indirect=["suite"], scope="session")
    elif "source" in metafunc.fixturenames:
        names = [f"{flavour}-{source.stem}" for flavour, source in runs]
        metafunc.parametrize(("suite", "source"), runs, ids=names, indirect=["suite"], scope="session")
    else:
        metafunc.parametrize("suite", flavours, indirect=True, scope="session")


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
        if suits(source, suite.kernel.flavour):
            suite.run(source)
    suite.check_leaks()
