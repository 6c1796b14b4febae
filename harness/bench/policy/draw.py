"""The comparison's charts."""

from __future__ import annotations

from pathlib import Path

from harness import charts
from harness.bench.policy.compare import LRU_MOST, ORACLE_MOST, Comparison
from harness.charts import Axes, Figure

COLOURS = {
    "LRU": "#c0504d",
    "as built": "#b8860b",
    "semantic": "#2e75b6",
    "informed": "#6a9a3a",
    "oracle": "#444444",
}


def costs(measured: Comparison, stem: Path) -> tuple[Path, Path]:
    """What is decompressed and for how long active agents stall, by limit; returns the paths of PNG and SVG."""
    figure = Figure(figsize=(11, 4.5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    limits = [100 * limit for limit in measured.costs]
    for name, colour in COLOURS.items():
        line = [costs[name] for costs in measured.costs.values()]
        shares = [100 * cost.decompressed / max(cost.read, 1) for cost in line]
        left.plot(limits, shares, marker="o", label=name, color=colour)
        right.plot(limits, [cost.stall for cost in line], marker="o", label=name, color=colour)
    left.set_ylabel("decompressed, % of what is read")
    right.set_ylabel(f"seconds stalled in {measured.active / 3600:,.1f} h of active agents")
    for axes in (left, right):
        _finish(axes)
    return charts.save(figure, stem)


def ratios(measured: Comparison, stem: Path) -> tuple[Path, Path]:
    """Bytes decompressed by each, as a multiple of the oracle's and of LRU's, with the goals."""
    figure = Figure(figsize=(11, 4.5), dpi=120, layout="constrained")
    for axes, peer, most in zip(figure.subplots(1, 2), ("oracle", "LRU"), (ORACLE_MOST, LRU_MOST), strict=True):
        for name, colour in COLOURS.items():
            told = [
                (100 * limit, costs[name].decompressed / costs[peer].decompressed)
                for limit, costs in measured.costs.items()
                if costs[peer].decompressed and costs[name].decompressed
            ]
            axes.plot(*zip(*told, strict=True), marker="o", label=name, color=colour) if told else None
        axes.axhline(most, color="#222222", linestyle="--", linewidth=1)
        axes.set_yscale("log")
        axes.set_ylabel(f"bytes decompressed / {peer}; dashed: the goal")
        _finish(axes)
    return charts.save(figure, stem)


def _finish(axes: Axes) -> None:
    axes.set_xlabel("memory, % of all that is held at once")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
