"""What a KTAP text reports: tests in tests, and the leaves that count, each with a name of its own. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    EXPECTED = "expected"  # failed, and was said to: TODO, XFAIL
    MISSING = "missing"  # no result: crashed, hung, or never begun

    @property
    def good(self) -> bool:
        return self not in (Status.FAILED, Status.MISSING)


@dataclass(frozen=True)
class Test:
    """One result. name: unique in its level; reason: what came after `#`; diagnostics: the lines before it."""

    __test__ = False  # not a pytest class

    name: str
    status: Status
    reason: str = ""
    diagnostics: tuple[str, ...] = ()
    children: tuple[Test, ...] = ()

    @property
    def good(self) -> bool:
        return self.status.good and all(child.good for child in self.children)


@dataclass(frozen=True)
class Leaf:
    """A test without tests below it, or one that failed although none below it did. name: the whole path, with dots."""

    name: str
    status: Status
    reason: str
    diagnostics: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """All of one text. errors: where the text breaks the format; skipped: why the program ran no test at all."""

    tests: tuple[Test, ...]
    errors: tuple[str, ...]
    skipped: str = ""

    @property
    def good(self) -> bool:
        return not self.errors and all(test.good for test in self.tests)

    def leaves(self) -> list[Leaf]:
        """In the order in which they ran. Names are unique."""
        taken: dict[str, int] = {}
        return [
            Leaf(unique(name, taken), test.status, test.reason, test.diagnostics)
            for name, test in _walk(self.tests, "")
        ]


def _walk(tests: tuple[Test, ...], above: str) -> Iterator[tuple[str, Test]]:
    for test in tests:
        name = f"{above}{test.name}"
        yield from _walk(test.children, f"{name}.")
        if not test.children or (not test.status.good and all(child.good for child in test.children)):
            yield name, test


def unique(name: str, taken: dict[str, int]) -> str:
    """`name`, with #2 and so on if it is taken already. taken: how often each name was asked for."""
    number = taken.get(name, 0) + 1
    while (one := name if number == 1 else f"{name}#{number}") in taken:
        number += 1
    taken[name] = number
    taken.setdefault(one, 1)
    return one
