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
from harness.bench.density import limit, run, whole
from harness.bench.density.contest import Contestant, Outcome
from harness.bench.density.fleets import TITLES, Name
from harness.bench.density.material import MB, TALK_SHARE, Material, Size
from harness.cache import locked, new_file
from harness.errors import EXIT_OK, UsageError
from harness.progress import say, step
from harness.sessions import Source

AGENTS, SCALE, MINUTES = 20, 0.01, 10
MADE_HERE = 8  # agents' worth of conversations, where no corpus is given
MAX_SCALE = 10.0
WIDE = 160  # columns of a table in a file
CHUNKS_KB = (64, 128, 256)  # that the kernel takes
COLUMNS = ("", "MB used", "ratio", "CPU s", "at rest", "agents measured", "memcg MB")
GOALS = ("goal", "measured", "asked", "")


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


# -- tables --


def _ran_on(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    given, alike = result["input"], result["likeness"]
    return [
        ("kernel", f"Linux {result['kernel']} ({result['flavour']}), content {result['content'][:16]}"),
        ("machine", host.shown(result["machine"])),
        ("guest", f"{result['memory_mb']} MB, booted {result['boots']} times for this result"),
        ("fleets", f"{result['agents']} agents, scale {result['scale']:g}"),
        ("input", f"{given['kind']}: {given['name']}, SHA-256 {given['sha256'][:16]}"),
        ("a text as base", f"neighbours {alike['neighbours']:.2f} times less, rounds {alike['rounds']:.2f}"),
    ]


def _about(told: Mapping[str, Any]) -> str:
    logical, stored = told["logical_bytes"], told["offline_limit_bytes"]
    return (
        f"{logical / MB:,.1f} MB logical in {told['handles']:,} handles, {told['texts']:,} distinct texts. "
        f"Offline limit {stored / MB:,.2f} MB ({logical / stored:.1f} times less), "
        f"without bases {told['offline_without_bases_bytes'] / MB:,.2f} MB."
    )


def _rows(told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            f"{entry['used_bytes'] / MB:,.2f}",
            f"{entry['ratio']:.2f}" if entry["ratio"] else "-",
            f"{entry['cpu_seconds']:,.2f}",
            f"{entry['steady_cpu']:.1%}",
            f"{entry['measured']['agents']} of {told['agents']}" + ("" if entry["converged"] else ", not converged"),
            f"{entry['measured']['memcg_bytes'] / MB:,.2f}",
        )
        for name, entry in told["contestants"].items()
    ]


def _active(told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What the reading agents waited, beside plain copies: seconds of an emulated processor alone mean nothing."""
    seen = {name: entry["active"] for name, entry in told["contestants"].items() if "active" in entry}
    plain = seen.get(Contestant.PRIVATE.value)
    if not plain:
        return []
    each = plain["read_seconds"] / plain["reads"]
    return [
        (
            name,
            f"{one['read_seconds'] / one['reads'] / each:.2f}",
            f"{one['p99_read_ns'] / plain['p99_read_ns']:.2f}",
            f"{one['stalled_seconds']:.3f}",
            f"{one['used_bytes'] / MB:,.2f}",
        )
        for name, one in seen.items()
    ]


ACTIVE = ("while 30 % read", "read / plain", "99th percentile / plain", "stalled s", "MB used")


def _stored(told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What the kernel says of its store: where the memory is."""
    seen = {name: entry for name, entry in told["contestants"].items() if "store" in entry}
    rows = []
    for name, entry in seen.items():
        store, parts = entry["store"], whole.stack(entry)
        sizes = (store["resident"], store["charged"], store["pool"], parts["slab"], parts["rest"])
        rows.append((name, f"{store['objects']:,}", *(f"{size / MB:,.2f}" for size in sizes)))
    return rows


STORED = ("in the store", "objects", "uncompressed MB", "compressed MB", "its pages MB", "slab MB", "the rest MB")


def _profiled(told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Of each contestant, with --profile."""
    seen = {name: entry["profile"] for name, entry in told["contestants"].items() if "profile" in entry}
    return [
        (name, ", ".join(f"{function} {share:.0%}" for function, share in list(shares.items())[:PROFILED]))
        for name, shares in seen.items()
    ]


PROFILED = 8
PROFILE = ("processors", "functions that took most of their time")


def _goals(told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            goal["title"],
            f"{goal['measured']:.3f}",
            f"{'>=' if goal['at_least'] else '<='} {goal['goal']:g}",
            goal["verdict"],
        )
        for goal in told["goals"]
    ]


def _notes(told: Mapping[str, Any]) -> list[str]:
    noted: dict[str, list[str]] = {}
    for name, entry in told["contestants"].items():
        for note in entry["notes"]:
            noted.setdefault(note, []).append(name)
    return [f"{', '.join(names)}: {note}" for note, names in noted.items()]


def _tables(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = [
        (COLUMNS, _rows(told)),
        (STORED, _stored(told)),
        (ACTIVE, _active(told)),
        (PROFILE, _profiled(told)),
        (GOALS, _goals(told)),
    ]
    return [{"columns": columns, "rows": rows} for columns, rows in tables if rows]


def _title(name: str) -> str:
    return f"({name}) {TITLES[Name(name)]}"


def _show(result: Mapping[str, Any], out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    for name, value in _ran_on(result):
        console.print(f"{name}: {value}", soft_wrap=True)
    for name, told in result["fleets"].items():
        console.print(f"\n{_title(name)}: {_about(told)}", soft_wrap=True)
        for table in _tables(told):
            _print(console, table["columns"], table["rows"])
        for note in _notes(told):
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
        name: draw.fleet(_title(name), told, outcomes[Name(name)], out / f"fleet-{name}")
        for name, told in result["fleets"].items()
    }
    result["charts"] = [{"png": str(png), "svg": str(svg)} for drawn in pictures.values() for png, svg in drawn]
    result["report"] = str(out / "report.html")
    pages = [
        {
            "title": _title(name),
            "about": _about(told),
            "tables": _tables(told),
            "notes": _notes(told),
            "charts": [report.inline_svg(svg) for _, svg in pictures[name]],
        }
        for name, told in result["fleets"].items()
    ]
    report.render("density.html.j2", out / "report.html", fleets=pages, ran_on=_ran_on(result))
    with new_file(out / "result.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
        aside.chmod(0o644)
    say(f"report: {out / 'report.html'}")
