"""Tests in guests: emulated, so they get more time than the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.kernel import Kernel

HERE = Path(__file__).parent
SECONDS = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="session", autouse=True)
def _built(kernels: Callable[[str], Kernel]) -> None:
    """The kernel that all of them want, built where its progress is seen, not in the first test that asks for it."""
    kernels("lab")
