"""The runner of selftests on a program whose every end is known, in a real guest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import selftests
from harness.cache import REPO
from harness.errors import BuildError, GuestFault, LabError, TestsFailed
from harness.kernel import Kernel
from harness.selftests import Selftests

VARIANTS = REPO / "tests" / "data" / "ktap" / "variants.c"
PROGRAM = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "kselftest_harness.h"
TEST(good) {{ }}
TEST(bad) {{ {bad} }}
TEST(late) {{ }}
TEST_HARNESS_MAIN
"""
NAMES = ["global.good", "global.bad", "global.late"]
# What the program printed just before a panic may be lost on its way: give it a second.
CRASH = 'sleep(1); int fd = open("/proc/sysrq-trigger", O_WRONLY); ASSERT_EQ(1, write(fd, "c", 1));'
KILL = "kill(getppid(), SIGKILL);"


@pytest.fixture(scope="module")
def suite(kernels: Callable[[str], Kernel]) -> Iterator[Selftests]:
    started = Selftests(kernels("lab"))
    yield started
    started.close()


def write(directory: Path, name: str, bad: str) -> Path:
    path = directory / f"{name}.c"
    path.write_text(PROGRAM.format(bad=bad))
    return path


def test_each_test_is_judged_by_its_own_result(suite: Selftests) -> None:
    run = suite.run(VARIANTS)
    bad = {"global.dies", "global.dies_unexpectedly", "pair.large.is_small", "plain.times_out", "plain.skips"}
    listed = selftests.listed(VARIANTS)
    assert bad < set(listed)
    for name in listed:
        if name in bad:
            with pytest.raises(TestsFailed, match=name.split(".")[-1]):
                run.judge(name)
        else:
            run.judge(name)
    run.judge_whole(listed)
    assert (
        "100) == 1" in next(leaf for leaf in run.report.leaves() if leaf.name == "pair.large.is_small").diagnostics[1]
    )
    assert run.log.read_bytes().startswith(b"TAP version 13")


def test_what_a_killed_program_did_not_report_failed(suite: Selftests, tmp_path: Path) -> None:
    run = suite.run(write(tmp_path, "killed", KILL))
    run.judge("global.good")
    for name in ("global.bad", "global.late"):
        with pytest.raises(TestsFailed, match="exit code 137"):
            run.judge(name)
    with pytest.raises(TestsFailed, match="exit code 137"):
        run.judge_whole(NAMES)


def test_a_panic_is_the_kernels_fault_and_the_next_program_has_a_guest(suite: Selftests, tmp_path: Path) -> None:
    run = suite.run(write(tmp_path, "panic", CRASH))
    run.judge("global.good")
    with pytest.raises(GuestFault, match="sysrq triggered crash"):
        run.judge("global.bad")
    with pytest.raises(GuestFault, match="sysrq triggered crash"):
        run.judge_whole(NAMES)
    after = suite.run(write(tmp_path, "after", ""))
    after.judge("global.bad")
    after.judge_whole(NAMES)


def test_a_program_that_does_not_compile_is_the_series_fault(suite: Selftests, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="nonsense") as caught:
        suite.run(write(tmp_path, "broken", "nonsense;"))
    assert caught.value.exit_code == 3


def test_an_unlisted_test_fails_the_run(suite: Selftests, tmp_path: Path) -> None:
    run = suite.run(write(tmp_path, "unlisted", ""))
    with pytest.raises(TestsFailed, match=r"not found in the sources: global\.late"):
        run.judge_whole(NAMES[:2])


def test_a_leak_scan_that_cannot_run_is_no_pass(suite: Selftests) -> None:
    with pytest.raises(LabError, match="kmemleak cannot be asked"):
        suite.check_leaks()  # the lab flavour has none
