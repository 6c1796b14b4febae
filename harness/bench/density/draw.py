"""Charts of one fleet: memory and processor time, memory by kind, both over time, memory by agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import charts
from harness.bench.density import whole
from harness.bench.density.contest import Contestant, Outcome
from harness.charts import Axes, Figure

MB = 1_000_000
OWN, PEER, LIMIT = "#2e75b6", "#c0504d", "#444444"
LINES = {
    Contestant.PRIVATE: ("#999999", "-"),
    Contestant.MEMFD: ("#b8860b", "-"),
    Contestant.KSM_ALIGNED: ("#c0504d", "-"),
    Contestant.KSM_HEAP: ("#c0504d", ":"),
    Contestant.ZRAM: ("#6a9a3a", "-"),
    Contestant.KSM_ZRAM: ("#7b5aa6", "-"),
    Contestant.AGENT_MEM: ("#2e75b6", "-"),
    Contestant.AGENT_MEM_NOAUTO: ("#2e75b6", ":"),
}
STACK = {  # whole.stack
    "uncompressed": ("uncompressed pages", "#2e75b6"),
    "compressed": ("compressed content", "#6a9a3a"),
    "pages": ("unused part of the store's pages", "#c6dfb0"),
    "slab": ("slab", "#b8860b"),
    "rest": ("the rest", "#999999"),
}
LEGIBLE = 0.06  # of the widest bar: a narrower segment has no room for a figure


def fleet(title: str, told: Mapping[str, Any], outcomes: Sequence[Outcome], stem: Path) -> list[tuple[Path, Path]]:
    """All charts of a fleet; `told` is its part of the result. Returns the paths of each as PNG and SVG."""
    stored = any("store" in entry for entry in told["contestants"].values())
    return [
        _bars(title, told, stem.with_name(f"{stem.name}-memory")),
        *([_stack(title, told, stem.with_name(f"{stem.name}-stack"))] if stored else []),
        _over_time(title, outcomes, stem.with_name(f"{stem.name}-time")),
        _over_agents(title, outcomes, stem.with_name(f"{stem.name}-agents")),
    ]


def _bars(title: str, told: Mapping[str, Any], stem: Path) -> tuple[Path, Path]:
    """Memory and processor time beside each other; what was not measured to the last agent is hatched."""
    entries: Mapping[str, Any] = told["contestants"]
    names = list(entries)[::-1]
    figure = Figure(figsize=(11, 1.6 + 0.36 * len(names)), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, values, label in (
        (left, [max(0, entries[name]["used_bytes"]) / MB for name in names], "MB used by the whole fleet"),
        (right, [entries[name]["cpu_seconds"] for name in names], "processor seconds, emulated"),
    ):
        drawn = axes.barh(names, values, color=[OWN if Contestant(name).own else PEER for name in names], height=0.6)
        for bar, name in zip(drawn, names, strict=True):
            bar.set_hatch("" if entries[name]["complete"] else "///")
            bar.set_edgecolor("white")
        axes.bar_label(drawn, labels=[f"{value:,.1f}" for value in values], padding=3, fontsize=8)
        axes.set_xlabel(label)
        axes.margins(x=0.15)
        _plain(axes)
    left.axvline(told["offline_limit_bytes"] / MB, color=LIMIT, linestyle="--", linewidth=1)
    left.set_title("dashed: offline limit; hatched: extended from fewer agents", fontsize=8, color="#555555")
    figure.suptitle(title)
    return charts.save(figure, stem)


def _stack(title: str, told: Mapping[str, Any], stem: Path) -> tuple[Path, Path]:
    """Where the memory of the contestants with a store is, beside the offline limit."""
    held = {name: entry for name, entry in told["contestants"].items() if "store" in entry}
    stacks = {name: whole.stack(entry) for name, entry in held.items()}
    limit = told["offline_limit_bytes"] / MB
    widest = max(limit, *(sum(max(0, part) for part in parts.values()) / MB for parts in stacks.values()))
    figure = Figure(figsize=(11, 1.8 + 0.5 * len(held)), dpi=120, layout="constrained")
    axes = figure.subplots()
    labels = [f"{name}\n{entry['measured']['agents']} of {told['agents']} agents" for name, entry in held.items()]
    left = [0.0] * len(held)
    for part, (label, colour) in STACK.items():
        widths = [max(0, parts[part]) / MB for parts in stacks.values()]
        drawn = axes.barh(labels, widths, left=left, color=colour, height=0.6, label=label)
        figures = [f"{width:,.1f}" if width >= LEGIBLE * widest else "" for width in widths]
        axes.bar_label(drawn, labels=figures, label_type="center", fontsize=8, color="white")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.bar_label(drawn, labels=[f"{end:,.1f}" for end in left], padding=3, fontsize=8)
    bound = axes.barh([f"offline limit\n{told['agents']} agents"], [limit], color=LIMIT, height=0.6)
    axes.bar_label(bound, labels=[f"{limit:,.2f}"], padding=3, fontsize=8)
    axes.axvline(limit, color=LIMIT, linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("MB")
    axes.legend(fontsize=8, ncols=len(STACK), loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    figure.suptitle(f"{title}: where the memory is")
    _plain(axes)
    return charts.save(figure, stem)


def _over_time(title: str, outcomes: Sequence[Outcome], stem: Path) -> tuple[Path, Path]:
    figure = Figure(figsize=(11, 4), dpi=120, layout="constrained")
    memory, cpu = figure.subplots(1, 2)
    for outcome in outcomes:
        colour, style = LINES[outcome.contestant]
        seconds = [sample.ms / 1000 for sample in outcome.samples]
        used = [sample.used / MB for sample in outcome.samples]
        first = outcome.samples[0].cpu_ms if outcome.samples else 0
        busy = [(sample.cpu_ms - first) / 1000 for sample in outcome.samples]
        memory.plot(seconds, used, color=colour, linestyle=style, label=outcome.contestant.value)
        cpu.plot(seconds, busy, color=colour, linestyle=style)
    memory.set_ylabel("MB used")
    cpu.set_ylabel("processor seconds so far")
    memory.legend(fontsize=7)
    for axes in (memory, cpu):
        axes.set_xlabel("seconds of the guest's clock, from the first text on")
        axes.set_ylim(bottom=0)
        _plain(axes)
    figure.suptitle(f"{title}: over time")
    return charts.save(figure, stem)


def _over_agents(title: str, outcomes: Sequence[Outcome], stem: Path) -> tuple[Path, Path]:
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for outcome in outcomes:
        colour, style = LINES[outcome.contestant]
        agents = [0, *(point.agents for point in outcome.points)]
        used = [0.0, *(point.used / MB for point in outcome.points)]
        axes.plot(agents, used, color=colour, linestyle=style, marker=".", label=outcome.contestant.value)
    axes.set_xlabel("agents that hold their texts")
    axes.set_ylabel("MB used")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
    axes.set_title(f"{title}: measured points", fontsize=10)
    _plain(axes)
    return charts.save(figure, stem)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
