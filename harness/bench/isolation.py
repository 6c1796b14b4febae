"""What one domain can time of another.

User A holds objects. User B asks by digest, and brings contents: of A's, and such that nobody has, in random order.
What each call takes is counted in instructions. If the distributions differ, B learns what A holds. As a control, the
same with what B holds itself: there they must differ, or the test could not tell.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.bench import program, stats
from harness.bench.program import Machine, Output
from harness.bench.stats import Comparison
from harness.errors import GuestFault, LabError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.progress import Update

MEMORY_MB = 1024
DIFFERENT = 1e-4  # a p below this is a difference; so often a run of a kernel that has none is called bad
SEED = 1  # of contents and order; the kernel's own secrets are of each boot


@dataclass(frozen=True)
class Scale:
    """objects: of each domain. samples: probes of each kind."""

    objects: int
    samples: int


FULL = Scale(objects=8_000, samples=8_000)
QUICK = Scale(objects=2_000, samples=2_000)


@dataclass(frozen=True)
class Probe:
    """Two sorts of probe by one call. control: the first sort is the domain's own, which may and must be seen."""

    key: str
    title: str
    first: str
    second: str
    control: bool


PROBES = (
    Probe("attach", "ATTACH by digest", "attach.elsewhere", "attach.nowhere", False),
    Probe("alloc", "allocation", "alloc.elsewhere", "alloc.nowhere", False),
    Probe("attach.control", "ATTACH by digest, control", "attach.own", "attach.not_own", True),
    Probe("alloc.control", "allocation, control", "alloc.own", "alloc.not_own", True),
)


@dataclass(frozen=True)
class Line:
    """One comparison. first, second: instructions of each call; first is of what somebody has."""

    probe: Probe
    first: tuple[int, ...]
    second: tuple[int, ...]
    comparison: Comparison

    @property
    def differs(self) -> bool:
        return self.comparison.p < DIFFERENT

    @property
    def good(self) -> bool:
        return self.differs == self.probe.control

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.probe.key,
            "control": self.probe.control,
            self.probe.first: stats.quantiles(self.first),
            self.probe.second: stats.quantiles(self.second),
            **asdict(self.comparison),
            "differs": self.differs,
            "good": self.good,
        }


@dataclass(frozen=True)
class Isolation:
    lines: tuple[Line, ...]

    def as_json(self) -> dict[str, Any]:
        return {"good": all(line.good for line in self.lines), "lines": [line.as_json() for line in self.lines]}

    def failure(self, log: Path) -> GuestFault | LabError | None:
        """A domain that can tell is the kernel's fault, a control that sees nothing is ours."""
        for line in self.lines:
            if line.good:
                continue
            found = f"(distance {line.comparison.distance:.3f}, p {line.comparison.p:.2g})"
            if line.probe.control:
                return LabError(f"{line.probe.title}: what is there looks like what is not {found}", log=log)
            return GuestFault(f"{line.probe.title}: another domain's content can be told by time {found}", log=log)
        return None


def measure(built: Kernel, scale: Scale, topology: str, update: Update = lambda _: None) -> Isolation:
    """Boots a guest that counts instructions. GuestFault: a call answered what it must not."""
    files = {program.PROGRAM: program.build(built)}
    with Guest.start(built, topology=topology, memory_mb=MEMORY_MB, cpus=1, counted=True, files=files) as guest:
        return probe(guest, scale, update)


def probe(guest: Machine, scale: Scale, update: Update = lambda _: None) -> Isolation:
    """The same in a guest that is there: one that counts instructions, with the program in it."""
    reading = round(program.clock(guest).reading)
    update(f"{scale.samples:,} probes of each kind")
    return judge(program.run(guest, "isolation", scale.objects, scale.samples, SEED), reading)


def judge(output: Output, reading: int = 0) -> Isolation:
    """reading: instructions of reading the clock, taken off each value."""
    lines = []
    for one in PROBES:
        first, second = (tuple(value - reading for value in output.series[name]) for name in (one.first, one.second))
        lines.append(Line(one, first, second, stats.compare(first, second)))
    return Isolation(tuple(lines))
