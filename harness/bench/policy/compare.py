"""All contestants over several fleets and limits, on one half of the conversations: the other half is for trying out.

Which conversation is in which half goes by its place in the corpus, so each source is in both. A half's users and
models take the time that its own recordings tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench.policy import contestants, native, recording, timeline
from harness.bench.policy.replay import Cost, replay, upcoming, whole
from harness.bench.policy.timeline import Kind, Pace, Scale, State, Timeline
from harness.bench.rows import Row
from harness.errors import UsageError
from harness.progress import Update
from harness.sessions import Session

HALVES = {"develop": 0, "report": 1}
ORACLE_MOST, LRU_MOST = 1.3, 0.5
NEGLIGIBLE = 0.001  # of what is read: a ratio of two such figures says nothing
PAGE = 4096


@dataclass(frozen=True)
class Plan:
    limits: tuple[float, ...]  # parts of all that is held at once
    seeds: tuple[int, ...]
    scale: Scale


FULL = Plan((0.10, 0.15, 0.20, 0.25, 0.30, 0.40, 0.60), (1, 2, 3), Scale())
QUICK = Plan((0.10, 0.20, 0.30, 0.60), (1,), Scale(agents=40, seconds=1200.0, arrival=100.0))


@dataclass(frozen=True)
class Fleet:
    """What one timeline is: bytes held at once at most, and for how long its agents are in each state, in all."""

    whole: int
    requests: int
    seconds: Mapping[str, float]

    @staticmethod
    def of(line: Timeline, seconds: float) -> Fleet:
        since: dict[int, tuple[State, int]] = {}
        spent = dict.fromkeys(State, 0.0)
        for event in (event for event in line.events if event.kind is Kind.STATE):
            state, time = since.get(event.agent, (State.IDLE, 0))
            spent[state] += (event.time - time) / 1000
            since[event.agent] = event.state, event.time
        for state, time in since.values():
            spent[state] += seconds - time / 1000
        requests = sum(event.kind is Kind.REQUEST for event in line.events)
        return Fleet(whole(line) * PAGE, requests, {state.name: round(spent[state], 1) for state in State})


@dataclass(frozen=True)
class Comparison:
    half: str
    recordings: int
    timed: int  # of them with times of their own
    fleets: tuple[Fleet, ...]
    costs: Mapping[float, Mapping[str, Cost]]  # by limit and contestant, over all fleets

    @property
    def active(self) -> float:
        """Seconds for which agents were at work."""
        return sum(fleet.seconds[State.ACTIVE.name] for fleet in self.fleets)

    def rows(self) -> list[Row]:
        return [row for limit, costs in self.costs.items() for row in _judged(limit, costs)]

    def as_json(self) -> dict[str, Any]:
        return {
            "half": self.half,
            "recordings": self.recordings,
            "timed": self.timed,
            "fleets": [{"whole_bytes": f.whole, "requests": f.requests, "seconds": f.seconds} for f in self.fleets],
            "limits": {
                f"{limit:g}": {name: self._told(cost) for name, cost in costs.items()}
                for limit, costs in self.costs.items()
            },
            "rows": [row.as_json() for row in self.rows()],
            "missed": [row.key for row in self.rows() if row.verdict == "missed"],
        }

    def _told(self, cost: Cost) -> dict[str, float]:
        return {
            "read_bytes": cost.read,
            "decompressed_bytes": cost.decompressed,
            "chunks": cost.chunks,
            "stall_seconds": round(cost.stall, 6),
            "stall_share": cost.stall / self.active,
        }


def compare(
    sessions: Sequence[Session], half: str, source: Path, plan: Plan, update: Update = lambda _: None
) -> Comparison:
    """source: of the policy. UsageError: the corpus has no times, or too few conversations for two halves."""
    chosen = [recording.read(session) for session in sessions[HALVES[half] :: len(HALVES)]]
    if not chosen:
        raise UsageError("the corpus is too small to be halved")
    pace, policy = Pace.of(chosen), native.load(source)
    fleets: list[Fleet] = []
    costs: dict[float, dict[str, Cost]] = {limit: {} for limit in plan.limits}
    for seed in plan.seeds:
        line = timeline.play(chosen, pace, plan.scale, seed)
        fleets.append(Fleet.of(line, plan.scale.seconds))
        following = upcoming(line)
        for limit in plan.limits:
            update(f"fleet {seed}, {limit:.0%} of what it holds")
            pages = max(1, round(fleets[-1].whole / PAGE * limit))
            for name, order in contestants.all_of(policy, pace, seed).items():
                before = costs[limit].get(name, Cost())
                costs[limit][name] = before + replay(line, pages, order, following)
    timed = sum(any(one.seconds or one.think for one in each.requests) for each in chosen)
    return Comparison(half, len(chosen), timed, tuple(fleets), costs)


def _judged(limit: float, costs: Mapping[str, Cost]) -> list[Row]:
    """The kernel takes samples, so `as built` is judged; `semantic` is what sorting all objects would give."""
    ours, sort = costs["as built"], costs["semantic"]
    rows = []
    for name, most in (("oracle", ORACLE_MOST), ("LRU", LRU_MOST)):
        other = costs[name]
        little = max(ours.decompressed, other.decompressed) <= NEGLIGIBLE * ours.read
        detail = f"{_share(ours)} against {_share(other)} of what is read"
        if other.decompressed:
            detail += f"; a full sort: {sort.decompressed / other.decompressed:.3f}"
        rows.append(
            Row(
                f"{name.lower()}.{limit:g}",
                f"as built / {name}, bytes decompressed, limit {limit:.0%}",
                "ratio",
                ours.decompressed / max(other.decompressed, 1),
                most,
                detail=detail,
                undecided="next to nothing on both sides" if little else "",
            )
        )
    return rows


def _share(cost: Cost) -> str:
    return f"{cost.decompressed / max(cost.read, 1):.2%}"
