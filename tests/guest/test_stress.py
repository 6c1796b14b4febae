"""The stress test in full: 64 processes for a minute, a thousand SIGKILLs amid calls, under every checker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import ktap, selftests
from harness.guest import Guest
from harness.kernel import Kernel

LONGER = {"AGENT_MEM_STRESS_SECONDS": "60", "AGENT_MEM_STRESS_KILLS": "1000"}
pytestmark = pytest.mark.long


def test_nothing_is_left_and_no_byte_is_wrong(kernels: Callable[[str], Kernel]) -> None:
    kernel = kernels("debug")
    source = kernel.tree / selftests.SUITE / "stress_test.c"
    with Guest.start(kernel, memory_mb=selftests.MEMORY_MB, cpus=2) as guest:
        guest.push(selftests.build(source, kernel), "/tmp/stress_test")
        done = guest.run(["/tmp/stress_test"], env=LONGER, timeout=3000)
        guest.check()
    report = ktap.parse(done.stdout.decode(errors="replace"))
    assert done.code == 0, done.stdout.decode(errors="replace")
    assert {leaf.name for leaf in report.leaves() if leaf.status.good} >= set(selftests.listed(source))
