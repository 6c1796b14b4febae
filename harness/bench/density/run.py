"""All contestants with all fleets, one after the other in one guest; what is done already is not done again.

Memory and time may not be enough for a whole fleet as plain copies: then fewer agents hold texts (whole.py).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench.density import contest, fleets, limit
from harness.bench.density.contest import Contestant, Outcome
from harness.bench.density.fleets import PARTS, Fleet, Name
from harness.bench.density.limit import Held, Limit
from harness.bench.density.material import Material
from harness.cache import new_file, sha256_file, work_dir
from harness.errors import LabError, UsageError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.measure import host_available_mb
from harness.profiler import Functions, Profiler
from harness.progress import Update

SMALL_MB, LARGE_MB = 2048, 16384  # the guest
SMALL_FLEET = 5_000_000_000  # bytes: what the small guest is for
TIGHT = 1 / 3  # of the guest's memory may be the fleet, beyond SMALL_FLEET
LEAST_SECONDS = 10
GUEST = ("uma", 2, False)  # topology, processors, whether instructions are counted
BOUND_SECONDS = 48 * 3600.0  # for a contestant that may take as long as it takes
# How much of the time a contestant gets, if time is short: what it has to do to memory, roughly.
WEIGHTS = {
    Contestant.PRIVATE: 1,
    Contestant.MEMFD: 1,
    Contestant.KSM_ALIGNED: 3,
    Contestant.KSM_HEAP: 3,
    Contestant.ZRAM: 3,
    Contestant.KSM_ZRAM: 5,
    Contestant.AGENT_MEM: 6,
    Contestant.AGENT_MEM_NOAUTO: 6,
}


@dataclass(frozen=True)
class Plan:
    """seconds: for all that is run in the guest, 0 is as long as it takes. contestants: in the order of the run.

    profile: whether the guest's processors are sampled meanwhile."""

    material: Material
    fleets: tuple[Fleet, ...]
    contestants: tuple[Contestant, ...] = tuple(Contestant)
    seconds: int = 0
    memory_mb: int = SMALL_MB
    chunk: int = limit.CHUNK
    probes: int = contest.PROBES
    profile: bool = False


def memory_mb(fleet_bytes: int, given: int | None = None) -> int:
    """The guest's memory. UsageError: the machine has not so much."""
    wanted = given or (SMALL_MB if fleet_bytes <= SMALL_FLEET else max(LARGE_MB, round(fleet_bytes * TIGHT) >> 20))
    available = host_available_mb()
    if wanted > available * 9 // 10:
        cause = f"the guest is to have {wanted} MB, the machine has {available} MB available"
        raise UsageError(cause, hint="a smaller --memory: fewer agents then hold texts at the same time")
    return wanted


def limits(plan: Plan, update: Update = lambda _: None) -> dict[Name, Limit]:
    """The offline limit of each fleet, from the cache if it was computed before."""
    found, packer = {}, limit.Packer()
    for fleet in plan.fleets:
        compute = functools.partial(_limit, plan, fleet, packer, _prefixed(update, f"fleet {fleet.name}"))
        found[fleet.name] = limit.cached(fleet.digest(plan.material), plan.chunk, compute)
    return found


def _prefixed(update: Update, prefix: str) -> Update:
    return lambda detail: update(f"{prefix}: {detail}")


def _limit(plan: Plan, fleet: Fleet, packer: limit.Packer, update: Update) -> Limit:
    keys = {text: number for number, text in enumerate(fleet.texts)}
    held = [
        Held(agent, place, text.kind, keys[text], text.length)
        for agent, holder in enumerate(fleet.agents)
        for place, text in enumerate(holder.texts)
    ]

    def read(key: int) -> bytes:
        pieces = fleet.texts[key].pieces
        return b"".join(plan.material.read(PARTS[piece.part], (piece.offset, piece.length)) for piece in pieces)

    return limit.of(held, read, plan.chunk, update, packer)


class Run:
    """Resumable: what a contestant has printed is kept until all are done, by all that decides it."""

    def __init__(self, built: Kernel, plan: Plan) -> None:
        self._built, self._plan = built, plan
        self._program = contest.build(built)
        parts = [
            built.key,
            sha256_file(self._program),
            repr((plan.memory_mb, plan.probes, plan.seconds, plan.chunk, plan.profile)),
        ]
        parts += [fleet.digest(plan.material) for fleet in plan.fleets]
        self._kept = work_dir("density-run") / hashlib.sha256(" ".join(parts).encode()).hexdigest()[:24]
        self.boots = 0

    def outcomes(self, update: Update = lambda _: None) -> dict[Name, list[Outcome]]:
        """Boots and runs what is not there yet. Errors as contest.read has them."""
        plan = self._plan
        pairs = [(fleet, one) for fleet in plan.fleets for one in plan.contestants]
        todo = [(fleet, one) for fleet, one in pairs if not self._place(fleet, one).is_file()]
        if todo:
            self._work(todo, update)
        about = self._kept / "boots.json"
        self.boots = json.loads(about.read_text()) if about.is_file() else 0
        return {fleet.name: [self._outcome(fleet, one) for one in plan.contestants] for fleet in plan.fleets}

    def forget(self) -> None:
        """The result is written: the next run measures anew."""
        shutil.rmtree(self._kept, ignore_errors=True)

    def _place(self, fleet: Fleet, one: Contestant) -> Path:
        return self._kept / f"{fleet.name}-{one}.jsonl"

    def _outcome(self, fleet: Fleet, one: Contestant, log: Path | None = None) -> Outcome:
        kept = json.loads(self._place(fleet, one).read_text())
        outcome = contest.read(one, fleet, kept["stdout"].encode(), kept["code"], log)
        outcome.profile = kept["profile"]
        return outcome

    def _work(self, todo: Sequence[tuple[Fleet, Contestant]], update: Update) -> None:
        plan = self._plan
        disks = [plan.material.disk(part) for part in PARTS]
        update(f"boot, {plan.memory_mb} MB")
        topology, cpus, counted = GUEST
        with Guest.start(
            self._built,
            topology=topology,
            memory_mb=plan.memory_mb,
            cpus=cpus,
            files={contest.PROGRAM: self._program},
            counted=counted,
            disks=disks,
        ) as guest:
            self._count_boot()
            clock = _Clock(plan.seconds, [one for _, one in todo])
            pushed = None
            for number, (fleet, one) in enumerate(todo, 1):
                if pushed is not fleet:
                    self._push(guest, fleet)
                    pushed = fleet
                told = _prefixed(update, f"{number} of {len(todo)}, fleet {fleet.name}, {one}")
                self._one(guest, fleet, one, clock.share(), told)

    def _count_boot(self) -> None:
        about = self._kept / "boots.json"
        before = json.loads(about.read_text()) if about.is_file() else 0
        with new_file(about) as aside:
            aside.write_text(json.dumps(before + 1))

    def _push(self, guest: Guest, fleet: Fleet) -> None:
        with tempfile.TemporaryDirectory(dir=work_dir("run")) as scratch:
            fleet.write(Path(scratch) / "table")
            guest.push(Path(scratch) / "table", contest.TABLE)

    def _one(self, guest: Guest, fleet: Fleet, one: Contestant, seconds: int, update: Update) -> None:
        argv = contest.command(one, seconds=seconds, probes=self._plan.probes, chunk=self._plan.chunk)
        said, complaints = bytearray(), bytearray()
        timeout = seconds * 5 + 900.0 if seconds else BOUND_SECONDS
        update("begins")
        profiler = self._profiler(guest)
        with profiler or contextlib.nullcontext():
            done = guest.stream(argv, lambda part: _hear(said, part, update), complaints.extend, timeout=timeout)
        guest.check()  # a splat tells more than a call that failed after it
        contest.read(one, fleet, bytes(said), done.code, guest.console)
        with new_file(self._place(fleet, one)) as aside:
            kept = {"code": done.code, "stdout": said.decode(errors="replace"), "profile": {}}
            aside.write_text(json.dumps(kept | ({"profile": profiler.seen} if profiler else {})))

    def _profiler(self, guest: Guest) -> Profiler | None:
        return Profiler(guest.qemu.monitor, self._functions) if self._plan.profile and guest.qemu else None

    @functools.cached_property
    def _functions(self) -> Functions:
        return Functions(self._built.vmlinux)


def _hear(said: bytearray, part: bytes, update: Callable[[str], None]) -> None:
    said += part
    if len(said) > contest.MAX_OUTPUT:
        raise LabError(f"a contestant printed {len(said)} bytes")
    last = said[:-1].rpartition(b"\n")[2]
    for event in _whole(last):
        update(", ".join(f"{key} {value}" for key, value in event.items() if key in ("agents", "phase", "event", "at")))


def _whole(line: bytes | bytearray) -> Iterator[dict[str, Any]]:
    try:
        event = json.loads(line)
    except ValueError:
        return
    if isinstance(event, dict):
        yield event


class _Clock:
    """Deals the time out: what one leaves is there for those that follow."""

    def __init__(self, seconds: int, order: Sequence[Contestant]) -> None:
        self._end = time.monotonic() + seconds if seconds else None
        self._left = [WEIGHTS[one] for one in order]

    def share(self) -> int:
        """Seconds for the next one; 0: as long as it takes."""
        weight, whole = self._left.pop(0), 0
        whole = weight + sum(self._left)
        if self._end is None:
            return 0
        return max(LEAST_SECONDS, round((self._end - time.monotonic()) * weight / whole))


def make_fleets(names: Sequence[Name], material: Material, update: Update = lambda _: None) -> tuple[Fleet, ...]:
    return tuple(fleets.make(name, material, update) for name in names)
