"""Tests that the kernel's own sources list, against what a real run of them reported (tests/data/ktap)."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import ktap, kunit, listing, pytest_lab

RECORDED = Path(__file__).parent.parent / "data" / "ktap"


@pytest.fixture(scope="module")
def source(pytestconfig: pytest.Config) -> Path:
    return pytest_lab.applied(pytestconfig)


def reported(name: str) -> list[str]:
    return [leaf.name for leaf in ktap.parse((RECORDED / f"{name}.log").read_text()).leaves()]


def test_a_selftest_of_the_kernel(source: Path) -> None:
    text = (source / "tools/testing/selftests/kselftest_harness/harness-selftest.c").read_text()
    assert listing.is_selftest(text)
    assert sorted(listing.selftest(text)) == sorted(reported("selftest-harness"))


@pytest.mark.parametrize(
    ("path", "suites"),
    [
        ("lib/tests/list-test.c", ("list-kunit-test", "hlist", "klist")),
        ("lib/tests/hashtable_test.c", ("hashtable",)),
        ("kernel/sysctl-test.c", ("sysctl_test",)),
        ("lib/kunit/string-stream-test.c", ("string-stream-test",)),
    ],
)
def test_kunit_suites_of_the_kernel(source: Path, path: str, suites: tuple[str, ...]) -> None:
    ran = [name for name in reported("kunit-many-suites") if name.split(".")[0] in suites]
    assert listing.kunit((source / path).read_text()) == ran


def test_the_series_lists_cases_that_differ(source: Path) -> None:
    cases = kunit.listed(source)
    assert len(cases) == len(set(cases))
