"""Programs of calls from a seed: the same seed, the same program, wherever it is made."""

from __future__ import annotations

from random import Random

from harness.calls import model, ops
from harness.calls.choose import Choice, Chooser
from harness.calls.ops import MAPS, PROCS, SELF, SLOTS, Call, Kind, Scope, Stats
from harness.calls.world import Process

CALLS = 2000  # of a program: few enough to shrink one that fails
STAYS = 0.75  # how often the next call is of the same process: taking turns is what costs most
FEWEST, MOST = 4, 7  # processes, once there are any
START = ((0, Kind.PLAIN), (0, Kind.PLAIN), (1, Kind.PLAIN), (0, Kind.VISITOR), (1, Kind.ADMIN))


def program(seed: str, count: int = CALLS) -> list[Call]:
    """A program of `count` calls."""
    return _Writer(Random(seed)).write(count)


class _Writer:
    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.world = model.new_world()
        self.choose = Chooser(rng, self.world)
        self.calls: list[Call] = []
        choices: list[tuple[int, Choice]] = [
            (14, self.choose.alloc),
            (8, self.choose.append),
            (9, self.choose.attach),
            (8, self.choose.share),
            (10, self.choose.mark),
            (14, self.choose.stats),
            (12, self._close),
            (5, self.choose.read),
            (5, self.choose.pread),
            (2, self.choose.seek),
            (2, self.choose.reopen),
            (5, self._pidfd),
            (8, self._pass),
            (8, self._simple),
            (8, self._mapping),
            (5, self._process),
        ]
        self.weights, self.choices = zip(*choices, strict=True)

    def write(self, count: int) -> list[Call]:
        for index, (domain, kind) in enumerate(START):
            self._make(ops.Spawn(index, domain, kind))
        process = self.world.processes[0]
        while len(self.calls) < count:
            if not process.alive or self.rng.random() > STAYS:
                process = self.rng.choice(list(self.world.processes.values()))
            call = self.rng.choices(self.choices, self.weights)[0](process)
            if call:
                self._make(self.choose.spoil(call))
        return self.calls[:count]

    def _make(self, call: Call) -> None:
        model.step(self.world, call, None)
        self.calls.append(call)

    # -- what takes little choosing --

    def _close(self, process: Process) -> Call:
        used = [slot for slot, file in enumerate(process.slots) if file]
        return ops.Close(process.index, self.rng.choice(used) if used else self.choose.slot())

    def _pidfd(self, process: Process) -> Call:
        target = self.rng.choice(list(self.world.processes) if self.rng.random() < 0.95 else range(PROCS))
        return ops.Pidfd(process.index, self.choose.slot(), target)

    def _pass(self, process: Process) -> Call:
        index, choose = process.index, self.choose
        full = len(self.world.messages) >= 6
        kind = self.rng.choice(("take", "take", "dup") if full else ("dup", "send", "send", "take"))
        if kind == "dup":
            return ops.Dup(index, choose.smu(process), choose.slot())
        if kind == "take":
            return ops.Take(index, choose.slot())
        used = [slot for slot, file in enumerate(process.slots) if file]
        return ops.Send(index, self.rng.choice(used) if used else 0)

    def _simple(self, process: Process) -> Call:
        index, smu = process.index, self.choose.smu(process)
        kind = self.rng.choice(("stat", "change", "change", "seals", "fdinfo", "proc", "other"))
        made: dict[str, Call] = {
            "stat": ops.Stat(index, smu),
            "change": ops.Change(index, smu, self.choose.how()),
            "seals": ops.Seals(index, smu),
            "fdinfo": ops.Fdinfo(index, smu),
            "proc": ops.Proc(index),
            "other": ops.Other(index, self.rng.randrange(SLOTS), self.rng.randrange(2)),
        }
        return made[kind]

    def _mapping(self, process: Process) -> Call:
        index, place = process.index, self.rng.randrange(MAPS)
        mapped = [place for place, mapping in enumerate(process.maps) if mapping]
        kind = self.rng.choice(("map", "map", "read", "read", "read", "protect", "unmap"))
        if mapped and kind != "map" and self.rng.random() < 0.95:
            place = self.rng.choice(mapped)
        if kind == "map":
            return ops.Map(index, self.choose.smu(process), place, self.rng.randrange(2))
        if kind == "read":
            return ops.MapRead(index, place, self.rng.randrange(40_000), self.rng.choice((1, 4096, 40_000)))
        return ops.Protect(index, place) if kind == "protect" else ops.Unmap(index, place)

    def _process(self, process: Process) -> Call | None:
        """Processes come and go. A new agent is looked at, lest many go without ever having one."""
        rng, there = self.rng, self.world.processes
        kind = rng.choice(("spawn", "fork", "kill", "become", "become", "self"))
        free = [index for index in range(PROCS) if index not in there]
        if kind == "become":
            return ops.Become(process.index, rng.randrange(2))
        if kind == "self":
            return Stats(process.index, Scope.AGENT, SELF)
        if kind == "kill":
            return ops.Kill(rng.choice(list(there))) if len(there) > FEWEST else None
        if len(there) >= MOST:
            return None
        if kind == "fork":
            return ops.Fork(process.index, rng.choice(free))
        return ops.Spawn(rng.choice(free), rng.randrange(2), rng.choice((Kind.PLAIN, Kind.PLAIN, *Kind)))
