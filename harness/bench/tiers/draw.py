"""Charts: the tiers over time, who waits, what goes why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness import charts
from harness.bench.tiers import verdict
from harness.bench.tiers.contest import Contestant, Outcome, Plan
from harness.bench.tiers.moves import CLASSES
from harness.charts import Axes, Figure

MB = 1_000_000
PAGE = 4096
STACK = {
    "top": ("top tier", "#2e75b6"),
    "lower": ("lower tier", "#9dc3e6"),
    "compressed": ("compressed, in the store", "#6a9a3a"),
    "archive": ("archive, in memory", "#b8860b"),
    "swap": ("swap: what zram takes", "#c0504d"),
}
LINES = {Contestant.AGENT_MEM: "#2e75b6", Contestant.ZRAM: "#c0504d", Contestant.ZRAM_WITHIN: "#7b5aa6"}
WHY = {
    "evict_age": ("its age", "#6a9a3a"),
    "evict_pressure": ("pressure", "#c0504d"),
    "evict_mark": ("a mark", "#444444"),
}
GROUPS = dict(zip(CLASSES, ("#999999", "#b8860b", "#6a9a3a", "#9dc3e6", "#c0504d"), strict=True))


def stacks(outcomes: Sequence[Outcome], plan: Plan, stem: Path) -> tuple[Path, Path]:
    """Memory by tier over time, one panel for each contestant; returns the paths of PNG and SVG."""
    figure = Figure(figsize=(12, 1.2 + 2.6 * len(outcomes)), dpi=110, layout="constrained")
    panels = figure.subplots(len(outcomes), 1, squeeze=False, sharey=True)[:, 0]
    for axes, outcome in zip(panels, outcomes, strict=True):
        seen = [verdict.tiers(outcome.contestant, sample) for sample in outcome.samples]
        seconds = [sample.ms / 1000 for sample in outcome.samples]
        heights = [[one[name] / MB for one in seen] for name in STACK]
        labels, colours = zip(*STACK.values(), strict=True)
        axes.stackplot(seconds, *heights, labels=labels, colors=colours, linewidth=0)
        axes.hlines(plan.limit / MB, outcome.limited / 1000, seconds[-1], color="#222222", linestyle="--", linewidth=1)
        _turns(axes, outcome)
        axes.set_ylabel("MB")
        axes.set_title(outcome.contestant.value, loc="left", fontsize=10)
        _plain(axes)
    panels[0].legend(fontsize=8, loc="upper right", ncols=5)
    panels[-1].set_xlabel("seconds of the guest's clock; thin lines: turns; dashed: the limit, once it is set")
    return charts.save(figure, stem)


def stalls(outcomes: Sequence[Outcome], stem: Path) -> tuple[Path, Path]:
    """Stall of each step, and stalls so far as a share of wall time."""
    figure = Figure(figsize=(12, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for outcome in outcomes:
        colour, usual = LINES[outcome.contestant], verdict.calm(outcome)
        steps = sorted((step for step in outcome.steps if step.turn > 0), key=lambda step: step.ms + step.ns / 1e6)
        first = next(turn for turn in outcome.turns if turn.turn > 0)
        seconds = np.array([step.ms - first.ms + step.ns / 1e6 for step in steps]) / 1000
        waits = np.array([verdict.stall(step, usual) for step in steps]) / 1e6
        left.plot(seconds, np.maximum(waits, 0.01), ".", color=colour, markersize=4, label=outcome.contestant.value)
        so_far = np.cumsum(waits) / 1000 / first.working / np.maximum(seconds, 0.1)
        right.plot(seconds, 100 * np.maximum(so_far, 0), color=colour, label=outcome.contestant.value)
    left.set_yscale("log")
    left.set_ylabel("ms that a step has waited (0.01: not at all)")
    right.set_ylabel("% of wall time of agents at work, so far")
    right.axhline(100 * verdict.STALL, color="#222222", linestyle="--", linewidth=1)
    right.set_title("dashed: the goal", fontsize=8, color="#555555")
    right.set_ylim(bottom=0)
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.set_xlabel("seconds since the first turn under the limit")
        _plain(axes)
    return charts.save(figure, stem)


def evictions(outcome: Outcome, stem: Path) -> tuple[Path, Path]:
    """Of the series: chunks dropped by reason, pages dropped by class, pages moved between tiers."""
    figure = Figure(figsize=(12, 4.2), dpi=110, layout="constrained")
    reasons, classes, tiers = figure.subplots(1, 3)
    seconds = [sample.ms / 1000 for sample in outcome.samples]
    for name, (label, colour) in WHY.items():
        reasons.plot(seconds, [getattr(sample, name) for sample in outcome.samples], color=colour, label=label)
    reasons.set_ylabel("chunks dropped because of, so far")
    for group, colour in GROUPS.items():
        _so_far(classes, outcome, group, colour, "evict", group)
    classes.set_ylabel("MB dropped of each class, so far")
    _so_far(tiers, outcome, "demoted", "#c0504d", "demote")
    _so_far(tiers, outcome, "promoted", "#2e75b6", "promote")
    tiers.set_ylabel("MB moved between tiers, so far")
    for axes in (reasons, classes, tiers):
        _turns(axes, outcome)
        axes.set_xlabel("seconds of the guest's clock")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
        _plain(axes)
    return charts.save(figure, stem)


def _so_far(axes: Axes, outcome: Outcome, label: str, colour: str, kind: str, group: str = "") -> None:
    moves = [move for move in outcome.moves.moves if move.kind == kind and move.group == group]
    end = outcome.samples[-1].ms
    times = [0.0, *(move.ms / 1000 for move in moves), end / 1000]
    pages = np.cumsum([0, *(move.pages for move in moves), 0])
    axes.plot(times, pages * PAGE / MB, color=colour, label=label, drawstyle="steps-post")


def _turns(axes: Axes, outcome: Outcome) -> None:
    for turn in outcome.turns:
        axes.axvline(turn.ms / 1000, color="#bbbbbb", linewidth=0.6)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
