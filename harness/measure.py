"""One fleet, one guest, both ways: the same texts as private copies and as SMUs, and what each took."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from harness import fleet
from harness.errors import GuestFault, HarnessError, LabError, UsageError
from harness.fleet import Mode, Pack, Phase
from harness.guest import Result
from harness.progress import Update

MB = 1 << 20
PROGRAM = "/bin/fleet"  # in the guest
PACK = "/tmp/fleet.pack"  # in the guest, on tmpfs: there in both phases, so it cancels out
LEAST_MB = 768
FIXED_MB = 512  # kernel, initramfs, and room in which MemAvailable is not pressed
PER_AGENT_MB = 1  # the process itself
BYTES_PER_SECOND = 256 * 1024  # of logical text, all steps of a phase; emulation is slow
SETTLING = 180.0  # seconds


class Machine(Protocol):
    """The part of harness.guest.Guest that a measurement needs."""

    @property
    def console(self) -> Path: ...
    def run(self, argv: list[str], *, timeout: float) -> Result: ...
    def push(self, local: Path, guest: str) -> None: ...
    def check(self) -> None: ...


@dataclass(frozen=True)
class Measurement:
    pack: Pack
    private: Phase
    smu: Phase

    @property
    def ratio(self) -> float | None:
        """How many times less memory the SMUs took; None when they took nothing that could be measured."""
        if self.smu.used_bytes <= 0:
            return None
        return self.private.used_bytes / self.smu.used_bytes

    @property
    def verified(self) -> bool:
        return self.private.verified and self.smu.verified

    def as_json(self) -> dict[str, Any]:
        return {
            "agents": self.pack.agents,
            "texts": self.pack.texts,
            "distinct_texts": self.pack.distinct,
            "logical_bytes": self.pack.logical_bytes,
            "distinct_bytes": self.pack.distinct_bytes,
            "private_used_bytes": self.private.used_bytes,
            "smu_used_bytes": self.smu.used_bytes,
            "ratio": round(self.ratio, 4) if self.ratio is not None else None,
            "private_memcg_bytes": self.private.memcg_bytes,
            "smu_memcg_bytes": self.smu.memcg_bytes,
            "dedup_hits": self.smu.dedup_hits,
            "objects": self.smu.objects,
            "verified": self.verified,
            "private_left_bytes": self.private.left_bytes,
            "smu_left_bytes": self.smu.left_bytes,
            "phases": {phase.mode.value: asdict(phase) for phase in (self.private, self.smu)},
        }

    def failure(self, log: Path) -> HarnessError | None:
        """What a byte that differs means: from an SMU the kernel is at fault, from a copy we are."""
        if not self.private.verified:
            return _spoilt(self.private, log)
        if not self.smu.verified:
            cause = f"{self.smu.differ} texts came back from the kernel changed: {self.smu.first_difference}"
            return GuestFault(cause, log=log, hint="./lab test")
        return None


def memory_mb(pack: Pack) -> int:
    """Memory for a guest with room for the pack and every text of every holder. UsageError: too much."""
    wanted = FIXED_MB + PER_AGENT_MB * pack.agents + (pack.size + pack.logical_bytes * 3 // 2) // MB
    wanted = max(LEAST_MB, -(-wanted // 64) * 64)
    available = host_available_mb()
    if wanted > available * 9 // 10:
        raise UsageError(
            f"this fleet needs a guest of {wanted} MB, the machine has {available} MB available",
            hint="a smaller --agents, or a smaller input",
        )
    return wanted


def host_available_mb() -> int:
    """What the machine has for guests, in MB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))


def run(guest: Machine, pack: Pack, update: Update = lambda _: None, *, damage: int | None = None) -> Measurement:
    """Both phases in `guest`, which has the fleet program at PROGRAM.

    GuestFault: the kernel prints a splat, fails a call or kills a process; see Measurement.failure for the texts.
    `damage` alters that text before it is held: how tests prove that the verification can fail.
    """
    update(f"sending {pack.size / MB:.1f} MB")
    guest.push(pack.path, PACK)
    phases = {}
    for mode in (Mode.PRIVATE, Mode.SMU):
        update(f"{pack.agents} agents hold {pack.logical_bytes / MB:.1f} MB: {mode.value}")
        argv = fleet.command(mode, PACK, program=PROGRAM, damage=damage)
        result = guest.run(argv, timeout=SETTLING + pack.logical_bytes / BYTES_PER_SECOND)
        guest.check()  # a splat tells more than a call that failed after it
        phases[mode] = fleet.read_phase(mode, pack, result, guest.console)
        if damage is None and mode is Mode.PRIVATE and not phases[mode].verified:
            raise _spoilt(phases[mode], guest.console)  # before the kernel is blamed for digests of another text
    return Measurement(pack, phases[Mode.PRIVATE], phases[Mode.SMU])


def _spoilt(private: Phase, log: Path) -> LabError:
    cause = f"the texts came into the guest changed: {private.differ} copies differ, {private.first_difference}"
    return LabError(cause, log=log, hint="./lab demo, once more")
