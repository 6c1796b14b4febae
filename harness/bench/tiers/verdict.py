"""From what was measured to shares of wall time, and how they stand to the goals.

Reading takes time without any stall, too, much of it under emulation. So in a run of each contestant there is a turn
without a limit; what a byte takes then is what it takes, and the rest is stall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.bench.rows import Row
from harness.bench.tiers.contest import Contestant, Outcome, Sample, Step

STALL = 0.02  # of wall time, of agents at work
FLOOR = 1.05  # times the compressed form: memory of what agents at rest hold
TIERS = ("top", "lower", "compressed", "archive", "swap")


@dataclass(frozen=True)
class Stalls:
    """share, pressure: of the wall time of agents at work, by the clock and by the kernel's own count (PSI).

    reading: all time in reads. slowdown: a byte under the limit / without one. The last two are of one step, as a
    multiple of what it takes without a limit.
    """

    share: float
    pressure: float
    reading: float
    slowdown: float
    median: float
    p99: float

    def as_json(self) -> dict[str, float]:
        return {name: round(value, 6) for name, value in vars(self).items()}


def calm(outcome: Outcome) -> float:
    """Nanoseconds that a byte takes without a limit."""
    steps = [step for step in outcome.steps if step.turn == 0]
    return sum(step.ns for step in steps) / sum(step.bytes for step in steps)


def stall(step: Step, calm_ns: float) -> float:
    """Nanoseconds; negative for a step that was quicker than most."""
    return step.ns - step.bytes * calm_ns


def stalls(outcome: Outcome) -> Stalls:
    usual = calm(outcome)
    steps = [step for step in outcome.steps if step.turn > 0]
    turns = [turn for turn in outcome.turns if turn.turn > 0]
    wall = sum(turn.wall_ms * turn.working for turn in turns) * 1e6
    took, should = sum(step.ns for step in steps), sum(step.bytes for step in steps) * usual
    times = np.array([step.ns / (step.bytes * usual) for step in steps])
    return Stalls(
        share=max(0.0, took - should) / wall,
        pressure=sum(turn.stalled_us for turn in turns) * 1e3 / wall,
        reading=took / wall,
        slowdown=took / should,
        median=float(np.median(times)),
        p99=float(np.percentile(times, 99)),
    )


def tiers(contestant: Contestant, sample: Sample) -> dict[str, int]:
    """Bytes that each tier has of the fleet. compressed: in the store. archive: of what the store has moved there, what
    is in memory still. swap: what zram takes; of copies it is the only compressed form."""
    return {
        "top": sample.anon0 + sample.resident_top,
        "lower": sample.anon1 + sample.resident_lower,
        "compressed": max(0, sample.stored_bytes - sample.swapped_bytes),
        "archive": sample.shmem0 + sample.shmem1 if contestant.own else 0,
        "swap": sample.zram,
    }


def summary(outcome: Outcome) -> dict[str, Any]:
    """One entry of the result's `contestants`."""
    limited = [sample for sample in outcome.samples if sample.turn > 0]
    seen = [tiers(outcome.contestant, sample) for sample in limited]
    last, first = outcome.samples[-1], outcome.samples[0]
    reasons = ("evict_age", "evict_pressure", "evict_mark")
    entry: dict[str, Any] = {
        "stalls": stalls(outcome).as_json(),
        "tier_bytes": {
            name: {"mean": round(float(np.mean([one[name] for one in seen]))), "peak": max(one[name] for one in seen)}
            for name in TIERS
        },
        "memcg_bytes": round(float(np.mean([sample.current for sample in limited]))),
        "zram_bytes": round(float(np.mean([sample.zram for sample in limited]))),
        "swap_bytes": round(float(np.mean([sample.swap for sample in limited]))),
        "steps": sum(step.turn > 0 for step in outcome.steps),
        "rest": [vars(rest) for rest in outcome.rests],
        "checked": outcome.checked,
        "notes": list(outcome.notes),
    }
    if outcome.contestant.own:
        entry["evicted_chunks"] = {name[6:]: getattr(last, name) - getattr(first, name) for name in reasons}
        entry["decompressed_chunks"] = last.decompressions - first.decompressions
        entry["moves"] = outcome.moves.as_json()
    return entry


def floor(outcome: Outcome) -> list[float]:
    """At the end of each turn under the limit: memory of what agents at rest hold alone / its compressed form."""
    return [(rest.resident + rest.stored) / rest.stored for rest in outcome.rests if rest.turn and rest.stored]


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    seen: Mapping[Contestant, Outcome] = {outcome.contestant: outcome for outcome in outcomes}
    own = seen[Contestant.AGENT_MEM]
    waits = {one: stalls(outcome) for one, outcome in seen.items()}
    found = [Row("stall.agent_mem", _title(Contestant.AGENT_MEM), "share", waits[own.contestant].share, STALL)]
    found += [Row(f"stall.{one}", _title(one), "share", wait.share) for one, wait in waits.items() if not one.own]
    floors = floor(own)
    if floors:
        detail = f"after each turn: {', '.join(f'{one:.2f}' for one in floors)}"
        title = "memory of agents at rest / its compressed form"
        found.append(Row("floor", title, "ratio", sum(floors) / len(floors), FLOOR, detail=detail))
    limited = [tiers(own.contestant, sample) for sample in own.samples if sample.turn > 0]
    used = [name for name in TIERS if any(one[name] for one in limited)]
    found.append(Row("tiers", "tiers that held something", "", len(used), len(TIERS), True, ", ".join(used)))
    return found


def _title(contestant: Contestant) -> str:
    return f"stall of agents at work, {contestant}"
