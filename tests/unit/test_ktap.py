"""KTAP as real kernels print it (tests/data/ktap), and as broken ones might."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from harness import ktap
from harness.ktap_report import Leaf, Report, Status

RECORDED = Path(__file__).parent.parent / "data" / "ktap"


def recorded(name: str) -> Report:
    return ktap.parse((RECORDED / f"{name}.log").read_text())


def leaf(report: Report, name: str) -> Leaf:
    (found,) = [one for one in report.leaves() if one.name == name]
    return found


def counts(report: Report) -> dict[Status, int]:
    return Counter(one.status for one in report.leaves())


# -- recorded ------------------------------------------------------------------------------------------------------


def test_kunit_among_kernel_messages() -> None:
    report = recorded("kunit-many-suites")
    assert report.good
    assert not report.errors
    assert counts(report) == {Status.PASSED: 170, Status.SKIPPED: 9}
    assert leaf(report, "list-kunit-test.list_test_list_add").status is Status.PASSED
    assert leaf(report, "example.example_params_test.example value 3").reason == "unsupported param value 3"
    assert leaf(report, "kunit_fault").status is Status.SKIPPED


def test_parameters_of_equal_name_are_two_tests() -> None:
    names = [one.name for one in recorded("kunit-many-suites").leaves() if "fibonacci" in one.name]
    above = "example.example_params_test_with_init_dynamic_arr"
    assert names[1:3] == [f"{above}.fibonacci param: 1", f"{above}.fibonacci param: 1#2"]


def test_a_kernels_stack_trace_stays_with_its_test() -> None:
    report = recorded("kunit-many-suites")
    twice = leaf(report, "kunit_platform_device.kunit_platform_device_add_twice_fails_test")
    assert any("cannot create duplicate filename" in line for line in twice.diagnostics)
    assert not leaf(report, "kunit_platform_device.kunit_platform_device_add_cleans_up").diagnostics


def test_a_failed_expectation_tells_what_it_expected() -> None:
    report = recorded("kunit-fails")
    assert not report.good
    failed = [one for one in report.leaves() if one.status is Status.FAILED]
    assert [one.name for one in failed] == [
        "example.example_simple_test",
        "example.example_params_test.example value 2",
        "example.example_params_test.example value 1",
    ]
    for one in failed:
        assert any("EXPECTATION FAILED at lib/kunit/kunit-example-test.c" in line for line in one.diagnostics)
    assert "        1 + how == 2 (0x2)" in failed[0].diagnostics
    assert "        how & 1 == 1 (0x1)" in failed[1].diagnostics


def test_a_warning_within_a_test_does_not_hide_its_result() -> None:
    report = recorded("kunit-warns")
    assert report.good
    assert any("WARNING:" in line for line in leaf(report, "example.example_simple_test").diagnostics)


@pytest.mark.parametrize("name", ["kunit-crashes", "kunit-hangs"])
def test_a_kernel_that_dies_fails_the_test_under_way(name: str) -> None:
    report = recorded(name)
    assert not report.good
    assert report.errors == ("10 of 11 tests of example reported", "2 of 3 tests reported")
    (missing,) = [one for one in report.leaves() if one.status is Status.MISSING]
    assert missing.name == "example.example_slow_test"
    assert missing.reason == "began and never ended"
    if name == "kunit-crashes":
        assert missing.diagnostics[-1] == "Kernel panic - not syncing: Segfault with no mm"


def test_kselftest_harness() -> None:
    report = recorded("selftest-harness")
    assert counts(report) == {Status.PASSED: 9, Status.FAILED: 8, Status.SKIPPED: 1, Status.EXPECTED: 1}
    assert leaf(report, "global.exit_xfail").status is Status.EXPECTED
    assert leaf(report, "global.exit_xpass").status is Status.FAILED
    assert any("Expected 0 (0) == 1 (1)" in line for line in leaf(report, "fixture.fail").diagnostics)
    # One of its tests prints a result of its own, which is none.
    (error,) = report.errors
    assert "result 1 came where 12 was due" in error


def test_variants_of_a_fixture() -> None:
    report = recorded("selftest-variants")
    assert leaf(report, "pair.small.is_small").status is Status.PASSED
    assert leaf(report, "pair.large.is_small").status is Status.FAILED
    assert leaf(report, "plain.skips").reason == "no node here"
    assert "said in between" in leaf(report, "global.alone").diagnostics
    assert not report.errors


def test_a_killed_program_fails_what_ran_and_what_never_came() -> None:
    report = recorded("selftest-killed")
    assert report.errors == ("3 of 10 tests reported",)
    missing = [one for one in report.leaves() if one.status is Status.MISSING]
    assert len(missing) == 7
    assert (missing[0].name, missing[0].reason) == ("global.kills_the_program", "began and never ended")
    assert {one.reason for one in missing[1:]} == {"never reported"}


@pytest.mark.parametrize("log", sorted(RECORDED.glob("*.log")), ids=lambda path: path.stem)
def test_cut_anywhere_no_test_is_lost_and_none_is_good_for_nothing(log: Path) -> None:
    lines = log.read_text().splitlines(keepends=True)
    plans = [number for number, line in enumerate(lines) if line.rstrip().endswith(("1..22", "1..3", "1..19", "1..10"))]
    whole = ktap.parse("".join(lines))
    for cut in range(plans[0] + 1, len(lines)):
        report = ktap.parse("".join(lines[:cut]))
        assert len(report.tests) == len(whole.tests)
        if report.good:
            assert [one.status for one in report.leaves()] == [one.status for one in whole.leaves()]


# -- the format ----------------------------------------------------------------------------------------------------

NESTED = """\
KTAP version 1
1..2
  KTAP version 1
  1..2
    KTAP version 1
    1..2
    not ok 1 test_1
    ok 2 test_2
  not ok 1 test_3
  ok 2 test_4 # SKIP
not ok 1 example_test_1
ok 2 example_test_2
"""


def test_three_levels_of_the_specification() -> None:
    report = ktap.parse(NESTED)
    assert [(one.name, one.status.value) for one in report.leaves()] == [
        ("example_test_1.test_3.test_1", "failed"),
        ("example_test_1.test_3.test_2", "passed"),
        ("example_test_1.test_4", "skipped"),
        ("example_test_2", "passed"),
    ]
    assert not report.errors


@pytest.mark.parametrize(
    "dress",
    [
        lambda line: line,
        lambda line: f"[    1.234567] {line}",
        lambda line: f"[   12.234567][  T123] {line}",
        lambda line: f"<6>[    1.234567] {line}",
        lambda line: f"{line}\r",
        lambda line: f"\x1b[1;31m{line}\x1b[0m\x07",
        lambda line: f"{line}\nrandom: crng init done",
        lambda line: f"{line}\n[    9.999999] ok, that was something else",
    ],
    ids=["plain", "time", "caller", "level", "crlf", "colour", "noise", "noise-ok"],
)
def test_a_console_adds_to_it(dress: object) -> None:
    assert callable(dress)
    text = "\n".join(dress(line) for line in NESTED.splitlines())
    report = ktap.parse(text)
    assert [(one.name, one.status) for one in report.leaves()] == [
        (one.name, one.status) for one in ktap.parse(NESTED).leaves()
    ]
    assert not report.errors


def one(line: str, plan: str = "1..1") -> Leaf:
    (found,) = ktap.parse(f"TAP version 13\n{plan}\n{line}\n").leaves()
    return found


@pytest.mark.parametrize(
    ("line", "name", "status", "reason"),
    [
        ("ok 1 name", "name", Status.PASSED, ""),
        ("ok 1 - name of it", "name of it", Status.PASSED, ""),
        ("ok 1", "test 1", Status.PASSED, ""),
        ("ok 1 name # rcode=0", "name", Status.PASSED, "rcode=0"),
        ("not ok 1 name", "name", Status.FAILED, ""),
        ("ok 1 name # SKIP no node", "name", Status.SKIPPED, "no node"),
        ("not ok 1 name # skip no node", "name", Status.SKIPPED, "no node"),
        ("ok 1 # SKIP late name", "late name", Status.SKIPPED, "late name"),
        ("not ok 1 name # TODO later", "name", Status.EXPECTED, "later"),
        ("ok 1 name # TODO later", "name", Status.PASSED, "later"),
        ("ok 1 name # XFAIL known", "name", Status.EXPECTED, "known"),
        ("not ok 1 name # TIMEOUT 30 seconds", "name", Status.FAILED, "TIMEOUT: 30 seconds"),
        ("ok 1 name # ERROR it broke", "name", Status.FAILED, "ERROR: it broke"),
    ],
)
def test_results_and_directives(line: str, name: str, status: Status, reason: str) -> None:
    assert one(line) == Leaf(name, status, reason, ())


def test_a_parent_that_fails_by_itself_is_a_failure_of_its_own() -> None:
    report = ktap.parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 child\nnot ok 1 suite\n")
    assert [(one.name, one.status) for one in report.leaves()] == [
        ("suite.child", Status.PASSED),
        ("suite", Status.FAILED),
    ]
    assert not report.good


def test_an_ok_of_the_parent_does_not_hide_a_failed_child() -> None:
    report = ktap.parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 child\nok 1 suite\n")
    assert not report.good


def test_a_subtest_without_a_version_line() -> None:
    report = ktap.parse("TAP version 14\n1..1\n    # Subtest: suite\n    1..1\n    ok 1 case\nok 1 suite\n")
    assert [one.name for one in report.leaves()] == ["suite.case"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "there is no KTAP"),
        ("ok 1 name\n", "there is no KTAP"),
        ("TAP version 13\nok 1 name\n", "there is no plan"),
        ("TAP version 13\n1..3\nok 1 a\nok 2 b\n", "2 of 3 tests reported"),
        ("TAP version 13\n1..1\nok 1 a\nok 2 b\n", "beyond the plan"),
        ("TAP version 13\n1..2\nok 1 a\nok 1 b\n", "result 1 came where 2 was due"),
        ("TAP version 13\n1..3\nok 1 a\nok 3 c\n", "result 3 came where 2 was due"),
        ("TAP version 13\n1..2\nok 1 a\nBail out! no memory\n", "bailed out: no memory"),
    ],
)
def test_a_broken_report_is_an_error(text: str, error: str) -> None:
    report = ktap.parse(text)
    assert any(error in one for one in report.errors)
    assert not report.good


def test_a_lost_result_fails_and_those_after_it_keep_theirs() -> None:
    report = ktap.parse("TAP version 13\n1..3\nok 1 a\nok 3 c\n")
    assert [(one.name, one.status) for one in report.leaves()] == [
        ("a", Status.PASSED),
        ("test 2", Status.MISSING),
        ("c", Status.PASSED),
    ]


def test_a_program_that_skips_as_a_whole() -> None:
    report = ktap.parse("TAP version 13\n1..0 # SKIP needs root\n")
    assert report.skipped == "needs root"
    assert not report.leaves()


def test_two_programs_in_one_text_have_names_of_their_own() -> None:
    text = "TAP version 13\n1..1\nok 1 same\n"
    assert [one.name for one in ktap.parse(text + text).leaves()] == ["same", "same#2"]


def test_names_are_unique_however_they_are_chosen() -> None:
    lines = ["a", "a", "a", "b.c"]
    text = "TAP version 13\n1..5\n" + "".join(f"ok {n} {name}\n" for n, name in enumerate(lines, 1))
    text += "  TAP version 13\n  1..1\n  ok 1 c\nok 5 b\n"
    names = [one.name for one in ktap.parse(text).leaves()]
    assert names == ["a", "a#2", "a#3", "b.c", "b.c#2"]


# -- hostile -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "TAP version 13\n1..999999999\n",
        "".join(f"{' ' * n}TAP version 13\n{' ' * n}1..999999999\n" for n in range(2000)),
        "TAP version 13\n1..1000000\n" + "".join(f"ok {n} x\n" for n in range(1, 100_000)),
        "TAP version 13\n1..2\n" + "noise\n" * 200_000 + "ok 1 x\n",
        "TAP version 13\n1..2\nok 1 " + "x" * 5_000_000,
        "TAP version 13\n1..2\nok 1" + " " * 1_000_000 + "#" * 1_000_000 + "\n",
        "KTAP version 1\n1..9\n" * 50_000,
        "TAP version 13\n1..9\n" + "\r" * 3_000_000 + "ok 1 x",
        "TAP version 13\n1..9\nok 999999999 x\n" * 1000,
    ],
    ids=["plan", "deep", "many", "noise", "long", "blanks", "restarts", "returns", "numbers"],
)
def test_what_is_kept_of_a_hostile_text_is_bounded(text: str) -> None:
    started = time.monotonic()
    report = ktap.parse(text)
    leaves = report.leaves()
    assert not report.good
    assert len(leaves) <= ktap.TESTS + ktap.NEVER_CAME * ktap.DEPTH
    assert sum(len(line) for one in leaves for line in one.diagnostics) < 10_000_000
    assert time.monotonic() - started < 20
