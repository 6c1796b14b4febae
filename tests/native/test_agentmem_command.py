"""The agentmem command on the fallback: its suite, its types, what of it is installed; the real agentmem-run."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import binding, userspace

LEAST = 70  # tests of the suite: fewer, and some were not found
PAGE = "man/man1/agentmem.1"


@pytest.fixture(scope="module")
def python() -> Path:
    return binding.environment(binding.wheel("native"), binding.PROJECT / "requirements-command.txt")


def run(*argv: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "AGENTMEM_BACKEND": "fallback", "PYTHONDONTWRITEBYTECODE": "1", **env}
    return subprocess.run(argv, capture_output=True, text=True, timeout=290, cwd=cwd, env=given)


def test_the_suite_passes(python: Path) -> None:
    suite = ("-q", "-p", "no:cacheprovider", "-m", "not records", "tests_command")
    done = run(python, "-m", "pytest", *suite, cwd=binding.PROJECT)
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout[-8000:] + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= LEAST, done.stdout


def test_its_types_are_strict(python: Path) -> None:
    sources = sorted((binding.PROJECT / "src" / "agentmem" / "command").glob("*.py"))
    done = run(python, "-m", "mypy", "--strict", "--python-version", "3.11", "--cache-dir", os.devnull, *sources)
    assert done.returncode == 0, done.stdout


def test_the_man_page_and_the_completions_are_installed_beside_it(python: Path) -> None:
    share = python.parents[1] / "share"
    installed = {str(path.relative_to(share)) for path in share.rglob("*agentmem*")}
    assert installed == {PAGE, "bash-completion/completions/agentmem", "zsh/site-functions/_agentmem"}
    found = run("man", "-w", "1", "agentmem", PATH=f"{python.parent}:{os.environ['PATH']}", MANPATH="")
    assert found.stdout.strip() == str(share / PAGE), "man looks beside what is on PATH"


def test_the_man_page_has_no_mistakes_in_its_markup(python: Path) -> None:
    done = run("groff", "-t", "-man", "-Tutf8", "-ww", "-z", python.parents[1] / "share" / PAGE)
    assert (done.returncode, done.stderr) == (0, "")


def test_run_makes_a_command_an_agent(python: Path, tmp_path: Path) -> None:
    """The real agentmem-run, which gives the name before the command begins."""
    (store := tmp_path / "runtime").mkdir(mode=0o700)
    built = userspace.preload()
    env = {"PATH": f"{built}:{python.parent}:{os.environ['PATH']}", "XDG_RUNTIME_DIR": str(store)}
    script = "agentmem agents --json; grep -c libagentmem-preload.so /proc/self/maps; exit 5"
    done = run("agentmem", "run", "--importance=800", "reviewer", "--", "sh", "-c", script, cwd=tmp_path, **env)
    told, shim = done.stdout.rsplit("]", 1)
    (agent,) = json.loads(f"{told}]")
    assert (agent["name"], agent["importance"], done.returncode) == ("reviewer", 800, 5), done
    assert int(shim) > 0, "its memory is placed by the shim"
