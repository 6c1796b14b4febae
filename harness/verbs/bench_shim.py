"""`harness bench shim`: its table and page. harness/bench/shim.py measures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import host, report
from harness.bench import shim
from harness.bench.shim import Shim
from harness.cache import new_file
from harness.errors import EXIT_OK
from harness.progress import step

WIDE = 160  # columns of a table in a file
MB = 1 << 20
SIDES = ("", "without", "with", "ratio", "what")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("shim only")
    group.add_argument("--all", action="store_true", help="also real agents, and programs that take minutes")
    group.add_argument(
        "--only", nargs="+", default=(), metavar="PROGRAM", help="of all programs these; no memory alike"
    )


def measure(args: argparse.Namespace, out: Path) -> int:
    with step("bench shim") as wait:
        scale = shim.QUICK if args.quick else shim.FULL
        measured = shim.measure(scale, wait.update, everything=args.all, only=args.only)
    result = {
        "bench": "shim",
        "quick": args.quick,
        "all": args.all,
        "rounds": scale.rounds,
        "machine": host.describe(),
        **measured.as_json(),
    }
    rows = _sides(measured, scale.rounds)
    _keep(result, rows, out)
    print(json.dumps(result, indent=2)) if args.json else _show(result, rows, out)
    return EXIT_OK


def _sides(measured: Shim, rounds: int) -> list[tuple[str, ...]]:
    rows = []
    for line in measured.lines:
        one, other = line.without, line.shim
        about = line.about if line.rounds == rounds else f"{line.about}; rounds: {line.rounds}"
        rows += [
            _ratio(f"{line.program}: seconds", one.seconds, other.seconds, "", about),
            _ratio(f"{line.program}: processor seconds", one.cpu, other.cpu, "", ""),
            _ratio(f"{line.program}: most resident", one.peak / MB, other.peak / MB, " MB", ""),
        ]
    for held in measured.held:
        what = f"{held.processes} processes, each with the same {held.texts / MB:.1f} MB of texts"
        plain, placed = held.without, held.shim
        rows += [
            _ratio(f"private memory, {held.language}", plain.bytes / MB, placed.bytes / MB, " MB", what),
            _ratio("of it, equal pages once", plain.merged_bytes / MB, placed.merged_bytes / MB, " MB", ""),
        ]
    return rows


def _ratio(name: str, without: float, with_it: float, unit: str, about: str) -> tuple[str, ...]:
    return (name, f"{without:.2f}{unit}", f"{with_it:.2f}{unit}", f"{with_it / without:.2f}" if without else "", about)


def _ran_on(result: dict[str, Any]) -> list[tuple[str, str]]:
    size = "quick" if result["quick"] else "full"
    return [
        ("machine", host.shown(result["machine"])),
        ("measured", f"shim, {size}; medians of {result['rounds']} rounds"),
    ]


def _show(result: dict[str, Any], rows: list[tuple[str, ...]], out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    for name, value in _ran_on(result):
        console.print(f"{name}: {value}", soft_wrap=True)
    table = Table(title="with the shim / without")
    for number, column in enumerate(SIDES):
        table.add_column(column, justify="right" if 0 < number < len(SIDES) - 1 else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(f"report and figures: {out}", soft_wrap=True)


def _keep(result: dict[str, Any], rows: list[tuple[str, ...]], out: Path) -> None:
    """Writes page and result.json, and adds to `result` where the page is."""
    result["charts"] = []
    result["report"] = str(out / "report.html")
    report.render(
        "bench.html.j2",
        out / "report.html",
        title="What the shim costs and gives",
        columns=SIDES,
        rows=rows,
        ran_on=_ran_on(result),
        charts=[],
    )
    with new_file(out / "result.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
        aside.chmod(0o644)
