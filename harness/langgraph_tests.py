"""LangGraph's own tests of its in-memory saver and store, run with those of `agentmem.langgraph` in their place."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from harness import proc
from harness.cache import cache_dir, locked, new_dir, new_file

# Its source distribution, which has its tests; the version is the one of requirements-frameworks.txt.
SOURCE = "langgraph-checkpoint==4.3.2 --hash=sha256:fcab8468c7e965d7055e2a35c253d73a145624ef4728b150ca7c361f4afca286"
TESTS = ("tests/test_memory.py", "tests/test_store.py")
LEAST = 134  # of them
PLUGIN = "instead"
INSTEAD = """
import agentmem, langgraph.checkpoint.memory, langgraph.store.memory
from agentmem.langgraph import AgentmemSaver, AgentmemStore

class Saver(AgentmemSaver):
    def __init__(self, **options):
        super().__init__(threshold=0, **options)

class Store(AgentmemStore):
    def __init__(self, **options):
        super().__init__(threshold=0, **options)

langgraph.checkpoint.memory.InMemorySaver, langgraph.store.memory.InMemoryStore = Saver, Store

def pytest_report_header():
    return f"agentmem: {agentmem.backend()} backend"
"""


def source() -> Path:
    """The unpacked source distribution: TESTS are relative to it. ToolError: pip could not fetch it."""
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


def plugin(place: Path) -> Path:
    """Writes the pytest plugin PLUGIN, which puts ours in the place of theirs; returns what PYTHONPATH has to name."""
    with new_file(place / f"{PLUGIN}.py") as aside:
        aside.write_text(INSTEAD)
    return place
