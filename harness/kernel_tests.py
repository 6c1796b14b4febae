"""What a run of the kernel's own tests means: each listed test against what was reported, and the run as a whole.

A listed test that did not report has failed, whatever the reason; so has the run if a test reported that is not
listed, if the kernel complained on its console, or if the output is no sound KTAP.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import GuestFault, HarnessError, TestsFailed
from harness.kernel import Kernel
from harness.ktap_report import Leaf, Report, Status

SHOWN = 60  # diagnostic lines in a failure; the log has all
NAMED = 10  # names in a list of them


@dataclass(frozen=True)
class Run:
    """One run of a program or kernel that tests. log: its whole output; trouble: what the report itself cannot tell."""

    name: str
    kernel: Kernel
    report: Report
    log: Path
    trouble: HarnessError | None = None

    def judge(self, listed: str) -> None:
        """Raises if the listed test did not pass. The laboratory has what the tests need: one that skips is not run."""
        leaves = [leaf for leaf in self.report.leaves() if _belongs(leaf.name, listed)]
        bad = [leaf for leaf in leaves if not leaf.status.good]
        if not leaves:
            raise self._ended(f"{listed} did not report{self._where()}", brief=True)
        if bad:
            told = "\n".join(_tell(leaf) for leaf in bad[:NAMED])
            # A test without a result failed for the reason why the run ended; one with a result for its own.
            raise self._ended(told) if bad[0].status is Status.MISSING else TestsFailed(told, log=self.log)
        skipped = [leaf for leaf in leaves if leaf.status is Status.SKIPPED]
        if len(skipped) == len(leaves):
            raise TestsFailed("\n".join(_tell(leaf) for leaf in skipped[:NAMED]), log=self.log)

    def judge_whole(self, listed: Collection[str]) -> None:
        """Raises what is wrong with the run apart from tests that are listed and reported."""
        if self.trouble:
            raise self.trouble
        wrong = list(self.report.errors)
        if self.report.skipped:
            wrong.append(f"{self.name} skipped all of its tests: {self.report.skipped}")
        if unlisted := self.unlisted(listed):
            wrong.append(f"reported, but not found in the sources: {_few(unlisted)}")
        if wrong:
            raise TestsFailed("\n".join(wrong[:NAMED]), log=self.log)

    def unlisted(self, listed: Collection[str]) -> list[str]:
        """What reported and is no listed test, nor part of one."""
        reported = [leaf.name for leaf in self.report.leaves() if leaf.status is not Status.MISSING]
        return [name for name in reported if not any(_belongs(name, known) for known in listed)]

    def _where(self) -> str:
        """Where the run ended before its time."""
        missing = [leaf.name for leaf in self.report.leaves() if leaf.status is Status.MISSING]
        errors = "".join(f"\n  {error}" for error in self.report.errors[:NAMED])
        return (f"; the run ended in {missing[0]}" if missing else "") + errors

    def _ended(self, cause: str, *, brief: bool = False) -> HarnessError:
        """An error that has the reason why the run ended. brief: only its headline, the test where it ended has all."""
        if not self.trouble:
            return TestsFailed(cause, log=self.log)
        reason = self.trouble.cause.splitlines()[0] if brief else self.trouble.cause
        kind = GuestFault if isinstance(self.trouble, GuestFault) else TestsFailed
        return kind(f"{cause}\n{reason}", log=self.log, hint=self.trouble.hint)


def _belongs(name: str, listed: str) -> bool:
    """Whether a reported name is the listed test, one of its parameters, or the same once more."""
    return name == listed or name.startswith((f"{listed}.", f"{listed}#"))


def _tell(leaf: Leaf) -> str:
    """A failure as the kernel tells it."""
    head = f"{leaf.name}: {leaf.status}" + (f" ({leaf.reason})" if leaf.reason else "")
    lines = leaf.diagnostics
    if len(lines) > SHOWN:
        lines = (*lines[: SHOWN // 2], f"... {len(lines) - SHOWN} lines more", *lines[-SHOWN // 2 :])
    return "\n".join([head, *(f"  {line.strip()}" for line in lines)])


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
