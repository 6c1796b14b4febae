"""One processor and two: how much more is done, by the clock.

The machine below has other work, too, and what it takes away from a guest's processor is no fault of the guest's
kernel. So each rate is divided by the share of its runnable time that the processor's thread really ran, which the
machine's scheduler tells (/proc/PID/task/TID/schedstat). A thread that sleeps because its guest waits is not runnable:
waiting for each other counts. So does spinning for one that was preempted: what comes out is rather too low.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.bench import program
from harness.errors import LabError
from harness.guest import Guest

OPERATIONS = ("compute", "memfd", "alloc", "alloc_same", "compress")  # as guest/parallel.c has them
THREAD = re.compile(r"CPU (\d+)/(?:TCG|KVM)")
MASKS = (1, 3, 2)  # the first processor alone, both, the second


@dataclass(frozen=True)
class Usage:
    """Of a thread so far, in nanoseconds: on a processor, and waiting for one."""

    ran: int
    waited: int

    def share(self, before: Usage) -> float:
        """Which part of its runnable time it ran since then, above 0 to 1."""
        ran, waited = self.ran - before.ran, self.waited - before.waited
        return ran / (ran + waited) if ran > 0 else 1.0


def usages(pid: int, proc: Path = Path("/proc")) -> list[Usage]:
    """Of each virtual processor of a QEMU, in their order. LabError: it cannot be told."""
    found = {}
    for task in (proc / str(pid) / "task").glob("*"):
        name = THREAD.fullmatch((task / "comm").read_text().strip())
        if name:
            ran, waited, _ = map(int, (task / "schedstat").read_text().split())
            found[int(name[1])] = Usage(ran, waited)
    if sorted(found) != [0, 1]:
        raise LabError(f"QEMU's two processors are not among its threads: {sorted(found)}")
    return [found[0], found[1]]


@dataclass(frozen=True)
class Phase:
    """Operations that each processor did, and the share of its time that it had."""

    done: tuple[int, int]
    shares: tuple[float, float]

    @property
    def rate(self) -> float:
        """What both would have done had nothing been taken away from them."""
        return sum(done / share for done, share in zip(self.done, self.shares, strict=True))


@dataclass(frozen=True)
class Round:
    """The first processor alone, both, the second alone, for equal times."""

    first: Phase
    both: Phase
    second: Phase

    @property
    def scaling(self) -> float:
        """How many times as much both do as one of them."""
        return 2 * self.both.rate / (self.first.rate + self.second.rate)

    @property
    def plain(self) -> float:
        """The same as the clock has it, with what was taken away."""
        return 2 * sum(self.both.done) / (sum(self.first.done) + sum(self.second.done))


def measure(guest: Guest, milliseconds: int, rounds: int) -> dict[str, list[Round]]:
    """Rounds by operation, all of them in turn. The guest has two processors and the program."""
    measured: dict[str, list[Round]] = {name: [] for name in OPERATIONS}
    for _ in range(rounds):
        for number, name in enumerate(OPERATIONS, 1):
            measured[name].append(Round(*_phases(guest, number, milliseconds)))
    return measured


def _phases(guest: Guest, operation: int, milliseconds: int) -> Iterator[Phase]:
    if guest.qemu is None:
        raise LabError("a guest of somebody else's cannot be measured")
    for mask in MASKS:
        before = usages(guest.qemu.pid)
        output = program.run(guest, "parallel", operation, mask, milliseconds)
        after = usages(guest.qemu.pid)
        done = output.work[OPERATIONS[operation - 1]]
        if any((count > 0) != bool(mask & 1 << place) for place, count in enumerate(done)):
            raise LabError(f"the processors of mask {mask} did {done} operations", log=guest.console)
        first, second = (now.share(then) for now, then in zip(after, before, strict=True))
        yield Phase(done, (first, second))
