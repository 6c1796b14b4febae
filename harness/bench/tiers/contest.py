"""One contestant in a guest: the program of guest/*.c is run, and what it prints is read.

It comes from a kernel under test: checked, not trusted.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from harness import fleet
from harness.bench import density
from harness.bench.tiers.moves import Moves
from harness.bench.told import clean, figure
from harness.errors import GuestFault, LabError
from harness.fleet import EXIT_DIFFERS, EXIT_WHOLE
from harness.initramfs import compile_static
from harness.kernel import Kernel

SOURCES = Path(__file__).parent / "guest"
SHARED = Path(density.__file__ or "").parent / "guest"
PARTS = ("texts.c", "table.c", "squeeze.c", "store.c", "figures.c")  # of SHARED
PROGRAM = "/bin/tiers"  # in the guest
TABLE = "/tmp/fleet.tbl"  # in the guest
MAX_OUTPUT = 32 << 20  # bytes
STEPS = 30  # of a turn
CALLS = ("agent_", "pread of an object")  # of the series
COLD_TURNS = 3  # longer than an agent rests that comes back


class Contestant(enum.StrEnum):
    """`all` of guest/main.c, in the order in which they are run."""

    AGENT_MEM = "agent_mem"
    ZRAM = "zram"
    ZRAM_WITHIN = "zram_within"

    @property
    def own(self) -> bool:
        return self is Contestant.AGENT_MEM


@dataclass(frozen=True)
class Plan:
    """limit: bytes for the whole fleet. A turn is so many steps, which are think_ms apart."""

    limit: int
    turns: int
    think_ms: int

    @property
    def turn_ms(self) -> int:
        return self.think_ms * STEPS

    @property
    def warm_ms(self) -> int:
        return self.turn_ms

    @property
    def cold_ms(self) -> int:
        return self.turn_ms * COLD_TURNS

    @property
    def seconds(self) -> float:
        return (self.turns + 1) * self.turn_ms / 1000


@dataclass(frozen=True)
class Sample:
    """Bytes, but for ms (since the beginning), turn, and what counts events. zram: what its pool takes."""

    ms: int
    turn: int
    anon0: int
    anon1: int
    shmem0: int
    shmem1: int
    current: int
    swap: int
    zram: int
    resident_top: int
    resident_lower: int
    stored_bytes: int
    swapped_bytes: int
    decompressions: int
    evict_age: int
    evict_pressure: int
    evict_mark: int


@dataclass(frozen=True)
class Step:
    """One reading of prompt, tools and a conversation, by an agent at work."""

    agent: int
    turn: int
    ms: int
    bytes: int
    ns: int


@dataclass(frozen=True)
class Turn:
    """stalled_us: memory pressure (PSI) of all agents at work, added up."""

    turn: int
    ms: int
    wall_ms: int
    working: int
    stalled_us: int


@dataclass(frozen=True)
class Rest:
    """At the end of a turn: what none of the agents at work holds."""

    turn: int
    resident: int
    stored: int
    distinct: int


@dataclass
class Outcome:
    contestant: Contestant
    agents: int = 0
    begin: int = 0  # the guest's clock, ms
    limited: int = 0  # when the limit was set, ms since the beginning
    samples: list[Sample] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    rests: list[Rest] = field(default_factory=list)
    checked: int = 0
    differ: int = 0
    difference: str = ""
    notes: list[str] = field(default_factory=list)
    moves: Moves = field(default_factory=Moves)


T = TypeVar("T", Sample, Step, Turn, Rest)


def build(kernel: Kernel) -> Path:
    sources = [*sorted(SOURCES.glob("*.c")), *(SHARED / part for part in PARTS), fleet.SOURCES / "failure.c"]
    return compile_static(
        sources, headers=kernel.headers, name="tiers", flags=["-I", str(SHARED), "-I", str(fleet.SOURCES)]
    )


def command(contestant: Contestant, plan: Plan, *, damage: int | None = None) -> list[str]:
    """The guest's command line. `damage` proves that the verification can fail."""
    numbers = {
        "limit": plan.limit,
        "turns": plan.turns,
        "turn": plan.turn_ms,
        "think": plan.think_ms,
        "warm": plan.warm_ms,
        "cold": plan.cold_ms,
    }
    argv = [PROGRAM, "--table", TABLE, "--contestant", contestant.value]
    argv += [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
    return argv + (["--damage", str(damage)] if damage is not None else [])


def read(contestant: Contestant, plan: Plan, stdout: bytes, code: int, log: Path | None = None) -> Outcome:
    """What a run has printed. GuestFault: a call of the series failed, or a text came back changed from it;
    LabError: anything else that did not work, and output that makes no sense."""
    try:
        outcome = _Reader(contestant, plan).read(_events(stdout, contestant, log), code)
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
            if contestant.own and str(event["what"]).startswith(CALLS):
                raise GuestFault(cause, log=log, hint="./lab test")
            raise LabError(cause, log=log, hint="a larger limit (--limit), or a larger guest (--memory)")
    return events


class _Reader:
    def __init__(self, contestant: Contestant, plan: Plan) -> None:
        self._plan = plan
        self._out = Outcome(contestant)
        self._done = False
        self._readers: dict[str, Callable[[dict[str, Any]], None]] = {
            "begin": self._begin,
            "limit": self._limit,
            "sample": lambda event: self._out.samples.append(self._figures(Sample, event)),
            "step": lambda event: self._out.steps.append(self._figures(Step, event)),
            "turn": lambda event: self._out.turns.append(self._figures(Turn, event)),
            "rest": lambda event: self._out.rests.append(self._figures(Rest, event)),
            "note": lambda event: self._out.notes.append(clean(event["what"])),
            "differs": self._differs,
            "checked": self._checked,
            "done": self._end,
        }

    def read(self, events: list[dict[str, Any]], code: int) -> Outcome:
        for event in events:
            if self._done:
                raise ValueError("something follows the end")
            self._readers[event["event"]](event)
        out = self._out
        if not self._done or not out.agents or not out.limited or code not in (EXIT_WHOLE, EXIT_DIFFERS):
            raise ValueError(f"it broke off, exit code {code}")
        if (code == EXIT_DIFFERS) != (out.differ > 0):
            raise ValueError(f"exit code {code} with {out.differ} differences")
        whole = list(range(self._plan.turns + 1))
        if [turn.turn for turn in out.turns] != whole or [rest.turn for rest in out.rests] != whole:
            raise ValueError(f"{len(out.turns)} turns instead of {len(whole)}")
        if {step.turn for step in out.steps} != set(whole) or not out.samples:
            raise ValueError("a turn without a step")
        return out

    def _figures(self, kind: type[T], event: dict[str, Any]) -> T:
        """All are numbers; times become those since the beginning."""
        values = {one.name: figure(event[one.name]) for one in fields(kind)}
        if "ms" in values:
            values["ms"] = figure(values["ms"] - self._out.begin)
        if "bytes" in values and not (values["bytes"] and values["ns"]):
            raise ValueError("a step that took nothing")
        if "wall_ms" in values and not (values["wall_ms"] and values["working"]):
            raise ValueError("a turn that took nothing")
        return kind(**values)

    def _begin(self, event: dict[str, Any]) -> None:
        self._out.begin, self._out.agents = figure(event["ms"]), figure(event["agents"], 1)

    def _limit(self, event: dict[str, Any]) -> None:
        if event["bytes"] != self._plan.limit:
            raise ValueError(f"the limit is {clean(event['bytes'])}")
        self._out.limited = figure(event["ms"] - self._out.begin)

    def _differs(self, event: dict[str, Any]) -> None:
        if not self._out.difference:
            places = (f"{key} {figure(event[key])}" for key in ("agent", "text", "offset"))
            self._out.difference = ", ".join(places)

    def _checked(self, event: dict[str, Any]) -> None:
        self._out.checked, self._out.differ = figure(event["reads"], 1), figure(event["differ"])

    def _end(self, event: dict[str, Any]) -> None:
        self._done = True
