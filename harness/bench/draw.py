"""The benchmarks' charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import charts
from harness.bench.isolation import Isolation
from harness.bench.rows import Row
from harness.charts import Figure

COLOURS = {"met": "#2e75b6", "missed": "#c0504d", "undecided": "#bbbbbb"}
FIRST, SECOND = "#c0504d", "#2e75b6"
PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
TAIL = 0.005  # of each sample is beyond the axis: what a timer's interrupt fell into


def goals(rows: Sequence[Row], stem: Path) -> tuple[Path, Path]:
    """Each figure as a part of what its goal allows, in one chart; returns the paths of PNG and SVG."""
    judged = [(row, row.share) for row in reversed(rows) if row.verdict]
    drawn = [(row, share) for row, share in judged if share is not None]
    figure = Figure(figsize=(10, 1 + 0.3 * len(drawn)), dpi=120, layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(
        [row.title for row, _ in drawn],
        [share for _, share in drawn],
        color=[COLOURS[row.verdict] for row, _ in drawn],
        height=0.6,
    )
    axes.bar_label(bars, labels=[f"{share:.2f}" for _, share in drawn], padding=3, fontsize=8, bbox=PLAIN)
    axes.axvline(1.0, color="#222222", linewidth=1)
    axes.set_xlim(0, max(1.2, *(share for _, share in drawn)) * 1.08)
    axes.set_xlabel("part of what the goal allows; right of the line is missed (grey: undecided)")
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return charts.save(figure, stem)


def attach(by_objects: Mapping[int, Sequence[float]], stem: Path) -> tuple[Path, Path]:
    """The distribution of ATTACH by another agent, one line for each number of objects."""
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for (count, values), style in zip(sorted(by_objects.items()), ("-", "--"), strict=True):
        _distribution(axes, values, f"{count:,} objects in the domain", "#2e75b6", style)
    axes.set_xlabel("instructions from entry to exit")
    _finish(axes, "ATTACH by digest, by another agent")
    return charts.save(figure, stem)


def isolation(result: Isolation, stem: Path) -> tuple[Path, Path]:
    """For each probe the two distributions, one upon the other; returns the paths of PNG and SVG."""
    figure = Figure(figsize=(10, 7), dpi=120, layout="constrained")
    for axes, line in zip(figure.subplots(2, 2).flat, result.lines, strict=True):
        held = "the domain's own" if line.probe.control else "another domain has it"
        _distribution(axes, line.first, held, FIRST, "-")
        _distribution(axes, line.second, "nobody has it", SECOND, "--")
        axes.set_xlabel("instructions", fontsize=8)
        _finish(axes, f"{line.probe.title}\ndistance {line.comparison.distance:.4f}, p {line.comparison.p:.2g}")
    return charts.save(figure, stem)


def _distribution(axes: charts.Axes, values: Sequence[float], label: str, colour: str, style: str) -> None:
    ordered = sorted(values)
    shown = ordered[: max(1, round(len(ordered) * (1 - TAIL)))]
    parts = [(place + 1) / len(ordered) for place in range(len(shown))]
    axes.step(shown, parts, where="post", label=f"{label} (n = {len(ordered):,})", color=colour, linestyle=style)


def _finish(axes: charts.Axes, title: str) -> None:
    axes.set_ylabel("part of the calls", fontsize=8)
    axes.set_ylim(0, 1.02)
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
