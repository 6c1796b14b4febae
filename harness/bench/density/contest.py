"""One contestant with one fleet in a guest: the program of guest/*.c is run, and what it prints is read.

It comes from a kernel under test: checked, not trusted.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import fleet
from harness.bench.density.fleets import Fleet
from harness.bench.told import clean, figure
from harness.errors import GuestFault, LabError
from harness.fleet import EXIT_DIFFERS, EXIT_WHOLE, Gauge
from harness.initramfs import compile_static
from harness.kernel import Kernel

SOURCES = Path(__file__).parent / "guest"
PROGRAM = "/bin/density"  # in the guest
TABLE = "/tmp/fleet.tbl"  # in the guest
MAX_OUTPUT = 16 << 20  # bytes
PROBES = 16  # random reads of each agent
ACTIVE = 16  # guest/agent.c: an active one reads so many times as often


class Contestant(enum.StrEnum):
    """`contestants` of guest/main.c, in the order in which they are run."""

    PRIVATE = "private"
    MEMFD = "memfd"
    KSM_ALIGNED = "ksm_aligned"
    KSM_HEAP = "ksm_heap"
    ZRAM = "zram"
    KSM_ZRAM = "ksm_zram"
    AGENT_MEM = "agent_mem"
    AGENT_MEM_NOAUTO = "agent_mem_noauto"

    @property
    def own(self) -> bool:
        return self in (Contestant.AGENT_MEM, Contestant.AGENT_MEM_NOAUTO)


@dataclass(frozen=True)
class Point:
    """So many agents hold their texts, and what can be done against memory has been done. Bytes, milliseconds.

    cpu: of all threads from the first text on, merging counted once (see struct effort of guest/density.h).
    """

    agents: int
    logical: int
    handles: int
    used: int
    memcg: int
    slab: int
    cpu: int
    wall: int
    converged: bool


@dataclass(frozen=True)
class Active:
    """What the active agents met: reads, nanoseconds for all of them, and the memory taken afterwards."""

    agents: int
    reads: int
    read_ns: int
    median_ns: int
    p99_ns: int
    cpu_ms: int
    stalled_us: int
    used: int


@dataclass(frozen=True)
class Sample:
    phase: str
    ms: int
    cpu_ms: int
    used: int


@dataclass
class Outcome:
    contestant: Contestant
    points: list[Point] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    steady: float = 0.0  # of one processor, while nobody does anything
    active: Active | None = None
    probes: int = 0
    differ: int = 0
    difference: str = ""
    notes: list[str] = field(default_factory=list)
    details: dict[str, dict[str, int]] = field(default_factory=dict)
    profile: dict[str, int] = field(default_factory=dict)  # function -> samples, all processors

    @property
    def last(self) -> Point:
        return self.points[-1]


def build(kernel: Kernel) -> Path:
    sources = [*sorted(SOURCES.glob("*.c")), fleet.SOURCES / "gauge.c", fleet.SOURCES / "failure.c"]
    return compile_static(sources, headers=kernel.headers, name="density", flags=["-I", str(fleet.SOURCES)])


def command(
    contestant: Contestant,
    *,
    seconds: int = 0,
    probes: int = PROBES,
    chunk: int = 0,
    damage: int | None = None,
    scans: int = 0,
) -> list[str]:
    """The guest's command line. seconds: 0 is as long as it takes; chunk: 0 is as the kernel has it. `damage` proves
    that the verification can fail."""
    argv = [PROGRAM, "--table", TABLE, "--contestant", contestant.value, "--probes", str(probes)]
    argv += ["--seconds", str(seconds)] if seconds else []
    argv += ["--scans", str(scans)] if scans else []
    argv += ["--chunk", str(chunk)] if chunk else []
    return argv + (["--damage", str(damage)] if damage is not None else [])


def read(contestant: Contestant, whole: Fleet, stdout: bytes, code: int, log: Path | None = None) -> Outcome:
    """What a run has printed. GuestFault: a call of the series failed, or a text came back changed from it;
    LabError: anything else that did not work, and output that makes no sense."""
    try:
        outcome = _Reader(contestant, whole).read(_events(stdout, contestant, log), code)
    except (KeyError, TypeError, ValueError, RecursionError) as problem:
        cause = f"the output of {contestant} makes no sense: {clean(problem)}"
        raise LabError(cause, log=log) from problem
    if outcome.differ:
        cause = f"{outcome.differ} reads of {contestant} came back changed: {outcome.difference}"
        raise (GuestFault if contestant.own else LabError)(cause, log=log, hint="./lab test")
    return outcome


def _events(stdout: bytes, contestant: Contestant, log: Path | None) -> list[dict[str, Any]]:
    if len(stdout) > MAX_OUTPUT:
        raise ValueError(f"{len(stdout)} bytes")
    events: list[dict[str, Any]] = [json.loads(line) for line in stdout.splitlines()]
    for event in events:
        if event["event"] == "error":
            detail = f"{clean(event['what'])}: {clean(event['error'])} (errno {clean(event['errno'])})"
            cause = f"{contestant} failed: {detail}"
            if contestant.own and str(event["what"]).startswith("agent_"):
                raise GuestFault(cause, log=log, hint="./lab test")
            raise LabError(cause, log=log, hint="a larger guest (--memory), or a smaller --scale")
    return events


class _Reader:
    def __init__(self, contestant: Contestant, whole: Fleet) -> None:
        self._fleet = whole
        self._out = Outcome(contestant)
        self._gauges: dict[str, Gauge] = {}
        self._done = False
        self._readers: dict[str, Callable[[dict[str, Any]], None]] = {
            "gauge": self._gauge,
            "point": self._point,
            "sample": self._sample,
            "held": lambda event: None,
            "steady": self._steady,
            "active": self._active,
            "verified": self._verified,
            "differs": self._differs,
            "note": lambda event: self._out.notes.append(clean(event["what"])),
            "ksm": lambda event: self._detail("ksm", event),
            "zram": lambda event: self._detail("zram", event),
            "store": lambda event: self._detail("store", event),
            "done": self._end,
        }

    def read(self, events: list[dict[str, Any]], code: int) -> Outcome:
        for event in events:
            if self._done:
                raise ValueError("something follows the end")
            self._readers[event["event"]](event)
        if not self._done or not self._out.points or code not in (EXIT_WHOLE, EXIT_DIFFERS):
            raise ValueError(f"it broke off, exit code {code}")
        if (code == EXIT_DIFFERS) != (self._out.differ > 0):
            raise ValueError(f"exit code {code} with {self._out.differ} differences")
        return self._out

    def _gauge(self, event: dict[str, Any]) -> None:
        names = Gauge.__dataclass_fields__
        self._gauges[event["at"]] = Gauge(**{name: figure(event[name], -1) for name in names})

    def _used(self, at: str) -> int:
        """By free memory: what is in the page cache is objects, and would count as available."""
        return self._gauges["baseline"].free - self._gauges[at].free

    def _point(self, event: dict[str, Any]) -> None:
        held = self._fleet.agents[: figure(event["agents"], 1)]
        logical, handles = sum(agent.logical_bytes for agent in held), sum(len(agent.texts) for agent in held)
        told = (event["agents"], event["bytes"], event["handles"])
        if told != (len(held), logical, handles):
            raise ValueError(f"{told} held, the fleet has {(len(held), logical, handles)}")
        baseline, now = self._gauges["baseline"], self._gauges["point"]
        cpu = figure(event["cpu_ms"]) - figure(event["merge_ms"]) + figure(event["last_merge_ms"])
        self._out.points.append(
            Point(
                agents=len(held),
                logical=logical,
                handles=handles,
                used=self._used("point"),
                memcg=now.memcg_current - baseline.memcg_current,
                slab=now.slab - baseline.slab,
                cpu=figure(cpu),
                wall=figure(event["wall_ms"]),
                converged=event["converged"] is True,
            )
        )

    def _sample(self, event: dict[str, Any]) -> None:
        used = self._gauges["baseline"].mem_free - figure(event["free"])
        phase = clean(event["phase"])
        self._out.samples.append(Sample(phase, figure(event["ms"]), figure(event["cpu_ms"]), used))

    def _steady(self, event: dict[str, Any]) -> None:
        self._out.steady = figure(event["cpu_ms"]) / figure(event["wall_ms"], 1)

    def _active(self, event: dict[str, Any]) -> None:
        figures = {name: figure(event[name], -1) for name in Active.__dataclass_fields__ if name != "used"}
        self._out.active = Active(**figures, used=self._used("active"))

    def _verified(self, event: dict[str, Any]) -> None:
        self._out.probes, self._out.differ = figure(event["reads"], 1), figure(event["differ"])

    def _differs(self, event: dict[str, Any]) -> None:
        if not self._out.difference:
            places = (f"{key} {figure(event[key])}" for key in ("agent", "text", "offset"))
            self._out.difference = ", ".join(places)

    def _detail(self, name: str, event: dict[str, Any]) -> None:
        self._out.details[name] = {key: figure(value, -1) for key, value in event.items() if key != "event"}

    def _end(self, event: dict[str, Any]) -> None:
        self._done = True
