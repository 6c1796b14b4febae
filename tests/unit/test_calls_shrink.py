"""Shrinking: what a planted fault needs stays, all else goes, and the number of runs is bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from harness.calls import generate
from harness.calls.model import Fault
from harness.calls.ops import Call
from harness.calls.shrink import TRIES, Program, Run, shrink

CALLS = generate.program("shrink", 700)


class Planted:
    """A kernel that goes wrong at the last of the given calls if all of them were made in this order."""

    def __init__(self, *needed: int) -> None:
        self.needed = [CALLS[index] for index in needed]
        self.runs = 0

    def run(self, programs: Sequence[Program]) -> list[Fault | None]:
        assert len(programs) <= TRIES
        self.runs += 1
        return [self._fault(calls) for calls in programs]

    def _fault(self, calls: Program) -> Fault | None:
        missing = list(self.needed)
        for index, call in enumerate(calls):
            if call is missing[0]:
                missing.pop(0)
            if not missing:
                return Fault(index, "Stats(proc=1)", "0", "EIO")
        return None


def shrunk(run: Run, index: int, most: int = 200) -> list[Call] | None:
    found = shrink(CALLS, Fault(index, "Stats(proc=0)", "0", "EIO"), run, most)
    return found[0] if found else None


@pytest.mark.parametrize("needed", [(0,), (699,), (0, 699), (3, 250, 251, 600), tuple(range(0, 700, 50))])
def test_what_is_needed_stays(needed: tuple[int, ...]) -> None:
    kernel = Planted(*needed)
    assert shrunk(kernel.run, needed[-1]) == kernel.needed
    assert kernel.runs <= 150


def test_the_fault_of_the_shrunk_program_is_told() -> None:
    found = shrink(CALLS, Fault(600, "Stats(proc=0)", "0", "EIO"), Planted(3, 600).run)
    assert found
    assert found[1] == Fault(1, "Stats(proc=1)", "0", "EIO")


def test_what_does_not_fail_again_is_not_shrunk() -> None:
    assert shrunk(lambda programs: [None] * len(programs), 600) is None


def test_another_fault_does_not_take_its_place() -> None:
    def run(programs: Sequence[Program]) -> list[Fault | None]:
        if len(programs[0]) == 601:
            return [Fault(600, "Stats(proc=0)", "0", "EIO")]
        return [Fault(0, "Close(proc=0)", "0", "EIO") for _ in programs]

    assert shrunk(run, 600) == CALLS[:601]


@pytest.mark.parametrize("most", [1, 5, 20])
def test_the_number_of_runs_is_bounded(most: int) -> None:
    kernel = Planted(*range(0, 700, 9))
    found = shrunk(kernel.run, 693, most)
    assert found
    assert kernel.runs <= most
    assert _contains(found, kernel.needed)


def _contains(calls: list[Call], needed: list[Call]) -> bool:
    rest: Callable[[], Call | None] = iter([*calls, None]).__next__
    return all(any(call is wanted for call in iter(rest, None)) for wanted in needed)
