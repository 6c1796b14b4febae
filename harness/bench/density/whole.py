"""From what was measured to what the whole fleet takes, and how that stands to the goals.

A contestant that had room for all agents is as measured. For one that had not, the memory that each agent of the
last round took is added for each of the others: the line through the last two points. Both are in the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.bench.density.contest import Contestant, Outcome, Point
from harness.bench.density.fleets import Fleet, Name
from harness.bench.density.limit import Limit

STRUCT_FILE = 195  # bytes of one more file of an object (`harness bench core`)
NEAR = 1.05  # of the offline limit
PLAIN, PLAIN_SHARE = 7.3, 1.4  # times plain, where conversations are at most so many times prompt and tools
HISTORY = 15.0  # times plain, stored histories
PEERS = 3.0  # times the best peer
PROFILED = 30  # functions of a profile that are told
CPU = 0.25  # of page merging and zram
STEADY = 0.05  # of one processor


@dataclass(frozen=True)
class Figures:
    """What the whole fleet takes."""

    used: float
    cpu_seconds: float
    complete: bool  # all agents were measured


@dataclass(frozen=True)
class Goal:
    key: str
    title: str
    measured: float
    bound: float
    at_least: bool = False
    sound: bool = True  # all contestants that it is about were measured well enough

    @property
    def verdict(self) -> str:
        if not self.sound:
            return "undecided"
        met = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return "met" if met else "missed"

    def as_json(self) -> dict[str, Any]:
        told = {"key": self.key, "title": self.title, "measured": round(self.measured, 4), "goal": self.bound}
        return {**told, "at_least": self.at_least, "verdict": self.verdict}


def figures(outcome: Outcome, fleet: Fleet) -> Figures:
    points, missing = outcome.points, len(fleet.agents) - outcome.last.agents
    if not missing:
        return Figures(outcome.last.used, outcome.last.cpu / 1000, True)
    before = points[-2] if len(points) > 1 else None
    used = outcome.last.used + missing * _each(before, outcome.last, "used")
    cpu = outcome.last.cpu + missing * _each(before, outcome.last, "cpu")
    return Figures(used, cpu / 1000, False)


def _each(before: Point | None, last: Point, what: str) -> float:
    """Of one more agent."""
    earlier, agents = (getattr(before, what), before.agents) if before else (0, 0)
    more: int = getattr(last, what) - earlier
    return max(0.0, more / (last.agents - agents))


def contestant(outcome: Outcome, fleet: Fleet) -> dict[str, Any]:
    """One entry of the result's `contestants`."""
    whole, last = figures(outcome, fleet), outcome.last
    entry: dict[str, Any] = {
        "used_bytes": round(whole.used),
        "ratio": round(fleet.logical_bytes / whole.used, 4) if whole.used > 0 else None,
        "cpu_seconds": round(whole.cpu_seconds, 3),
        "complete": whole.complete,
        "points": len(outcome.points),
        "measured": {
            "agents": last.agents,
            "logical_bytes": last.logical,
            "used_bytes": last.used,
            "memcg_bytes": last.memcg,
            "slab_bytes": last.slab,
            "cpu_seconds": round(last.cpu / 1000, 3),
        },
        "converged": last.converged,
        "steady_cpu": round(outcome.steady, 4),
        "probes": outcome.probes,
        "notes": list(outcome.notes),
        **outcome.details,
    }
    if outcome.profile:
        entry["profile"] = _shares(outcome.profile)
    if outcome.active:
        seen = outcome.active
        entry["active"] = {
            "agents": seen.agents,
            "reads": seen.reads,
            "read_seconds": round(seen.read_ns / 1e9, 6),
            "median_read_ns": seen.median_ns,
            "p99_read_ns": seen.p99_ns,
            "stalled_seconds": seen.stalled_us / 1e6,
            "cpu_seconds": seen.cpu_ms / 1000,
            "used_bytes": seen.used,
        }
    return entry


def stack(entry: Mapping[str, Any]) -> dict[str, int]:
    """Where the memory of a contestant with a store is, in bytes, for the agents that were measured.

    `pages` is what the store's pages take beyond their content; `rest` is memory of the processes, page tables and
    the like. Samples of the kernel's counters are taken one after the other, so the rest may come out below 0.
    """
    store, measured = entry["store"], entry["measured"]
    parts: dict[str, int] = {
        "uncompressed": store["resident"],
        "compressed": store["charged"],
        "pages": store["pool"] - store["charged"],
        "slab": measured["slab_bytes"],
    }
    return {**parts, "rest": measured["used_bytes"] - sum(parts.values())}


def _shares(samples: Mapping[str, int]) -> dict[str, float]:
    """The functions that took most of the processors' time, as parts of 1."""
    taken = sum(samples.values())
    most = sorted(samples.items(), key=lambda one: -one[1])[:PROFILED]
    return {name: round(count / taken, 4) for name, count in most}


def summary(fleet: Fleet, limit: Limit, outcomes: Sequence[Outcome], talk_share: float) -> dict[str, Any]:
    """One fleet's part of the result."""
    entries = {outcome.contestant.value: contestant(outcome, fleet) for outcome in outcomes}
    return {
        "logical_bytes": fleet.logical_bytes,
        "offline_limit_bytes": limit.stored,
        "contestants": entries,
        "agents": len(fleet.agents),
        "handles": fleet.handles,
        "texts": limit.texts,
        "distinct_bytes": limit.distinct,
        "offline_without_bases_bytes": limit.plain,
        "goals": [goal.as_json() for goal in goals(fleet, limit, entries, talk_share)],
    }


def _sound(entries: Iterable[Mapping[str, Any]]) -> bool:
    """Measured to the last agent, or with two points of a line; and not stopped half-way."""
    return all(entry["converged"] and (entry["complete"] or entry["points"] > 1) for entry in entries)


def _cpu(entries: Mapping[str, dict[str, Any]]) -> list[Goal]:
    """Beyond what it takes to fill plain copies, which is everybody's."""
    names = (Contestant.PRIVATE, Contestant.AGENT_MEM, Contestant.KSM_ZRAM)
    if any(name.value not in entries for name in names):
        return []
    concerned = [entries[name.value] for name in names]
    plain, own, both = (entry["cpu_seconds"] for entry in concerned)
    if both <= plain:
        return []
    title = "CPU beyond plain / that of KSM and zram"
    return [Goal("cpu", title, (own - plain) / (both - plain), CPU, sound=_sound(concerned))]


def goals(fleet: Fleet, limit: Limit, entries: Mapping[str, dict[str, Any]], talk_share: float) -> list[Goal]:
    """Those of the fleet for which all contestants were run."""
    own = entries.get(Contestant.AGENT_MEM.value)
    if own is None or own["used_bytes"] <= 0:
        return []
    used, found = own["used_bytes"], []
    if fleet.name is not Name.MIXED:
        files = STRUCT_FILE * fleet.handles if fleet.name is Name.TOOLS else 0
        title = "memory / offline limit" + (" and one struct file for each handle" if files else "")
        found.append(Goal("limit", title, used / (limit.stored * NEAR + files) * NEAR, NEAR, sound=_sound([own])))
    plain = entries.get(Contestant.PRIVATE.value)
    asked = HISTORY if fleet.name is Name.HISTORY else PLAIN
    apart = fleet.name in (Name.IDENTICAL, Name.OWN_LINE) and talk_share <= PLAIN_SHARE
    if plain and (apart or fleet.name is Name.HISTORY):
        ratio = plain["used_bytes"] / used
        found.append(Goal("plain", "times less than plain copies", ratio, asked, True, _sound([own, plain])))
    peers = [entry for name, entry in entries.items() if not Contestant(name).own and name != Contestant.PRIVATE]
    if peers and fleet.name in (Name.OWN_LINE, Name.HISTORY):
        best = min(entry["used_bytes"] for entry in peers)
        sound = _sound([own, *peers])
        found.append(Goal("peers", "times less than the best peer", best / used, PEERS, True, sound))
    found += _cpu(entries)
    found.append(Goal("steady", "of one processor, at rest", own["steady_cpu"], STEADY))
    return found
