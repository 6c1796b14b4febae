"""KTAP and TAP, as kernels print it: text in, tests out. Pure.

The format is Documentation/dev-tools/ktap.rst. The levels of nested tests are told apart by indentation. What is no
line of the format (kernel messages, mostly) is kept with the test it came up in. A test that was announced (by a plan
or as running) and has no result is a failure. The text is hostile input: what is kept is bounded, each pattern is
linear.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field

from harness.ktap_report import Report, Status, Test, unique

TESTS = 20_000  # in one text
NEVER_CAME = 200  # tests without a result that are listed one by one
DEPTH = 8
WIDTH = 500  # characters of a line
FIRST, LAST = 100, 100  # diagnostic lines of one test that are kept

CONTROL = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # not for a person's terminal
# Console time and caller as printk puts them before a message, or its level.
PREFIX = re.compile(r"(?:<\d{1,3}>)?(?:\[ {0,10}\d{1,10}\.\d{6}\](?:\[ {0,6}[TC]\d{1,10}\])? ?)?")
VERSION = re.compile(r"( *)K?TAP version \d+$")
SUBTEST = re.compile(r"( *)# Subtest: (.+)$")
PLAN = re.compile(r"( *)1\.\.(\d{1,9})(?:\s+#\s*(?i:skip)\w*\s*(.*))?$")
RESULT = re.compile(r"( *)(ok|not ok) (\d{1,9})(?: -)?(?: +([^# ][^#]*))?(?: *#(.*))?$")
DIRECTIVE = re.compile(r"\s*(SKIP\w*|TODO|XFAIL|XPASS|TIMEOUT|ERROR)\b:?\s*(.*)$", re.IGNORECASE)
RUNNING = re.compile(r"#\s+RUN\s+(\S.*?) \.\.\.$")  # kselftest_harness.h, before each test
OF_TEST = re.compile(r"# (\w+): ")  # KUnit's kunit_info() and failed expectations
BAIL_OUT = re.compile(r" *Bail out!\s*(.*)$")


def parse(text: str) -> Report:
    parser = _Parser()
    for raw in text.split("\n"):
        if parser.full:
            break
        line = PREFIX.sub("", CONTROL.sub("", raw[: 2 * WIDTH]), count=1).rstrip()[:WIDTH]
        if line:
            parser.take(line)
    return parser.end()


@dataclass
class _Level:
    """An open group of tests."""

    indent: int
    name: str = ""
    plan: int | None = None
    skipped: str = ""
    tests: list[Test] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=dict)
    running: str = ""
    first: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    below: tuple[Test, ...] = ()  # a closed group whose parent's result is still to come

    def remember(self, line: str) -> None:
        if len(self.first) < FIRST:
            self.first.append(line)
        else:
            self.last.append(line)
            del self.last[:-LAST]

    def diagnostics(self) -> tuple[str, ...]:
        kept = (*self.first, *self.last)
        self.first, self.last = [], []
        return kept

    def add(self, name: str, status: Status, reason: str = "") -> None:
        self.tests.append(Test(unique(name, self.taken), status, reason, self.diagnostics(), self.below))
        self.running, self.below = "", ()


class _Parser:
    """Line by line, with a stack of open levels."""

    def __init__(self) -> None:
        self._open: list[_Level] = []
        self._done: list[Test] = []
        self._taken: dict[str, int] = {}
        self._errors: list[str] = []
        self._skipped = ""
        self._count = 0
        self._bailed = ""
        self._seen = False

    @property
    def full(self) -> bool:
        return self._count >= TESTS

    def take(self, line: str) -> None:
        for pattern, act in (
            (VERSION, self._version),
            (SUBTEST, self._subtest),
            (PLAN, self._plan),
            (RESULT, self._result),
        ):
            match = pattern.match(line)
            if match and act(match):
                return
        self._other(line)

    # -- each answers whether the line is one of the format where it stands ----------------------------------------

    def _version(self, match: re.Match[str]) -> bool:
        return self._begin(len(match[1]))

    def _begin(self, indent: int) -> bool:
        """Opens a level, below the innermost one or in place of those that are as deep."""
        self._seen = True
        while self._open and self._open[-1].indent >= indent:
            self._close()
        if len(self._open) >= DEPTH:
            return False
        self._open.append(_Level(indent))
        return True

    def _subtest(self, match: re.Match[str]) -> bool:
        indent = len(match[1])
        inner = self._open[-1] if self._open else None
        # KUnit gives the name after the version line; before v6.2 there was no such line in a subtest.
        fresh = inner and inner.indent == indent and not (inner.name or inner.tests or inner.plan)
        if not fresh and not self._begin(indent):
            return False
        self._open[-1].name = match[2]
        return True

    def _plan(self, match: re.Match[str]) -> bool:
        level = self._at(len(match[1]))
        if level is None or level is not self._open[-1] or level.plan is not None:
            return False
        level.diagnostics()  # what a group says of itself at its head is not its first test's
        level.plan, level.skipped = int(match[2]), (match[3] or "no reason given") if "#" in match[0] else ""
        return True

    def _result(self, match: re.Match[str]) -> bool:
        level = self._at(len(match[1]))
        if level is None:
            return False
        while self._open[-1] is not level:
            self._close()
        number, due = int(match[3]), len(level.tests) + 1
        if wrong := self._misplaced(level, number):
            self._errors.append(f"{wrong}: {match[0].strip()}")
            return False
        for _ in range(number - due):  # lost: overwritten on the console, most likely
            level.add(f"test {len(level.tests) + 1}", Status.MISSING, f"result {number} came instead")
        status, reason, late_name = _outcome(match[2] == "ok", match[5] or "")
        level.add((match[4] or "").strip() or late_name or f"test {number}", status, reason)
        self._count += number - due + 1
        return True

    def _misplaced(self, level: _Level, number: int) -> str:
        """Why a result with that number cannot be the level's next; such a line is noise, and an error."""
        due = len(level.tests) + 1
        if level.plan is not None and number > level.plan:
            return f"a result beyond the plan 1..{level.plan}"
        if not due <= number <= due + NEVER_CAME:
            return f"result {number} came where {due} was due"
        if number > due:
            self._errors.append(f"result {number} came where {due} was due")
        return ""

    def _at(self, indent: int) -> _Level | None:
        """The open level of this very indentation: elsewhere, a line that looks like a result is none."""
        return next((level for level in self._open if level.indent == indent), None)

    def _other(self, line: str) -> None:
        if not self._open:
            return
        if (match := BAIL_OUT.match(line)) and not self._bailed:
            self._bailed = match[1] or "no reason given"
            self._errors.append(f"bailed out: {self._bailed}")
        level = self._open[-1]
        told = line.strip()
        if told.startswith("#"):
            match = OF_TEST.match(told)
            # KUnit indents what a test says by the level of its suite, also where the test is a level of its own.
            if not (match and match[1] == level.name):
                level = self._at(len(line) - len(told)) or level
            _note_running(level, told)
        level.remember(line)

    # -- closing ---------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Ends the innermost level: what it promised and did not bring is a failure."""
        level = self._open.pop()
        self._complete(level)
        tests = tuple(level.tests)
        if self._open:
            above = self._open[-1]
            above.below += tests
            above.running = level.name or above.running
            for line in level.diagnostics():
                above.remember(line)
            return
        self._skipped = self._skipped or level.skipped
        # A second document in the text may use the names of the first.
        self._done += [dataclasses.replace(test, name=unique(test.name, self._taken)) for test in tests]

    def _complete(self, level: _Level) -> None:
        """Adds what the level announced and did not bring."""
        if level.plan is None and not self._open:
            # Below the top it may be left out: KUnit does not know how many parameters a generator will make.
            self._errors.append("there is no plan line (1..N): how many tests there are is not known")
        missing = max((level.plan or 0) - len(level.tests), 0)
        if missing:
            where = f" of {level.name}" if level.name else ""
            self._errors.append(f"{len(level.tests)} of {level.plan} tests{where} reported")
        if level.below or (level.running and (missing or level.plan is None)):
            name = level.running or f"test {len(level.tests) + 1}"
            level.add(name, Status.MISSING, self._why("began and never ended"))
            missing -= 1
        for _ in range(min(missing, NEVER_CAME)):
            level.add(f"test {len(level.tests) + 1}", Status.MISSING, self._why("never reported"))
            self._count += 1

    def _why(self, what: str) -> str:
        return f"{what}: bailed out, {self._bailed}" if self._bailed else what

    def end(self) -> Report:
        if self.full:
            self._errors.append(f"more than {TESTS} results")
        while self._open:
            self._close()
        if not self._seen:
            self._errors.append("there is no KTAP in the output")
        return Report(tuple(self._done), tuple(self._errors[:NEVER_CAME]), self._skipped)


def _note_running(level: _Level, line: str) -> None:
    """Diagnostics that tell which test is under way, for the case that its result never comes."""
    match = RUNNING.match(line) or OF_TEST.match(line)
    if match and match[1] not in (level.name, "module", "Totals"):
        level.running = match[1]


def _outcome(ok: bool, comment: str) -> tuple[Status, str, str]:
    """Status, reason, and the name where ksft_test_result_skip() puts it: after the directive."""
    match = DIRECTIVE.match(comment)
    if not match:
        return (Status.PASSED if ok else Status.FAILED), comment.strip(), ""
    directive, text = match[1].upper(), match[2].strip()
    if directive.startswith("SKIP"):
        return Status.SKIPPED, text, text
    if directive in ("TODO", "XFAIL"):
        # kselftest prints "ok" for what failed as expected, TAP "not ok"; TAP's "ok # TODO" has simply passed.
        expected = directive == "XFAIL" or not ok
        return (Status.EXPECTED if expected else Status.PASSED), text, text
    if directive == "XPASS":
        return Status.FAILED, f"passed, although it was said to fail: {text}", text
    return Status.FAILED, f"{directive}: {text}".rstrip(": "), text
