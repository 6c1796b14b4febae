"""The laboratory's own code: ruff and mypy --strict have nothing to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cache import REPO

LONGEST = 300  # lines of a module: more, and it is two


def said(*tool: str) -> str:
    done = subprocess.run([sys.executable, "-m", *tool], cwd=REPO, capture_output=True, text=True, timeout=280)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_ruff() -> None:
    assert said("ruff", "check", "--no-cache", "--output-format=concise", ".") == ""


def test_mypy_strict() -> None:
    assert said("mypy") == ""


@pytest.mark.parametrize("path", sorted(REPO.glob("harness/**/*.py")), ids=lambda path: path.name)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST + LONGEST // 10
