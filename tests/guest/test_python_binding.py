"""The Python binding on the kernel backend: its suite and LangGraph's, in a guest that has the host's files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import binding, hostroot, langgraph_tests
from harness.cache import work_dir
from harness.hostroot import HostRoot, Machine
from harness.kernel import Kernel

LEAST = 100
# LangGraph on the kernel backend: its conformance suite; histories that grow, branch and are pruned; items of a store.
# Left to the fallback is what runs the same calls again (other thresholds, asynchronous, in threads) or makes none that
# differ (vectors, mini-swe-agent): emulated, that takes three times as long as what is here.
FRAMEWORKS = """conforms or growing or branches or copied or deleting or pruning or descriptors or equal_values
 or another_run or (every_answer and 0-False)""".replace("\n", "")
FRAMEWORKS_LEAST = 12
SECONDS = 1500.0


@pytest.fixture(scope="module")
def wheel(kernels: Callable[[str], Kernel]) -> Path:
    return binding.wheel("guest", headers=kernels("lab").headers)


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    return binding.environment(wheel, binding.PROJECT / "requirements-test.txt")


@pytest.fixture(scope="module")
def guest(kernels: Callable[[str], Kernel]) -> Iterator[HostRoot]:
    with hostroot.start(Machine(kernels("lab"), 2048, 2)) as started:
        yield started
    started.check()


def suite(guest: HostRoot, python: Path, *arguments: str, cwd: Path = binding.PROJECT, **env: str) -> int:
    """How many tests passed; all did, on the kernel's backend."""
    argv = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:faulthandler", *arguments]
    settings = {"AGENTMEM_BACKEND": "kernel", "PYTHONDONTWRITEBYTECODE": "1", **env}
    named = (f"{name}={value}" for name, value in settings.items())
    out = io.BytesIO()
    code = guest.run(["env", "-C", str(cwd), *named, *argv], SECONDS, out, out)
    said = out.getvalue().decode(errors="replace")
    assert code == 0, said[-8000:]
    assert "agentmem: kernel backend" in said
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    return int(passed[1])


def test_the_suite_passes(guest: HostRoot, python: Path) -> None:
    assert suite(guest, python) >= LEAST


def test_langgraphs_saver_and_store_pass(guest: HostRoot, wheel: Path) -> None:
    python = binding.environment(wheel, binding.PROJECT / "requirements-frameworks.txt")
    chosen = ("-p", "no:asyncio", "-k", FRAMEWORKS, "tests_frameworks/test_langgraph.py")
    assert suite(guest, python, *chosen) >= FRAMEWORKS_LEAST


@pytest.mark.long
def test_langgraphs_own_tests_pass_with_ours_instead_of_theirs(guest: HostRoot, wheel: Path) -> None:
    python = binding.environment(wheel, binding.PROJECT / "requirements-frameworks.txt")
    path = str(langgraph_tests.plugin(work_dir("langgraph-tests")))
    theirs = ("-p", langgraph_tests.PLUGIN, *langgraph_tests.TESTS)
    passed = suite(guest, python, *theirs, cwd=langgraph_tests.source(), PYTHONPATH=path)
    assert passed >= langgraph_tests.LEAST
