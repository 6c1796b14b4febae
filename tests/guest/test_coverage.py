"""The selftests run our files' lines; those that they do not have a reason each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness import coverage, selftests
from harness.coverage import Coverage
from harness.kernel import Kernel
from harness.selftests import Selftests

ENOUGH = 0.95
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def covered(kernels: Callable[[str], Kernel]) -> Iterator[Coverage]:
    suite = Selftests(kernels("gcov"), "hmat")  # memory of two tiers: more of our lines have something to do
    try:
        for source in selftests.programs(suite.kernel.tree):
            suite.run(source).judge_whole(selftests.listed(source))
        yield coverage.collect(suite.running(), suite.kernel)
    finally:
        suite.close()


def test_lines_are_run(covered: Coverage, session_property: Callable[[str, object], None]) -> None:
    session_property("coverage.lines", f"{covered.ratio:.4f}")
    assert covered.ratio >= ENOUGH, "\n".join(map(str, covered.missed))


def test_each_line_that_is_not_run_has_a_reason(covered: Coverage) -> None:
    known = coverage.reasons()
    unexplained = [str(line) for line in covered.missed if not any(reason.covers(line) for reason in known)]
    assert not unexplained, "not run, and without a reason in ci/uncovered.toml:\n" + "\n".join(unexplained)


def test_no_reason_is_left_over(covered: Coverage) -> None:
    lasting = [reason for reason in coverage.reasons() if not reason.race]
    stale = [reason for reason in lasting if not any(reason.covers(line) for line in covered.missed)]
    assert not stale, f"they explain no line: {stale}"
