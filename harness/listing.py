"""Which tests the kernel tree holds, read from its sources: what a run has to report. Pure.

A test that the preprocessor makes in another way than KUnit's and kselftest_harness.h's own macros is not seen here;
it is noticed when it reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

KUNIT_CASES = re.compile(r"struct\s+kunit_case\s+(\w+)\s*\[\]\s*=\s*\{(.*?)\n\s*\};", re.DOTALL)
KUNIT_CASE = re.compile(r"\bKUNIT_CASE\w*\s*\(\s*(\w+)")
KUNIT_SUITE = re.compile(r"struct\s+kunit_suite\s+\w+\s*=\s*\{(.*?)\n\s*\};", re.DOTALL)
SUITE_NAME = re.compile(r"\.name\s*=\s*\"([^\"]+)\"")
SUITE_CASES = re.compile(r"\.test_cases\s*=\s*(\w+)")

PROGRAM = re.compile(r"^\s*TEST_HARNESS_MAIN\b|\btest_harness_run\s*\(", re.MULTILINE)
TEST = re.compile(r"^\s*TEST(?:_SIGNAL)?\s*\(\s*(\w+)", re.MULTILINE)
TEST_F = re.compile(r"^\s*TEST_F(?:_SIGNAL|_TIMEOUT)?\s*\(\s*(\w+)\s*,\s*(\w+)", re.MULTILINE)
VARIANT = re.compile(r"^\s*FIXTURE_VARIANT_ADD\s*\(\s*(\w+)\s*,\s*(\w+)", re.MULTILINE)


def kunit(source: str) -> list[str]:
    """SUITE.CASE of each KUnit case; of a case with parameters, what its parameters stand below."""
    text = COMMENT.sub(" ", source)
    cases = {match[1]: KUNIT_CASE.findall(match[2]) for match in KUNIT_CASES.finditer(text)}
    return list(_suites(text, cases))


def _suites(text: str, cases: dict[str, list[str]]) -> Iterator[str]:
    for suite in KUNIT_SUITE.finditer(text):
        name, array = SUITE_NAME.search(suite[1]), SUITE_CASES.search(suite[1])
        if name and array:
            yield from (f"{name[1]}.{case}" for case in cases.get(array[1], ()))


def is_selftest(source: str) -> bool:
    """Whether a C file is a program of kselftest_harness.h, not a part of one."""
    return PROGRAM.search(COMMENT.sub(" ", source)) is not None


def selftest(source: str) -> list[str]:
    """The tests of a program as it reports them: global.TEST, FIXTURE.TEST or FIXTURE.VARIANT.TEST."""
    text = COMMENT.sub(" ", source)
    variants: dict[str, list[str]] = {}
    for fixture, variant in VARIANT.findall(text):
        variants.setdefault(fixture, []).append(variant)
    names = [f"global.{test}" for test in TEST.findall(text)]
    for fixture, test in TEST_F.findall(text):
        names += (
            [f"{fixture}.{variant}.{test}" for variant in variants[fixture]]
            if fixture in variants
            else [f"{fixture}.{test}"]
        )
    return names
