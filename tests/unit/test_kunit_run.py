"""A KUnit run and its ends. In the place of User Mode Linux stands a process that prints what a real one printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import kunit
from harness.errors import GuestFault, LabError, TestsFailed
from harness.kernel import Kernel
from harness.kernel_tests import Run

RECORDED = Path(__file__).parent.parent / "data" / "ktap"
SUITE = ["example.example_simple_test", "example.example_params_test", "example.example_slow_test"]


def run(directory: Path, log: str, end: str = "exit 0") -> Run:
    image = directory / "linux"
    image.write_text(f"#!/bin/sh\ncat '{RECORDED / log}.log'\n{end}\n")
    image.chmod(0o755)
    where = directory
    return kunit.run(Kernel("um", "um", "key", "7.3.4", image, where, where, where, where))


def test_a_good_run(tmp_path: Path) -> None:
    done = run(tmp_path, "kunit-many-suites")
    done.judge("list-kunit-test.list_test_list_add")
    listed = sorted({one.name.rsplit(".", 1)[0] for one in done.report.leaves()} - {"kunit_fault"})
    done.judge_whole([*listed, "kunit_fault", "example_skip_suite"])


def test_failures_are_told_in_the_kernels_words(tmp_path: Path) -> None:
    done = run(tmp_path, "kunit-fails")
    with pytest.raises(TestsFailed, match=r"Expected 1 \+ how == 1, but\n.*1 \+ how == 2 \(0x2\)") as caught:
        done.judge(SUITE[0])
    assert caught.value.log == done.log
    with pytest.raises(TestsFailed, match=r"example value 2: failed\n(?s:.*)example value 1: failed"):
        done.judge(SUITE[1])
    done.judge(SUITE[2])


def test_a_splat_fails_the_run_though_each_test_passed(tmp_path: Path) -> None:
    done = run(tmp_path, "kunit-warns")
    for name in SUITE:
        done.judge(name)
    with pytest.raises(GuestFault, match="the kernel reported warning"):
        done.judge_whole(["example_init", "example_skip_suite", "example"])


def test_a_crash_fails_what_was_running_and_says_why(tmp_path: Path) -> None:
    done = run(tmp_path, "kunit-crashes", "kill -ABRT $$")
    done.judge(SUITE[0])
    with pytest.raises(GuestFault, match="Segfault with no mm"):
        done.judge(SUITE[2])
    with pytest.raises(GuestFault, match="Segfault with no mm"):
        done.judge_whole(["example_init", "example_skip_suite", "example"])
    with pytest.raises(GuestFault, match=r"later\.case did not report; the run ended in example\.example_slow_test"):
        done.judge("later.case")


def test_a_hang_ends_in_time_and_is_the_kernels_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kunit, "TIMEOUT", 1.0)
    done = run(tmp_path, "kunit-hangs", "sleep 100")
    done.judge(SUITE[0])
    with pytest.raises(GuestFault, match="did not end within 1 s"):
        done.judge(SUITE[2])


def test_output_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kunit, "MAX_OUTPUT", 1 << 20)
    done = run(tmp_path, "kunit-fails", "yes | tr -d '\\n'")
    assert done.log.stat().st_size < 3 << 20
    with pytest.raises(GuestFault, match="more than 1 MB"):
        done.judge_whole(["example_init", "example_skip_suite", "example"])


def test_an_exit_code_alone_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(GuestFault, match="exit code 3"):
        run(tmp_path, "kunit-fails", "exit 3").judge_whole([])


def test_an_unlisted_test_is_named(tmp_path: Path) -> None:
    with pytest.raises(TestsFailed, match=r"not found in the sources: klist\.klist_test_add_tail"):
        done = run(tmp_path, "kunit-many-suites")
        done.judge_whole([one.name for one in done.report.leaves() if not one.name.startswith("klist.")])


def test_a_skipped_test_fails_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(TestsFailed, match=r"skipped \(only useful when debugfs is enabled\)"):
        run(tmp_path, "kunit-many-suites").judge("kunit-log-test.kunit_log_newline_test")


def test_a_tree_without_cases_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no KUnit case"):
        kunit.listed(tmp_path)
