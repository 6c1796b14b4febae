"""Tests in guests: emulated, so they get more time than the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import selftests
from harness.kernel import Kernel

HERE = Path(__file__).parent
SECONDS = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if _has_something_to_do(item)]
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS))


def _has_something_to_do(item: pytest.Item) -> bool:
    """False for a program of the series on a flavour where each of its tests could only skip."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    source, flavour = params.get("source"), params.get("suite", "lab")
    return not isinstance(source, Path) or selftests.suits(source, str(flavour))


@pytest.fixture(scope="session", autouse=True)
def _built(kernels: Callable[[str], Kernel]) -> None:
    """The kernel that all of them want, built where its progress is seen, not in the first test that asks for it."""
    kernels("lab")
