"""The tests that sources hold, against what the programs made of them reported."""

from __future__ import annotations

from pathlib import Path

from harness import ktap, listing

RECORDED = Path(__file__).parent.parent / "data" / "ktap"

KUNIT = """\
static struct kunit_case first_cases[] = {
	KUNIT_CASE(plain),
	KUNIT_CASE_SLOW(slow),
	/* KUNIT_CASE(commented_out), */
	KUNIT_CASE_PARAM(with_parameters,
				gen_params),
	KUNIT_CASE_ATTR(attributed, attr), // KUNIT_CASE(also_out)
	{}
};

static struct kunit_suite first_suite = {
	.name = "first",
	.init = first_init,
	.test_cases = first_cases,
};

static struct kunit_case second_cases[] = { KUNIT_CASE(plain), {}
};
static struct kunit_suite second_suite = {
	.test_cases = second_cases, .name = "second",
};
kunit_test_suites(&first_suite, &second_suite);
"""


def test_kunit_cases_by_suite() -> None:
    assert listing.kunit(KUNIT) == [
        "first.plain",
        "first.slow",
        "first.with_parameters",
        "first.attributed",
        "second.plain",
    ]


def test_a_selftest_lists_what_it_reports() -> None:
    reported = ktap.parse((RECORDED / "selftest-variants.log").read_text()).leaves()
    listed = listing.selftest((RECORDED / "variants.c").read_text())
    assert sorted(listed) == sorted(one.name for one in reported)


def test_commented_tests_and_calls_are_none() -> None:
    source = "/* TEST(old) { } */\n// TEST(older) { }\nvoid f(void) { RUN_TEST(x); }\nTEST(new) { }\n"
    assert listing.selftest(source) == ["global.new"]


def test_a_program_is_what_has_the_main_function() -> None:
    assert listing.is_selftest("TEST(a) { }\nTEST_HARNESS_MAIN\n")
    assert not listing.is_selftest("/* TEST_HARNESS_MAIN */ int helper(void) { return 0; }\n")
