"""The smallest program that still fails: calls are left out as long as the same kind of call goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from harness.calls.model import Fault
from harness.calls.ops import Call

TRIES = 8  # programs that run at a time
MAX_RUNS = 200  # of up to TRIES programs each
MAX_SECONDS = 600.0  # a program that hangs takes long to fail

Program = Sequence[Call]
Run = Callable[[Sequence[Program]], Sequence[Fault | None]]
Failing = tuple[list[Call], Fault]  # up to the call that goes wrong, and how
Span = tuple[int, int]


def shrink(calls: Program, fault: Fault, run: Run, max_runs: int = MAX_RUNS) -> Failing | None:
    """The program without what it does not need to fail, and how it fails then. None: it does not fail again."""
    trials = _Trials(run, fault, max_runs)
    best = trials.one(list(calls[: fault.index + 1]))
    size = len(best[0]) // 2 if best else 0
    while best and size and trials.left:
        before = len(best[0])
        best = _sweep(trials, best, size)
        again = size == 1 and len(best[0]) < before
        size = 1 if again else min(size, len(best[0])) // 2
    return best


def _sweep(trials: _Trials, best: Failing, size: int) -> Failing:
    """Leaves out spans of so many calls, from the end on: what comes later hangs on what comes first."""
    end = len(best[0])
    while end > 0 and trials.left:
        spans = [(max(0, at - size), at) for at in range(end, 0, -size)][:TRIES]
        found = trials.many([_without(best[0], [span]) for span in spans])
        good = [(span, failing) for span, failing in zip(spans, found, strict=True) if failing]
        end = spans[-1][0]
        if not good:
            continue
        together = trials.one(_without(best[0], [span for span, _ in good])) if len(good) > 1 else None
        if not together:
            end = good[0][0][0]  # the others once more, without this one
        best = together or good[0][1]
        end = min(end, len(best[0]))
    return best


def _without(calls: list[Call], spans: list[Span]) -> list[Call]:
    return [call for index, call in enumerate(calls) if not any(first <= index < end for first, end in spans)]


class _Trials:
    """Runs programs, a bounded number of times."""

    def __init__(self, run: Run, like: Fault, left: int) -> None:
        self._run = run
        self._like = kind(like)
        self.left = left
        self._end = time.monotonic() + MAX_SECONDS

    def one(self, calls: list[Call]) -> Failing | None:
        return self.many([calls])[0]

    def many(self, programs: Sequence[list[Call]]) -> list[Failing | None]:
        if time.monotonic() > self._end:
            self.left = 0
        if not self.left:
            return [None] * len(programs)
        self.left -= 1
        return [self._failing(*pair) for pair in zip(programs, self._run(programs), strict=True)]

    def _failing(self, calls: list[Call], fault: Fault | None) -> Failing | None:
        if fault is None or kind(fault) != self._like:
            return None
        return calls[: fault.index + 1], fault


def kind(fault: Fault) -> str:
    return fault.call.split("(")[0]
