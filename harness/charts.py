"""Charts as PNG and SVG, drawn without a display."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cache import cache_dir, new_file

os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))  # it writes there; not into the home

import matplotlib  # noqa: E402

matplotlib.use("Agg")
from matplotlib.axes import Axes as Axes  # noqa: E402
from matplotlib.figure import Figure as Figure  # noqa: E402

MB = 1 << 20


@dataclass(frozen=True)
class Bar:
    label: str
    value: int  # bytes
    colour: str


def draw(bars: Sequence[Bar], title: str, subtitle: str, stem: Path) -> tuple[Path, Path]:
    """Draws the bars, in MiB from zero, to `stem`.png and `stem`.svg; returns the paths. Same bars, same files."""
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    heights = [bar.value / MB for bar in bars]
    drawn = axes.bar([bar.label for bar in bars], heights, color=[bar.colour for bar in bars], width=0.6)
    axes.bar_label(drawn, labels=[f"{height:.1f} MiB" for height in heights], padding=3)
    axes.set_ylabel("MiB")
    axes.set_ylim(bottom=min(0.0, *heights), top=max(*heights, 1e-3) * 1.15)
    axes.set_title(subtitle, fontsize=8, color="#555555")
    figure.suptitle(title)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, stem)


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Writes a figure to `stem`.png and `stem`.svg; returns the paths. Same figure, same files."""
    matplotlib.rcParams["svg.hashsalt"] = "agent_mem"
    paths = (stem.with_suffix(".png"), stem.with_suffix(".svg"))
    for path in paths:
        with new_file(path) as aside:
            figure.savefig(aside, format=path.suffix[1:], metadata=_metadata(path))
            aside.chmod(0o644)
    return paths


def _metadata(path: Path) -> dict[str, None]:
    """No date and no version in the file: the same figures give the same bytes."""
    return {"Date": None} if path.suffix == ".svg" else {"Software": None}
