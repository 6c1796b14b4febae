"""From what was measured to one line for each goal: what was wanted, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.bench import stats
from harness.bench.parallel import Round
from harness.bench.program import Clock, Output

PAGE = 4096
ATTACH_MOST = 2000  # instructions
GROWTH_MOST = 1.2
ALLOC_MOST = 1.3
READ_MOST = 1.03
FAULT_MOST = 1.10
WARM_MOST = 1.15
SWAP_MOST = 0.5
SPAWN_MOST = 0.01
SCALING_LEAST = 1.8
OWN_BYTES_MOST = 128  # of kernel memory that is the series' own


@dataclass(frozen=True)
class Row:
    """One figure. goal: None is for what explains others. undecided: why the figure does not count here."""

    key: str
    title: str
    unit: str
    measured: float
    goal: float | None = None
    at_least: bool = False
    detail: str = ""
    undecided: str = ""

    @property
    def verdict(self) -> str:
        """met, missed, undecided; empty if there is no goal."""
        if self.goal is None:
            return ""
        if self.measured >= self.goal if self.at_least else self.measured <= self.goal:
            return "met"
        return "undecided" if self.undecided else "missed"

    @property
    def share(self) -> float | None:
        """How much of what the goal allows was used: over 1 is too much."""
        if not self.goal or not self.measured:
            return None
        return self.goal / self.measured if self.at_least else self.measured / self.goal

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "measured": round(self.measured, 4), "verdict": self.verdict}


def attach(clock: Clock, outputs: Mapping[int, Output]) -> list[Row]:
    """outputs: by number of objects in the domain."""
    least, most = min(outputs), max(outputs)
    rows = []
    for kind, who in (("other", "another agent"), ("own", "the agent that holds all")):
        medians = {count: output.median(f"attach.{kind}") - clock.reading for count, output in outputs.items()}
        for count in (least, most):
            p10, p50, p99 = _beyond(clock, outputs[count].series[f"attach.{kind}"])
            detail = f"p10 {p10:.0f}, p99 {p99:.0f}; beyond an empty call {p50 - clock.empty:.0f}"
            title = f"ATTACH by {who}, {count:,} objects"
            rows.append(
                Row(f"attach.{kind}.{count}", title, "instructions", medians[count], ATTACH_MOST, detail=detail)
            )
        growth = medians[most] / medians[least]
        title = f"ATTACH by {who}: {most:,} objects / {least:,}"
        rows.append(Row(f"attach.{kind}.growth", title, "ratio", growth, GROWTH_MOST))
    told = (
        ("growing", "ATTACH by an agent that allocates meanwhile"),
        ("held", "ATTACH by an agent that holds the object"),
        ("close", "close of an ATTACHed file"),
        ("miss", "ATTACH that finds nothing"),
        ("open", "open of a tmpfs file"),
    )
    for kind, title in told:
        p10, p50, p99 = _beyond(clock, outputs[most].series[f"attach.{kind}"])
        rows.append(Row(f"attach.{kind}", title, "instructions", p50, detail=f"p10 {p10:.0f}, p99 {p99:.0f}"))
    return [*rows, Row("empty", "empty system call", "instructions", clock.empty)]


def _beyond(clock: Clock, values: Sequence[int]) -> list[float]:
    """p10, median and p99 without what reading the clock takes."""
    return [stats.quantile(values, part) - clock.reading for part in (0.1, 0.5, 0.99)]


def size(count: int) -> str:
    """Bytes as a person says it."""
    for unit, one in (("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= one:
            return f"{count // one} {unit}"
    return f"{count} B"


def alloc(clock: Clock, outputs: Mapping[int, Output]) -> list[Row]:
    """outputs: by bytes of content."""
    rows = []
    for count, output in outputs.items():
        parts = {
            kind: output.median(f"alloc.{kind}") - clock.reading for kind in ("first", "duplicate", "copy", "hash")
        }
        by_hand = parts["copy"] + parts["hash"]
        peer = f"memfd and copy {parts['copy']:,.0f}, SHA-256 {parts['hash']:,.0f}"
        for kind in ("first", "duplicate"):
            bare = (parts[kind] - parts["hash"]) / parts["copy"]
            title = f"{kind} allocation of {size(count)} / copy and SHA-256"
            told = f"call {parts[kind]:,.0f}; {peer}; without SHA-256 on both sides {bare:.2f}"
            rows.append(Row(f"alloc.{kind}.{count}", title, "ratio", parts[kind] / by_hand, ALLOC_MOST, detail=told))
    return rows


def append(clock: Clock, outputs: Mapping[int, Output]) -> list[Row]:
    """outputs: by bytes of the conversation that is continued."""
    least, most = min(outputs), max(outputs)
    turns = {count: output.median("append.turn") - clock.reading for count, output in outputs.items()}
    alone = outputs[most].median("append.alone") - clock.reading
    title, growth = f"appending 1 KB to {size(most)}", turns[most] / turns[least]
    told = f"{turns[most]:,.0f} and {turns[least]:,.0f} instructions; 1 KB alone {alone:,.0f}"
    return [
        Row("append.growth", f"{title} / to {size(least)}", "ratio", growth, GROWTH_MOST, detail=told),
        Row("append.alone", f"{title} / allocating 1 KB", "ratio", turns[most] / alone),
    ]


def read(counted: Output, timed: Output) -> list[Row]:
    """The same reading twice: by instructions, and by the clock, which sees more than instructions."""
    ratios = [output.median("read.smu") / output.median("read.memfd") for output in (timed, counted)]
    least = min(timed.series["read.smu"]) / min(timed.series["read.memfd"])
    return [
        Row(
            "read.time",
            "reading a hot mapping / memfd, by the clock",
            "ratio",
            ratios[0],
            READ_MOST,
            detail=f"fastest {least:.3f}",
        ),
        Row("read.instructions", "reading a hot mapping / memfd", "ratio", ratios[1], READ_MOST),
    ]


def fault(clock: Clock, outputs: Mapping[int, Output]) -> list[Row]:
    """outputs: by bytes of the mapping."""
    rows = []
    for count, output in outputs.items():
        smu, memfd = (output.median(f"fault.{kind}") - clock.reading for kind in ("smu", "memfd"))
        title = f"first touch of a mapping of {size(count)} / memfd"
        detail = f"{smu:,.0f} and {memfd:,.0f} instructions"
        rows.append(Row(f"fault.{count}", title, "ratio", smu / memfd, FAULT_MOST, detail=detail))
    return rows


def warm(output: Output, clock: Clock) -> list[Row]:
    """Reading one chunk that is compressed: all its pages, by faults."""
    took = {name: output.median(f"warm.{name}") - clock.reading for name in ("object", "decode", "swap")}
    title = "reading what is compressed"
    told = f"{took['object']:,.0f} instructions; libzstd {took['decode']:,.0f}, zram {took['swap']:,.0f}"
    return [
        Row("warm.decode", f"{title} / decoding it", "ratio", took["object"] / took["decode"], WARM_MOST, detail=told),
        Row("warm.swap", f"{title} / the same from zram", "ratio", took["object"] / took["swap"], SWAP_MOST),
    ]


def spawn(output: Output, clock: Clock, count: int) -> Row:
    """An agent's start with that many bytes of prompt and tools."""
    attach, copy = (output.median(f"spawn.{name}") - clock.reading for name in ("attach", "copy"))
    told = f"{attach:,.0f} and {copy:,.0f} instructions"
    return Row(
        "spawn", f"finding and mapping {size(count)} / copying it", "ratio", attach / copy, SPAWN_MOST, detail=told
    )


PARALLEL = {
    "alloc": "allocations by two users",
    "alloc_same": "allocations by two agents of one user",
    "compress": "compression by two agents of one user",
    "memfd": "memfds",
    "compute": "computing",
}


def parallel(measured: Mapping[str, Sequence[Round]]) -> list[Row]:
    """measured: rounds by operation. If computing alone does not gain, nothing is known of what else does not."""
    scaling = {name: stats.median(one.scaling for one in rounds) for name, rounds in measured.items()}
    plain = {name: stats.median(one.plain for one in rounds) for name, rounds in measured.items()}
    given = scaling["compute"]
    undecided = f"computing alone gains {given:.2f} here" if given < SCALING_LEAST else ""
    goals = dict.fromkeys(("alloc", "alloc_same", "compress"), SCALING_LEAST)
    return [
        Row(
            f"parallel.{name}",
            f"{title} on two processors / one",
            "ratio",
            scaling[name],
            goals.get(name),
            True,
            f"median of {len(measured[name])}; with what the machine took away {plain[name]:.2f}",
            undecided if name in goals else "",
        )
        for name, title in PARALLEL.items()
    ]


def slab(output: Output) -> list[Row]:
    """Kernel memory, by what /proc/meminfo calls Slab."""
    memfd, made, again, other = (output.slabs[name] for name in ("memfd", "object", "again", "other"))
    file = output.slabs["file"].each
    more = (
        ("again", "one more file of an object", again, file * 1.1, f"a struct file takes {file:.0f}"),
        (
            "other",
            "one more agent that holds an object",
            other,
            file + OWN_BYTES_MOST,
            f"struct file and at most {OWN_BYTES_MOST}",
        ),
    )
    rows = [
        Row(
            "slab.object",
            "object, beyond a memfd",
            "bytes",
            made.each - memfd.each,
            OWN_BYTES_MOST,
            detail=f"{made.each:.0f} and {memfd.each:.0f}",
        ),
    ]
    for key, title, grown, goal, detail in more:
        rows.append(Row(f"slab.{key}", title, "bytes", grown.each, goal, detail=detail))
        dentries = grown.dentries / grown.count
        rows.append(Row(f"slab.{key}.dentries", f"{title}: directory entries", "", round(dentries, 2), 0))
    return rows
