"""The binding for Node on the kernel's backend: the same suite as on the fallback, and the package's binary."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import hostroot, node
from harness.hostroot import HostRoot, Machine
from harness.kernel import Kernel

SECONDS = 1500.0
PROGRAM = """
const { alloc, backend, stats } = require('libagentmem-node');
const smu = alloc({ type: 'tool-def', data: 'installed' });
console.log(backend(), smu.buffer.toString(), stats(smu).holders);
"""


@dataclass(frozen=True)
class Place:
    """A guest that has the host's files, and what was built for its kernel."""

    guest: HostRoot
    kernel: Kernel

    def run(self, directory: Path, *argv: str | Path, backend: str) -> tuple[int, str]:
        out, err = io.BytesIO(), io.BytesIO()
        place = ["env", "-C", str(directory), f"AGENTMEM_BACKEND={backend}"]
        code = self.guest.run([*place, *map(str, argv)], SECONDS, out, err)
        return code, out.getvalue().decode() + err.getvalue().decode()


@pytest.fixture(scope="module")
def place(kernels: Callable[[str], Kernel]) -> Iterator[Place]:
    kernel = kernels("lab")
    with hostroot.start(Machine(kernel, 2048, 2)) as guest:
        yield Place(guest, kernel)
    guest.check()


def test_suite_passes_on_the_calls(place: Place) -> None:
    built = node.build("guest", headers=place.kernel.headers)
    tests = sorted(built.glob("test/*.test.mjs"))
    options = ["--expose-gc", "--test", "--test-reporter=tap", "--test-concurrency=1"]
    code, said = place.run(built, node.node().program, *options, *tests, backend="kernel")
    counts = {name: int(number) for name, number in re.findall(r"^# (pass|fail|skipped) (\d+)$", said, re.MULTILINE)}
    assert code == 0 and counts["fail"] == counts["skipped"] == 0 and counts["pass"] >= 60, said


@pytest.mark.parametrize("backend", ["kernel", "fallback"])
def test_the_packages_binary_knows_the_calls(place: Place, tmp_path: Path, backend: str) -> None:
    package = node.pack("guest-package", headers=place.kernel.headers)
    (tmp_path / "package.json").write_text("{}")
    install = [*node.node().npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", str(package)]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True, timeout=280)
    (tmp_path / "program.js").write_text(PROGRAM)
    code, said = place.run(tmp_path, node.node().program, "program.js", backend=backend)
    assert (code, said) == (0, f"{backend} installed 1\n")
