"""A program's answers against what the model predicts, call by call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.calls import descriptors, figures, marks, memory, ops
from harness.calls.ops import SKIPPED, Call, Spawn
from harness.calls.rules import Mismatch, expect, named
from harness.calls.wire import Answer, Lane, Output
from harness.calls.world import Process, World

POOL = ops.pool()
Prediction = Callable[[World, Process, Any, Answer | None], None]
PREDICTIONS: dict[type[Call], Prediction] = {
    ops.Kill: descriptors.kill,
    ops.Fork: descriptors.fork,
    ops.Become: descriptors.become,
    ops.Pidfd: descriptors.pidfd,
    ops.Other: descriptors.other,
    ops.Alloc: memory.alloc,
    ops.Share: memory.share,
    ops.Mark: marks.mark,
    ops.Stats: figures.stats,
    ops.Proc: figures.proc,
    ops.Fdinfo: descriptors.fdinfo,
    ops.Close: descriptors.close,
    ops.Dup: descriptors.dup,
    ops.Send: descriptors.send,
    ops.Take: descriptors.take,
    ops.Reopen: descriptors.reopen,
    ops.Read: descriptors.read,
    ops.Pread: descriptors.pread,
    ops.Seek: descriptors.seek,
    ops.Stat: descriptors.stat,
    ops.Seals: descriptors.seals,
    ops.Change: descriptors.change,
    ops.Map: descriptors.map_,
    ops.MapRead: descriptors.map_read,
    ops.Protect: descriptors.protect,
    ops.Unmap: descriptors.unmap,
}


@dataclass(frozen=True)
class Fault:
    """Where a program's answers leave the contract. index: of the call; the number of calls: at the end."""

    index: int
    call: str
    predicted: str
    got: str

    def __str__(self) -> str:
        return f"call {self.index}, {self.call}: predicted {self.predicted}, got {self.got}"


def new_world() -> World:
    return World(POOL)


def step(world: World, call: Call, got: Answer | None) -> None:
    """Makes the call in the model. Mismatch: `got` is no answer to it. None: what it does is what is likely."""
    if isinstance(call, Spawn):
        descriptors.spawn(world, call.proc, call, got)
        return
    process = world.processes.get(call.proc)
    if process is None:
        if got:
            expect("answer", named(SKIPPED), named(got.ret))
        return
    PREDICTIONS[type(call)](world, process, call, got)


def check(calls: Sequence[Call], lane: Lane) -> Fault | None:
    """The first thing that is wrong with a program's answers."""
    if lane.trouble:
        return Fault(len(calls), "the program", "an end", lane.trouble)
    world = new_world()
    for index, (call, got) in enumerate(zip(calls, lane.answers, strict=True)):
        try:
            step(world, call, got)
        except Mismatch as wrong:
            return Fault(index, shown(call), wrong.predicted, wrong.got)
    try:
        for domain, ending in zip(world.domains, lane.endings, strict=True):
            figures.counted(ending.before, ending.after, domain.counts)
            figures.given_back(ending.before, ending.after)
    except Mismatch as wrong:
        return Fault(len(calls), "the end", wrong.predicted, wrong.got)
    return None


def check_system(output: Output) -> Fault | None:
    """Whether the system has back what all programs held."""
    try:
        figures.given_back(output.before, output.after)
    except Mismatch as wrong:
        return Fault(-1, "the end of all programs", wrong.predicted, wrong.got)
    return None


def shown(call: Call) -> str:
    """A call for a message: what differs from the defaults."""
    fields = type(call).__dataclass_fields__.values()
    words = (f"{f.name}={_shown(getattr(call, f.name))}" for f in fields if getattr(call, f.name) != f.default)
    return f"{type(call).__name__}({', '.join(words)})"


def _shown(value: object) -> str:
    return value.hex()[:16] if isinstance(value, bytes) else str(int(value)) if isinstance(value, int) else str(value)
