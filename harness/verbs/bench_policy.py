"""`harness bench policy`: its options, tables and page. harness/bench/policy/ simulates."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import corpus, report, tree
from harness.bench.policy import native, replay
from harness.bench.policy.compare import FULL, HALVES, QUICK, Comparison, compare
from harness.cache import new_file, sha256_file
from harness.errors import EXIT_OK, UsageError
from harness.progress import step

WIDE = 160  # columns of a table in a file
MB = 1 << 20
COSTS = ("", "read MB", "LRU", "as built", "semantic", "informed", "oracle")
GOALS = ("goal", "measured", "asked", "", "detail")
NOTE = (
    "A simulation: nothing was booted. Stalls are a model of "
    f"{replay.CHUNK_NS // 1000} µs for each chunk and {replay.BYTE_NS} ns for each byte of it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("policy only (with --corpus)")
    group.add_argument(
        "--policy-source", type=Path, metavar="FILE", help=f"default: {native.NAME} of the applied kernel tree"
    )
    group.add_argument(
        "--half", choices=HALVES, default="report", help="of the conversations; `develop` is for trying out"
    )


def measure(args: argparse.Namespace, out: Path) -> int:
    if not args.corpus:
        raise UsageError("bench policy replays recorded conversations", hint="harness bench policy --corpus ARCHIVE")
    with step(f"corpus {args.corpus.name}") as wait:
        given = corpus.load(args.corpus, wait.update)
    source: Path = args.policy_source or tree.apply(own_work="keep").tree / native.NAME
    plan = QUICK if args.quick else FULL
    with step("bench policy") as wait:
        measured = compare(given.sessions, args.half, source, plan, wait.update)
    result = {
        "bench": "policy",
        "quick": args.quick,
        "policy": {"path": str(source), "sha256": sha256_file(source)},
        "input": {"kind": given.kind, "name": given.name, "sha256": given.digest},
        "agents": plan.scale.agents,
        "seconds": plan.scale.seconds,
        "at_work": plan.scale.at_work,
        "seeds": list(plan.seeds),
        **measured.as_json(),
    }
    _keep(measured, result, out)
    print(json.dumps(result, indent=2)) if args.json else _show(measured, result, out)
    return EXIT_OK


def _ran_on(measured: Comparison, result: dict[str, Any]) -> list[tuple[str, str]]:
    spent = {
        name: sum(fleet.seconds[name] for fleet in measured.fleets) / len(measured.fleets) / result["seconds"]
        for name in measured.fleets[0].seconds
    }
    return [
        ("policy", f"{result['policy']['path']}, SHA-256 {result['policy']['sha256'][:16]}"),
        ("input", f"{result['input']['name']}, SHA-256 {result['input']['sha256'][:16]}"),
        (
            "conversations",
            f"{measured.recordings}, half `{measured.half}`; {measured.timed} with times of their own, "
            "which the others take theirs from",
        ),
        ("fleets", f"{len(measured.fleets)} of {result['agents']} agents for {result['seconds']:,.0f} s"),
        ("agents on average", ", ".join(f"{count:.1f} {name}" for name, count in spent.items())),
        ("held at once", ", ".join(f"{fleet.whole / MB:.2f} MB" for fleet in measured.fleets)),
    ]


def _tables(measured: Comparison) -> list[tuple[Sequence[str], Sequence[tuple[str, ...]]]]:
    costs = [
        (
            f"{limit:.0%}",
            f"{told['LRU'].read / MB:,.0f}",
            *(f"{told[name].decompressed / MB:,.2f}" for name in COSTS[2:]),
        )
        for limit, told in measured.costs.items()
    ]
    stalls = [
        (f"{limit:.0%}", *(f"{1000 * told[name].stall:,.0f}" for name in COSTS[2:]))
        for limit, told in measured.costs.items()
    ]
    goals = [
        (
            row.title,
            "-" if row.undecided else f"{row.measured:.3f}",
            f"<= {row.goal:g}",
            row.verdict,
            "; ".join(filter(None, (row.undecided, row.detail))),
        )
        for row in measured.rows()
    ]
    stalled = f"ms stalled in {measured.active / 3600:,.1f} h of active agents, limit"
    tables: list[tuple[Sequence[str], Sequence[tuple[str, ...]]]] = [
        (("MB decompressed, limit", *COSTS[1:]), costs),
        ((stalled, *COSTS[2:]), stalls),
        (GOALS, goals),
    ]
    return tables


def _show(measured: Comparison, result: dict[str, Any], out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    for name, value in _ran_on(measured, result):
        console.print(f"{name}: {value}", soft_wrap=True)
    for columns, rows in _tables(measured):
        table = Table()
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(f"report, charts and figures: {out}", soft_wrap=True)


def _keep(measured: Comparison, result: dict[str, Any], out: Path) -> None:
    """Writes page, charts and result.json, and adds to `result` where they are."""
    from harness.bench.policy import draw  # matplotlib takes a second to import: not before there is something to draw

    pictures = [draw.costs(measured, out / "costs"), draw.ratios(measured, out / "ratios")]
    result["charts"] = [{"png": str(png), "svg": str(svg)} for png, svg in pictures]
    result["report"] = str(out / "report.html")
    report.render(
        "tables.html.j2",
        out / "report.html",
        title="Who goes first",
        note=NOTE,
        tables=[{"columns": columns, "rows": rows} for columns, rows in _tables(measured)],
        charts=[report.inline_svg(svg) for _, svg in pictures],
        ran_on=_ran_on(measured, result),
    )
    with new_file(out / "result.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
        aside.chmod(0o644)
