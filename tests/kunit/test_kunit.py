"""The series' KUnit cases on User Mode Linux: one item for each case that the sources list."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import kunit, pytest_lab
from harness.kernel import Kernel
from harness.kernel_tests import Run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", kunit.listed(pytest_lab.applied(metafunc.config)))


@pytest.fixture(scope="session")
def ran(kernels: Callable[[str], Kernel]) -> Run:
    return kunit.run(kernels(kunit.FLAVOUR))


def test_case(ran: Run, case: str) -> None:
    ran.judge(case)


def test_run_is_sound_and_nothing_else_reported(ran: Run) -> None:
    ran.judge_whole(kunit.listed(ran.kernel.tree))
