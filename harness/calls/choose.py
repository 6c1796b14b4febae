"""The random choice of arguments: mostly good ones, edges among them, and with a fixed share one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from harness.calls.ops import (
    CLOSED,
    NEGATIVE,
    SELF,
    SLOTS,
    Alloc,
    Call,
    Flag,
    How,
    Mark,
    Pointer,
    Pread,
    Read,
    Reopen,
    Seek,
    Share,
    Stats,
    Temperature,
    Valid,
)
from harness.calls.world import Object, Process, World

FLAWED = 0.15  # share of calls with an argument that is wrong (or right by chance)

# Texts that grow by turns: every prefix up to one of the lengths is content that others are likely to have, too.
TEXTS = tuple(index * 36_900 for index in range(8))  # in the pool; not aligned to pages
LENGTHS = (1, 17, 64, 200, 1000, 4095, 4096, 4097, 6000, 8192, 9000, 12_288, 20_000, 33_000)
WEIGHTS = (4, 4, 4, 8, 8, 4, 6, 4, 4, 3, 2, 2, 1, 1)
LARGE = (65_536, 150_001, 262_144)
LARGE_SHARE = 0.004
PATCHED = 0.08  # share of data that differ from a text in one byte
GROWS_TO = 60_000  # bytes, by appending

IMPORTANCES = (0, 0, 0, 1, 500, 1000)
NODES = (-1, -1, 0)
ATTR_SIZES = (56,) * 12 + (57, 64, 100, 4096)
MARK_SIZES = (280,) * 12 + (281, 300, 4096)
STATS_SIZES = (464,) * 8 + (104, 104, 4, 7, 8, 16, 20, 100, 208, 300, 463, 465, 500, 1000, 4096)
NAMES = (b"a", b"planner", b"agent with spaces\n", "köln".encode(), b"x" * 255, b"cut\0off")
WRONG_FDS = (CLOSED, CLOSED, NEGATIVE, SELF, *range(SLOTS))
BAD = (Pointer.KERNEL, Pointer.UNMAPPED)
HUGE = ((1 << 30) + 1, 1 << 40, -1)

# Each line: fields and the values of which one is taken.
FLAWS: dict[type[Call], tuple[dict[str, tuple[int | bytes, ...]], ...]] = {
    Alloc: (
        {"type": (4, 255, 1 << 31)},
        {"size": (0, *HUGE)},
        {"pointer": (Pointer.NULL, *BAD, Pointer.HALF)},
        {"pointer": (Pointer.HALF,)},
        {"attr": BAD},
        {"attr": (Pointer.READONLY,)},
        {"attr": (Pointer.NULL,)},
        {"attr_size": (0, 4, 55, 4097, 1 << 31)},
        {"attr_size": (57, 64, 4096), "tail": (1,)},
        {"flags": (16, 1 << 31, 5, 6, 7, Flag.BASE, Flag.BASE, Flag.ATTACH, Flag.APPEND, Flag.NOCOMPRESS)},
        {"flags": (Flag.BASE, Flag.BASE | Flag.NOCOMPRESS), "base": tuple(range(6))},
        {"base": WRONG_FDS},
        {"node": (-2, 77, 1 << 20)},
        {"importance": (1001, (1 << 32) - 1)},
        {"nofile": (1,)},
        {"digest": (bytes(32), b"\xff" * 32)},
    ),
    Share: ({"flags": (2, 3, 1 << 31)}, {"smu": WRONG_FDS}, {"pidfd": WRONG_FDS}),
    Mark: (
        {"pointer": (*BAD, Pointer.NULL)},
        {"size": (0, 279, 4097, 1 << 20)},
        {"size": (281, 300, 4096), "tail": (1,)},
        {"flags": (1, 1 << 31)},
        {"valid": (32, 1 << 31, 63, 0, 31)},
        {"temperature": (0, 4, 1 << 31)},
        {"state": (0, 4, 1 << 31)},
        {"importance": (0, 1001, (1 << 32) - 1)},
        {"node": (-2, 77)},
        {"reserved": (1,)},
        {"name": (b"", b"y" * 256, b"\0hidden")},
        {"fd": WRONG_FDS},
    ),
    Stats: (
        {"scope": (4, 1 << 31)},
        {"size": (0, 1, 3)},
        {"pointer": (Pointer.NULL, *BAD)},
        {"fd": WRONG_FDS},
    ),
}


class Chooser:
    """Draws the arguments of calls that suit what there is."""

    def __init__(self, rng: Random, world: World) -> None:
        self.rng = rng
        self.world = world

    def spoil(self, call: Call) -> Call:
        flaws = FLAWS.get(type(call))
        if flaws is None or self.rng.random() >= FLAWED:
            return call
        values: dict[str, Any] = {name: self.rng.choice(choice) for name, choice in self.rng.choice(flaws).items()}
        return replace(call, **values)

    # -- what there is --

    def slot(self) -> int:
        return self.rng.randrange(SLOTS)

    def slot_with(self, process: Process, kind: str) -> int | None:
        """A slot with an object, or with a process."""
        there = [slot for slot, file in enumerate(process.slots) if file and getattr(file, kind) is not None]
        return self.rng.choice(there) if there else None

    def smu(self, process: Process) -> int:
        """A slot with an object, rather with one that several agents hold."""
        there = [(slot, file.object) for slot, file in enumerate(process.slots) if file and file.object]
        if not there or self.rng.random() < 0.03:
            return self.slot()
        shared = [slot for slot, held in there if len(held.holders) > 1]
        return self.rng.choice(shared if shared and self.rng.random() < 0.5 else [slot for slot, _ in there])

    def digest(self, process: Process) -> bytes:
        """Granted, of the own domain, of the other one, or of nobody."""
        grants = process.agent.grants if process.agent else []
        if grants and self.rng.random() < 0.85:
            return self.rng.choice(grants).digest
        domain = process.effective if self.rng.random() < 0.85 else 1 - process.effective
        objects = list(self.world.domains[domain].objects.values())
        return self.rng.choice(objects).digest if objects else bytes(32)

    # -- the four calls --

    def alloc(self, process: Process) -> Call:
        rng = self.rng
        length = rng.choices(LENGTHS, WEIGHTS)[0] if rng.random() > LARGE_SHARE else rng.choice(LARGE)
        patch = rng.choice((0, length // 2, length - 1)) if rng.random() < PATCHED else -1
        call = self._alloc(process, rng.choice(TEXTS), length, rng.choice((0, 0, 0, Flag.NOCOMPRESS)))
        return replace(call, patch=patch, attr=Pointer.NULL if rng.random() < 0.05 else Pointer.VALID)

    def attach(self, process: Process) -> Call:
        return replace(self._alloc(process, 0, 0, Flag.ATTACH), pointer=Pointer.NULL, digest=self.digest(process))

    def append(self, process: Process) -> Call:
        slot = self.slot_with(process, "object")
        file = process.slots[slot] if slot is not None else None
        if slot is None or file is None or file.object is None or file.object.length > GROWS_TO:
            return self.alloc(process)
        offset, length = self._next_turn(file.object)
        flags = Flag.APPEND | self.rng.choice((0, 0, 0, Flag.NOCOMPRESS))
        return replace(self._alloc(process, offset, length, flags), base=slot)

    def _next_turn(self, base: Object) -> tuple[int, int]:
        """What follows in the same text, so that others arrive at the same content; else anything."""
        longer = [length for length in LENGTHS if length > base.length]
        if base.source and base.source[0] in TEXTS and longer and self.rng.random() < 0.8:
            return base.source[0] + base.length, self.rng.choice(longer[:3]) - base.length
        return self.rng.choice(TEXTS), self.rng.choice(LENGTHS[:6])

    def _alloc(self, process: Process, offset: int, length: int, flags: int) -> Alloc:
        rng = self.rng
        return Alloc(
            process.index,
            self.slot(),
            type=rng.randrange(4),
            offset=offset,
            length=length,
            size=length,
            attr_size=rng.choice(ATTR_SIZES),
            flags=flags,
            node=rng.choice(NODES),
            importance=rng.choice(IMPORTANCES),
        )

    def share(self, process: Process) -> Call | None:
        pidfd = self.slot_with(process, "process")
        if pidfd is None:
            return None
        return Share(process.index, self.smu(process), pidfd, flags=self.rng.choice((0, 0, 0, 1)))

    def mark(self, process: Process) -> Call:
        pidfd = self.slot_with(process, "process") if self.rng.random() < 0.3 else None
        target = self.rng.choice((SELF, self.smu(process))) if pidfd is None else pidfd
        return self._mark(process, target)

    def _mark(self, process: Process, target: int) -> Call:
        rng = self.rng
        file = process.slots[target] if target >= 0 else None
        takes = Valid.TEMPERATURE | Valid.IMPORTANCE | Valid.NODE if file and file.object else Valid(31)
        chosen = Valid(0)
        for bit in rng.sample(list(takes), k=rng.choice((1, 1, 2, 3))):
            chosen |= bit
        return Mark(
            process.index,
            target,
            pointer=Pointer.NULL if rng.random() < 0.15 else Pointer.VALID,
            size=rng.choice(MARK_SIZES),
            valid=chosen,
            temperature=rng.choice(list(Temperature)),
            state=rng.randint(1, 3),
            importance=rng.choice((1, 500, 999, 1000)),
            node=rng.choice(NODES),
            name=rng.choice(NAMES),
        )

    def stats(self, process: Process) -> Call:
        rng = self.rng
        scope = rng.choices(range(4), (6, 5, 3, 1))[0]
        fd = self.smu(process) if scope == 0 else SELF
        pidfd = self.slot_with(process, "process")
        if scope == 1 and pidfd is not None and rng.random() < 0.6:
            fd = pidfd
        return Stats(process.index, scope, fd, size=rng.choice(STATS_SIZES))

    # -- descriptors --

    def read(self, process: Process) -> Call:
        return Read(process.index, self.smu(process), self.rng.choice((0, 1, 100, 4096, 10_000, 300_000)))

    def pread(self, process: Process) -> Call:
        at = self.rng.choice((0, 1, 63, 4095, 4096, 8000, 1 << 20, -1))
        return Pread(process.index, self.smu(process), at, self.rng.choice((1, 64, 4096, 5000, 300_000)))

    def seek(self, process: Process) -> Call:
        offset = self.rng.choice((0, 0, 1, 4096, -1, -4096, 1 << 20, 1 << 40))
        return Seek(process.index, self.smu(process), offset, self.rng.choice((0, 1, 2, 99)))

    def reopen(self, process: Process) -> Call:
        return Reopen(process.index, self.smu(process), self.slot(), self.rng.choice((0, 0, 1)))

    def how(self) -> int:
        return self.rng.choice(list(How))


Choice = Callable[[Process], Call | None]
