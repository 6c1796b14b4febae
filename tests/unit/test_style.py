"""The laboratory's own code: ruff and mypy --strict have nothing to say, groff nothing about the series' man pages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cache import REPO
from harness.errors import LabError

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


# -- the series' man pages; those of user space are tested where they are installed --


def groff_says(page: Path) -> str:
    if shutil.which("groff") is None:
        raise LabError("groff is not there, which renders the man pages", hint="harness doctor --fix")
    argv = ["groff", "-t", "-man", "-Tutf8", "-ww", "-z", str(page)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    return done.stderr if done.stderr or not done.returncode else f"groff ended with exit code {done.returncode}"


@pytest.mark.parametrize("page", sorted(REPO.glob("docs/man/*.[0-9]")), ids=lambda page: page.name)
def test_man_pages_have_no_mistakes_in_their_markup(page: Path) -> None:
    assert groff_says(page) == ""


def test_a_mistake_in_a_man_page_is_seen(tmp_path: Path) -> None:
    (page := tmp_path / "page.2").write_text(".TH page 2\n.SH NAME\npage \\- a page\n.BX wrong\n")
    assert "'BX' not defined" in groff_says(page)
