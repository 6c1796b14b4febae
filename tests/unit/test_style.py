"""The laboratory's own code: ruff and mypy --strict have nothing to say, groff nothing about the series' man pages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import git
from harness.cache import REPO
from harness.errors import LabError

LONGEST = 300  # lines of a module: more, and it is two
# Hosts by what such are called. Those in .example are nobody's; the pinned source of the kernel is in patches/.
KINDS = "archive cdn deb files ftp httpredir mirror packages proxy pypi registry security snapshot"
MIRROR = re.compile(rf"(?i)\b(?:{KINDS.replace(' ', '|')})[\w-]*(?:\.[\w-]+)*\.(?:com|dev|edu|io|net|org)\b")


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


# -- where packages come from is the machine's own setting --


def tracked_texts() -> Iterator[Path]:
    names = git.git(REPO, "ls-files", "-z", "--", ".", ":!patches").stdout.split("\0")
    for path in (REPO / name for name in names if name):
        if path.is_file() and b"\0" not in path.read_bytes():
            yield path


def test_no_file_names_a_mirrors_host() -> None:
    found = {str(path.relative_to(REPO)): MIRROR.findall(path.read_text(errors="replace")) for path in tracked_texts()}
    assert len(found) > 500
    assert {name: hosts for name, hosts in found.items() if hosts} == {}


@pytest.mark.parametrize("host", ["snapshot debian org", "ftp2 de debian org", "registry npmjs org", "pypi org"])
def test_a_mirrors_host_is_seen(host: str) -> None:
    dotted = host.replace(" ", ".")  # this file has none, either
    assert MIRROR.findall(f"URIs: http://{dotted}/debian") == [dotted]
    assert not MIRROR.search("http://mirror.example/debian, mirror.sources, files.sort")


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
