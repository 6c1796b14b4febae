"""Node's own tests: which of Debian's versions they are taken from, and what their runner's report says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import node_tests
from harness.errors import LabError

REPORT = """\
TAP version 13
1..4
ok 1 parallel/test-buffer-alloc
  ---
  duration_ms: 269.03300
  ...
ok 2 parallel/test-zlib-large # skip insufficient memory
  ---
  ...
not ok 3 parallel/test-process-versions
  ---
  severity: fail
  exitcode: 1
  stack: |-
    ok 9 parallel/test-not-this
  ...
ok 4 parallel/test-buffer-bytelength
"""


def test_what_passed_is_told_and_what_was_skipped() -> None:
    told = node_tests.passed(Path(), REPORT).splitlines()
    assert told == ["parallel/test-buffer-alloc", "parallel/test-buffer-bytelength", "parallel/test-zlib-large skipped"]


def test_one_that_fails_or_is_skipped_with_the_shim_only_is_lost() -> None:
    whole = node_tests.passed(Path(), REPORT)
    for other in ("not ok 1 parallel/test-buffer-alloc", "ok 1 parallel/test-buffer-alloc # skip why"):
        worse = node_tests.passed(Path(), REPORT.replace("ok 1 parallel/test-buffer-alloc", other))
        assert not node_tests.none_lost(whole, worse)


def test_one_that_fails_without_the_shim_does_not_count() -> None:
    whole = node_tests.passed(Path(), REPORT)
    better = node_tests.passed(Path(), REPORT.replace("not ok 3", "ok 3"))
    assert node_tests.none_lost(whole, whole) and node_tests.none_lost(whole, better)


def test_the_version_that_node_is_of_comes_first_then_the_newest_of_its_line() -> None:
    same, newer, other = "20.19.2+dfsg-1+deb13u3", "20.21.0+dfsg-1", "24.21.0+dfsg+~cs24.13.4-1"
    assert node_tests.pick([other, newer, same], "20.19.2") == same
    assert node_tests.pick([other, newer], "20.19.2") == newer


def test_another_line_of_node_is_of_no_use() -> None:
    with pytest.raises(LabError, match="only 24.21.0"):
        node_tests.pick(["24.21.0+dfsg-1"], "20.19.2")
    with pytest.raises(LabError, match="only none"):
        node_tests.pick([], "20.19.2")
