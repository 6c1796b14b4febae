"""Frameworks on the Python binding: LangGraph, with its own tests of its in-memory saver and store; mini-swe-agent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness import binding, proc
from harness.cache import cache_dir, locked, new_dir

SUITE = binding.PROJECT / "tests_frameworks"
LEAST = 23  # tests of it
# Its source distribution, which has its tests; the version is the one of requirements-frameworks.txt.
SOURCE = "langgraph-checkpoint==4.3.2 --hash=sha256:fcab8468c7e965d7055e2a35c253d73a145624ef4728b150ca7c361f4afca286"
THEIR_TESTS = ("tests/test_memory.py", "tests/test_store.py")
THEIR_LEAST = 134
INSTEAD = """
import langgraph.checkpoint.memory, langgraph.store.memory
from agentmem.langgraph import AgentmemSaver, AgentmemStore

class Saver(AgentmemSaver):
    def __init__(self, **options):
        super().__init__(threshold=0, **options)

class Store(AgentmemStore):
    def __init__(self, **options):
        super().__init__(threshold=0, **options)

langgraph.checkpoint.memory.InMemorySaver, langgraph.store.memory.InMemoryStore = Saver, Store
"""


@pytest.fixture(scope="module")
def python() -> Path:
    return binding.environment(binding.wheel("native"), binding.PROJECT / "requirements-frameworks.txt")


@pytest.fixture(scope="module")
def langgraph_source() -> Path:
    target = cache_dir() / "binding" / SOURCE.partition(" ")[0]
    with locked("langgraph-source"):
        if not target.is_dir():
            with new_dir(target) as aside:
                (aside / "wanted.txt").write_text(SOURCE)
                how = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", str(aside)]
                pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
                proc.run([*pip, *how, "-r", str(aside / "wanted.txt")])
                (sdist,) = aside.glob("*.tar.gz")
                with tarfile.open(sdist) as archive:
                    archive.extractall(aside, filter="data")
    return next(path for path in target.iterdir() if path.is_dir())


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


def test_langgraphs_own_tests_pass_with_ours_instead_of_theirs(
    python: Path, langgraph_source: Path, tmp_path: Path
) -> None:
    (tmp_path / "instead.py").write_text(INSTEAD)
    path = {"PYTHONPATH": str(tmp_path)}
    assert suite(python, "-p", "instead", *THEIR_TESTS, cwd=langgraph_source, **path) >= THEIR_LEAST


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
