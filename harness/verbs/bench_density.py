"""`harness bench density`: its options, tables and page. harness/bench/density/ measures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import conversations, corpus, host, kernel, report, sessions
from harness.bench.density import limit, run, tables, whole
from harness.bench.density.contest import Outcome
from harness.bench.density.fleets import TITLES, Name
from harness.bench.density.material import TALK_SHARE, Material, Size
from harness.cache import locked, new_file
from harness.errors import EXIT_OK, UsageError
from harness.progress import say, step
from harness.sessions import Source

AGENTS, SCALE, MINUTES = 20, 0.01, 10
MADE_HERE = 8  # agents' worth of conversations, where no corpus is given
MAX_SCALE = 10.0
WIDE = 160  # columns of a table in a file
CHUNKS_KB = (64, 128, 256)  # that the kernel takes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("density (tiers: --agents, --scale, --corpus, --memory)")
    letters = ", ".join(f"{name}: {title}" for name, title in TITLES.items()).replace("%", "%%")
    group.add_argument(
        "--fleet", action="append", choices=[name.value for name in Name], help=f"{letters} (repeatable; default all)"
    )
    group.add_argument("--agents", type=int, default=AGENTS, metavar="N", help=f"agent processes (default {AGENTS})")
    group.add_argument(
        "--scale", type=float, default=SCALE, metavar="S", help=f"1: an agent holds 450 MB (default {SCALE})"
    )
    group.add_argument(
        "--conversations",
        type=float,
        default=TALK_SHARE,
        metavar="R",
        help=f"an agent's conversations, times its prompt and tools (default {TALK_SHARE:g})",
    )
    group.add_argument("--corpus", type=Path, metavar="ARCHIVE", help="recorded conversations (archive or directory)")
    group.add_argument("--memory", type=int, metavar="MB", help="the guest's memory (default 2048, large fleets 16384)")
    group.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        metavar="M",
        help=f"bound for what is run in the guest; 0: none (default {MINUTES})",
    )
    group.add_argument(
        "--chunk",
        type=int,
        default=limit.CHUNK >> 10,
        metavar="KB",
        help="chunk of the kernel's store and of the offline limit: 64, 128 (default) or 256",
    )
    group.add_argument("--profile", action="store_true", help="density: sample what the guest's processors execute")


def measure(args: argparse.Namespace, out: Path) -> int:
    size = _size(args)
    with locked("density", shared=False):  # another run's texts may be in the way of this one's
        return _measure(args, size, out)


def _measure(args: argparse.Namespace, size: Size, out: Path) -> int:
    names = tuple(dict.fromkeys(map(Name, args.fleet or list(Name))))
    wanted = run.memory_mb(round(size.whole * size.agents), args.memory)
    source = _given(args)  # before the build: a wrong path should not take minutes to be noticed
    built = kernel.build("density")
    if source is None:
        with step("conversations of the default input") as wait:
            source = conversations.load(built.tree, MADE_HERE, wait.update)
    material = Material(source, size)
    with step(f"texts of {size.agents} agents") as wait:
        fleets = run.make_fleets(names, material, wait.update)
    plan = run.Plan(
        material,
        fleets,
        seconds=round(args.minutes * 60),
        memory_mb=wanted,
        chunk=args.chunk << 10,
        profile=args.profile,
    )
    with step("offline limit") as wait:
        limits = run.limits(plan, wait.update)
    with step("contestants") as wait:
        running = run.Run(built, plan)
        outcomes = running.outcomes(wait.update)
    told = {
        fleet.name.value: whole.summary(fleet, limits[fleet.name], outcomes[fleet.name], size.talk_share)
        for fleet in fleets
    }
    result = {
        "bench": "density",
        "agents": size.agents,
        "scale": size.scale,
        "conversations": size.talk_share,
        "chunk_bytes": plan.chunk,
        "minutes": args.minutes,
        "memory_mb": wanted,
        "boots": running.boots,
        "machine": host.with_guests(run.GUEST),
        "kernel": built.release,
        "flavour": built.flavour,
        "content": built.content,
        "input": {"kind": source.kind, "name": source.name, "sha256": source.digest},
        "likeness": material.likeness(),
        "fleets": told,
    }
    _keep(result, outcomes, out)
    running.forget()
    print(json.dumps(result, indent=2)) if args.json else _show(result, out)
    return EXIT_OK


def _size(args: argparse.Namespace) -> Size:
    if not 1 <= args.agents <= sessions.MAX_AGENTS:
        raise UsageError(f"--agents takes 1 to {sessions.MAX_AGENTS}, not {args.agents}")
    if not 0 < args.scale <= MAX_SCALE:
        raise UsageError(f"--scale takes more than 0 and at most {MAX_SCALE:g}, not {args.scale:g}")
    if not 0 < args.conversations <= 100:
        raise UsageError(f"--conversations takes more than 0 and at most 100, not {args.conversations:g}")
    if not 0 <= args.minutes <= 7 * 1440:
        raise UsageError(f"--minutes takes 0 to {7 * 1440}, not {args.minutes:g}")
    if args.chunk not in CHUNKS_KB:
        raise UsageError(f"--chunk takes {', '.join(map(str, CHUNKS_KB))}, not {args.chunk}")
    return Size(args.agents, args.scale, args.conversations)


def _given(args: argparse.Namespace) -> Source | None:
    if not args.corpus:
        return None
    with step(f"corpus {args.corpus.name}") as wait:
        return corpus.load(args.corpus, wait.update)


def _show(result: Mapping[str, Any], out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    for name, value in tables.ran_on(result):
        console.print(f"{name}: {value}", soft_wrap=True)
    for name, told in result["fleets"].items():
        console.print(f"\n{tables.title(name)}: {tables.about(told)}", soft_wrap=True)
        for table in tables.of(told):
            _print(console, table["columns"], table["rows"])
        for note in tables.notes(told):
            console.print(note, soft_wrap=True)
    console.print(f"report, charts and figures: {out}", soft_wrap=True)


def _print(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


# -- files --


def _keep(result: dict[str, Any], outcomes: Mapping[Name, Sequence[Outcome]], out: Path) -> None:
    """Writes charts, page and result.json, and adds to `result` where they are."""
    from harness.bench.density import draw  # matplotlib takes a second to import: not before there is something to draw

    pictures = {
        name: draw.fleet(tables.title(name), told, outcomes[Name(name)], out / f"fleet-{name}")
        for name, told in result["fleets"].items()
    }
    result["charts"] = [{"png": str(png), "svg": str(svg)} for drawn in pictures.values() for png, svg in drawn]
    result["report"] = str(out / "report.html")
    pages = [
        {
            "title": tables.title(name),
            "about": tables.about(told),
            "tables": tables.of(told),
            "notes": tables.notes(told),
            "charts": [report.inline_svg(svg) for _, svg in pictures[name]],
        }
        for name, told in result["fleets"].items()
    ]
    report.render("density.html.j2", out / "report.html", fleets=pages, ran_on=tables.ran_on(result))
    with new_file(out / "result.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
        aside.chmod(0o644)
    say(f"report: {out / 'report.html'}")
