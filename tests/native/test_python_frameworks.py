"""Frameworks on the Python binding: LangGraph, with its own tests of its in-memory saver and store; mini-swe-agent."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import binding, langgraph_tests

SUITE = binding.PROJECT / "tests_frameworks"
LEAST = 23  # tests of it


@pytest.fixture(scope="module")
def python() -> Path:
    return binding.environment(binding.wheel("native"), binding.PROJECT / "requirements-frameworks.txt")


def suite(python: Path, *arguments: str | Path, cwd: Path, **env: str) -> int:
    """How many tests passed; all did."""
    argv = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)]
    settings = {"AGENTMEM_BACKEND": "fallback", "PYTHONDONTWRITEBYTECODE": "1", **env}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, cwd=cwd, env={**os.environ, **settings})
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and "skipped" not in done.stdout.splitlines()[-1], done.stdout[-2000:]
    return int(passed[1])


def test_the_suite_passes(python: Path, tmp_path: Path) -> None:
    own = {"MSWEA_GLOBAL_CONFIG_DIR": str(tmp_path)}
    assert suite(python, "-p", "no:asyncio", SUITE, cwd=binding.PROJECT, **own) >= LEAST


def test_langgraphs_own_tests_pass_with_ours_instead_of_theirs(python: Path, tmp_path: Path) -> None:
    path = {"PYTHONPATH": str(langgraph_tests.plugin(tmp_path))}
    theirs = ("-p", langgraph_tests.PLUGIN, *langgraph_tests.TESTS)
    assert suite(python, *theirs, cwd=langgraph_tests.source(), **path) >= langgraph_tests.LEAST


def test_the_memory_of_savers_is_measured_side_by_side(python: Path) -> None:
    sizes = ("--steps", "60", "--threads", "1", "--bytes", "8192")
    argv = [str(python), "-m", "agentmem.langgraph.bench", *sizes]
    env = {**os.environ, "AGENTMEM_BACKEND": "fallback"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, env=env)
    assert done.returncode == 0, done.stderr
    told = {name: float(mib) for name, mib in re.findall(r"^(\w+Saver) +([\d.]+)", done.stdout, re.MULTILINE)}
    assert set(told) == {"InMemorySaver", "SqliteSaver", "AgentmemSaver"}
    content = 60 * 61 / 2 * 8192 / 2**20  # MiB of all states
    assert told["InMemorySaver"] > 0.8 * content and told["SqliteSaver"] > 0.8 * content
    assert told["AgentmemSaver"] < 0.5 * content
