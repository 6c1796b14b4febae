"""On a machine with two memory tiers: what the selftests say of where content lies has two places to tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness import selftests
from harness.kernel import Kernel
from harness.selftests import Selftests

PROGRAMS = ("memory_test", "stats_test", "append_test", "lru_test", "swap_test")


@pytest.fixture(scope="module")
def suite(kernels: Callable[[str], Kernel]) -> Iterator[Selftests]:
    started = Selftests(kernels("lab"), "hmat")
    yield started
    started.close()


def test_the_second_node_is_a_lower_tier(suite: Selftests) -> None:
    script = "cat /sys/devices/virtual/memory_tiering/memory_tier*/nodelist"
    done = suite.running().run(["sh", "-c", script])
    assert (done.code, done.stdout) == (0, b"0\n1\n")


@pytest.mark.parametrize("name", PROGRAMS)
def test_selftests_pass(suite: Selftests, name: str) -> None:
    source = suite.kernel.tree / selftests.SUITE / f"{name}.c"
    run = suite.run(source)
    run.judge_whole(selftests.listed(source))
    for case in selftests.listed(source):
        run.judge(case)
