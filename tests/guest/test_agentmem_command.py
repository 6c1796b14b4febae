"""The agentmem command on the kernel's calls and tracepoints: what of its suite depends on the backend."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import binding, hostroot
from harness.hostroot import HostRoot, Machine
from harness.kernel import Kernel

LEAST = 14
SECONDS = 2400.0


@pytest.fixture(scope="module")
def python(kernels: Callable[[str], Kernel]) -> Path:
    wheel = binding.wheel("guest", headers=kernels("lab").headers)
    return binding.environment(wheel, binding.PROJECT / "requirements-command.txt")


@pytest.fixture(scope="module")
def guest(kernels: Callable[[str], Kernel]) -> Iterator[HostRoot]:
    with hostroot.start(Machine(kernels("lab"), 2048, 2)) as started:
        yield started
    started.check()


def test_the_suite_passes(guest: HostRoot, python: Path) -> None:
    suite = f"{python} -m pytest -p no:cacheprovider -p no:faulthandler -m 'guest or records' tests_command"
    where = f"cd {shlex.quote(str(binding.PROJECT))} && AGENTMEM_BACKEND=kernel PYTHONDONTWRITEBYTECODE=1"
    out = io.BytesIO()
    code = guest.run(["sh", "-c", f"{where} {suite}"], SECONDS, out, out)
    said = out.getvalue().decode(errors="replace")
    assert code == 0, said[-8000:]
    assert "agentmem: kernel backend" in said and "skipped" not in said
    passed = re.search(r"(\d+) passed", said)
    assert passed and int(passed[1]) >= LEAST, said
