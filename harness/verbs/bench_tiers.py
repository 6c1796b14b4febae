"""`harness bench tiers`: its options, tables and page. harness/bench/tiers/ measures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import conversations, corpus, host, kernel, report, sessions, topology
from harness.bench.density import fleets
from harness.bench.density.fleets import Fleet, Name
from harness.bench.density.material import Material, Size
from harness.bench.tiers import run, verdict
from harness.bench.tiers.contest import Outcome, Plan
from harness.bench.tiers.moves import CLASSES, REASONS
from harness.cache import locked, new_file
from harness.errors import EXIT_OK, UsageError
from harness.kernel import Kernel
from harness.progress import step
from harness.sessions import Source

TOPOLOGY = run.TOPOLOGY
LIMIT = 0.3  # of what plain copies take
QUICK = Size(10, 0.002)
TURNS, QUICK_TURNS = 6, 3
STEP_MS = 10_000  # between two steps of an agent at scale 1; time is scaled as the texts are
LEAST_STEP_MS = 20
MADE_HERE = 8  # agents' worth of conversations, where no corpus is given
MB = 1_000_000
PAGE = 4096
WIDE = 160  # columns of a table in a file
MEMORY = ("mean MB under the limit", *verdict.TIERS, "memcg", "with swap")
WAITS = ("agents at work", "stall", "pressure (PSI)", "in reads", "a byte / no limit", "99th p. step", "steps")
GOALS = ("goal", "measured", "asked", "", "detail")
NOTE = "Stalls are shares of the wall time of agents at work, measured in one guest whose clock counts instructions."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tiers only")
    group.add_argument(
        "--limit", type=float, default=LIMIT, metavar="R", help=f"memory, as a part of plain copies (default {LIMIT})"
    )


def measure(args: argparse.Namespace, out: Path) -> int:
    if not 0 < args.limit <= 1:
        raise UsageError(f"--limit takes more than 0 and at most 1, not {args.limit:g}")
    if not 2 <= args.agents <= sessions.MAX_AGENTS or not 0 < args.scale <= 1:
        raise UsageError("tiers takes --agents from 2 on, and a --scale of more than 0 and at most 1")
    if len(topology.named(args.topology).nodes) < 2:
        raise UsageError(f"topology {args.topology} has one memory tier", hint=f"--topology {TOPOLOGY}")
    size = QUICK if args.quick else Size(args.agents, args.scale)
    with locked("density", shared=False):  # texts of another run's size may be in the way
        return _measure(args, size, out)


def _measure(args: argparse.Namespace, size: Size, out: Path) -> int:
    source = _corpus(args.corpus)  # before the build: a wrong path should not take minutes to be noticed
    built = kernel.build("density")
    if source is None:
        with step("conversations of the default input") as wait:
            source = conversations.load(built.tree, MADE_HERE, wait.update)
    material = Material(source, size)
    with step(f"texts of {size.agents} agents") as wait:
        fleet = fleets.make(Name.MIXED, material, wait.update)
    think = max(LEAST_STEP_MS, round(STEP_MS * size.scale))
    plan = Plan(run.limit(args.limit, fleet), QUICK_TURNS if args.quick else TURNS, think)
    setting = run.Setting(material, fleet, plan, run.memory_mb(fleet.logical_bytes, args.memory), args.topology)
    with step("bench tiers") as wait:
        outcomes = run.outcomes(built, setting, wait.update)
    result = {**_about(args, built, setting, source), **_figures(fleet, outcomes)}
    _keep(result, outcomes, plan, out)
    print(json.dumps(result, indent=2)) if args.json else _show(result, outcomes, out)
    return EXIT_OK


def _corpus(archive: Path | None) -> Source | None:
    if not archive:
        return None
    with step(f"corpus {archive.name}") as wait:
        return corpus.load(archive, wait.update)


def _about(args: argparse.Namespace, built: Kernel, setting: run.Setting, source: Source) -> dict[str, Any]:
    plan, size = setting.plan, setting.material.size
    return {
        "bench": "tiers",
        "quick": args.quick,
        "agents": size.agents,
        "scale": size.scale,
        "limit_bytes": plan.limit,
        "turns": plan.turns,
        "turn_ms": plan.turn_ms,
        "think_ms": plan.think_ms,
        "warm_after_ms": plan.warm_ms,
        "cold_after_ms": plan.cold_ms,
        "memory_mb": setting.memory_mb,
        "topology": setting.topology,
        "machine": host.with_guests((setting.topology, 1, True)),
        "kernel": built.release,
        "flavour": built.flavour,
        "content": built.content,
        "input": {"kind": source.kind, "name": source.name, "sha256": source.digest},
    }


def _figures(fleet: Fleet, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "logical_bytes": fleet.logical_bytes,
        "distinct_bytes": sum(text.length for text in fleet.texts),
        "contestants": {outcome.contestant.value: verdict.summary(outcome) for outcome in outcomes},
        "rows": [row.as_json() for row in verdict.rows(outcomes)],
    }


# -- tables --


def _ran_on(result: dict[str, Any]) -> list[tuple[str, str]]:
    given = result["input"]
    return [
        ("kernel", f"Linux {result['kernel']} ({result['flavour']}), content {result['content'][:16]}"),
        ("guest", f"{result['memory_mb']} MB, topology {result['topology']}, one processor, instructions counted"),
        ("machine", host.shown(result["machine"])),
        (
            "fleet",
            f"{result['agents']} agents, scale {result['scale']:g}: {result['logical_bytes'] / MB:,.1f} MB, "
            f"{result['distinct_bytes'] / MB:,.1f} MB distinct; limit {result['limit_bytes'] / MB:,.1f} MB",
        ),
        (
            "time",
            f"{result['turns']} turns of {result['turn_ms']:,} ms, a step each {result['think_ms']} ms; "
            f"warm_after_ms {result['warm_after_ms']:,}, cold_after_ms {result['cold_after_ms']:,}",
        ),
        ("input", f"{given['kind']}: {given['name']}, SHA-256 {given['sha256'][:16]}"),
    ]


def _tables(
    result: dict[str, Any], outcomes: Sequence[Outcome]
) -> list[tuple[Sequence[str], Sequence[tuple[str, ...]]]]:
    seen = result["contestants"]
    memory = [
        (
            name,
            *(f"{one['tier_bytes'][tier]['mean'] / MB:,.2f}" for tier in verdict.TIERS),
            f"{one['memcg_bytes'] / MB:,.2f}",
            f"{(one['memcg_bytes'] + one['zram_bytes']) / MB:,.2f}",
        )
        for name, one in seen.items()
    ]
    waits = [
        (
            name,
            *(f"{one['stalls'][key]:.2%}" for key in ("share", "pressure", "reading")),
            *(f"{one['stalls'][key]:,.2f}" for key in ("slowdown", "p99")),
            f"{one['steps']:,}",
        )
        for name, one in seen.items()
    ]
    goals = [
        (
            row.title,
            _figure(row.measured, row.unit),
            "" if row.goal is None else f"{'>=' if row.at_least else '<='} {_figure(row.goal, row.unit)}",
            row.verdict,
            row.detail,
        )
        for row in verdict.rows(outcomes)
    ]
    return [(WAITS, waits), (MEMORY, memory), *_moved(seen), (GOALS, goals)]


def _figure(value: float, unit: str) -> str:
    return f"{value:.2%}" if unit == "share" else f"{value:.2f}" if unit == "ratio" else f"{value:g}"


def _moved(seen: dict[str, Any]) -> list[tuple[Sequence[str], Sequence[tuple[str, ...]]]]:
    """What the series has dropped and moved, in MB, and chunks by the kernel's counters."""
    tables: list[tuple[Sequence[str], Sequence[tuple[str, ...]]]] = []
    for entry in seen.values():
        if "moves" not in entry:
            continue
        moves, chunks = entry["moves"], entry["evicted_chunks"]
        rows = [
            (why, *(f"{moves['evicted_pages'][why][group] * PAGE / MB:,.2f}" for group in CLASSES), f"{chunks[why]:,}")
            for why in REASONS
        ]
        rows.append(("mark", *("" for _ in CLASSES), f"{chunks['mark']:,}"))
        tables.append((("MB dropped, by the trace", *CLASSES, "chunks"), rows))
        moved = [f"{moves[f'{way}_pages'] * PAGE / MB:,.2f}" for way in ("demoted", "promoted")]
        told = (f"{entry['decompressed_chunks']:,}", f"{moves['lost_events']:,}")
        columns = ("", "MB demoted", "MB promoted", "chunks decompressed", "events lost")
        tables.append((columns, [("agent_mem", *moved, *told)]))
    return tables


def _show(result: dict[str, Any], outcomes: Sequence[Outcome], out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    for name, value in _ran_on(result):
        console.print(f"{name}: {value}", soft_wrap=True)
    for columns, rows in _tables(result, outcomes):
        table = Table()
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(f"report, charts and figures: {out}", soft_wrap=True)


def _keep(result: dict[str, Any], outcomes: Sequence[Outcome], plan: Plan, out: Path) -> None:
    """Writes page, charts and result.json, and adds to `result` where they are."""
    from harness.bench.tiers import draw  # matplotlib takes a second to import: not before there is something to draw

    pictures = [draw.stacks(outcomes, plan, out / "tiers"), draw.stalls(outcomes, out / "stalls")]
    pictures += [draw.evictions(outcome, out / "evictions") for outcome in outcomes if outcome.contestant.own]
    result["charts"] = [{"png": str(png), "svg": str(svg)} for png, svg in pictures]
    result["report"] = str(out / "report.html")
    report.render(
        "tables.html.j2",
        out / "report.html",
        title="Where agents' texts lie, and who waits",
        tables=[{"columns": columns, "rows": rows} for columns, rows in _tables(result, outcomes)],
        charts=[report.inline_svg(svg) for _, svg in pictures],
        ran_on=_ran_on(result),
        note=NOTE,
    )
    with new_file(out / "result.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
        aside.chmod(0o644)
