"""All contestants, one after the other in one guest with two memory tiers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.bench.density.fleets import PARTS, Fleet
from harness.bench.density.material import Material
from harness.bench.density.run import memory_mb as room
from harness.bench.tiers import contest, moves
from harness.bench.tiers.contest import Contestant, Outcome, Plan
from harness.bench.told import clean
from harness.cache import work_dir
from harness.errors import LabError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.progress import Update

LEAST_MB = 1024
TOPOLOGY = "hmat"
TRACE = "/sys/kernel/tracing/trace"
SLOW = 20  # times as long as planned, and it hangs
BLOCK_MB = 256  # one memory block for each of two nodes


@dataclass(frozen=True)
class Setting:
    material: Material
    fleet: Fleet
    plan: Plan
    memory_mb: int
    topology: str = TOPOLOGY
    contestants: tuple[Contestant, ...] = tuple(Contestant)


def memory_mb(fleet_bytes: int, given: int | None = None) -> int:
    """The guest's memory: each of two nodes has room for the whole fleet. UsageError: the machine has not so much."""
    wanted = -(-fleet_bytes * 3 // (BLOCK_MB << 20)) * BLOCK_MB
    return room(fleet_bytes, given or max(LEAST_MB, wanted))


def outcomes(built: Kernel, setting: Setting, update: Update = lambda _: None) -> list[Outcome]:
    """Errors as contest.read has them."""
    disks = [setting.material.disk(part) for part in PARTS]
    files = {contest.PROGRAM: contest.build(built)}
    update(f"boot, {setting.memory_mb} MB")
    with Guest.start(
        built,
        topology=setting.topology,
        memory_mb=setting.memory_mb,
        cpus=1,
        files=files,
        counted=True,
        disks=disks,
    ) as guest:
        with tempfile.TemporaryDirectory(dir=work_dir("run")) as scratch:
            setting.fleet.write(Path(scratch) / "table")
            guest.push(Path(scratch) / "table", contest.TABLE)
        return [_one(guest, setting, one, update) for one in setting.contestants]


def _one(guest: Guest, setting: Setting, one: Contestant, update: Update) -> Outcome:
    plan, said = setting.plan, bytearray()

    def hear(part: bytes) -> None:
        said.extend(part)
        if len(said) > contest.MAX_OUTPUT:
            raise LabError(f"{one} printed {len(said)} bytes", log=guest.console)
        turns = said.count(b'"event":"turn"')
        update(f"{one}: {turns} of {plan.turns + 1} turns" if turns else f"{one}: agents take up their texts")

    update(f"{one}: begins")
    done = guest.stream(contest.command(one, plan), hear, lambda _: None, timeout=plan.seconds * SLOW + 900)
    guest.check()  # a splat tells more than a call that failed after it
    outcome = contest.read(one, plan, bytes(said), done.code, guest.console)
    if one.own:
        outcome.moves = _moves(guest, outcome)
    return outcome


def _moves(guest: Guest, outcome: Outcome) -> moves.Moves:
    trace = guest.run(["cat", TRACE])
    try:
        return moves.read(trace.stdout.decode(errors="replace"), outcome.begin)
    except ValueError as problem:
        raise LabError(f"the trace makes no sense: {clean(problem)}", log=guest.console) from problem


def limit(share: float, fleet: Fleet) -> int:
    """Whole pages: the part of what the fleet takes as plain copies that it may have."""
    return round(fleet.logical_bytes * share) // 4096 * 4096
