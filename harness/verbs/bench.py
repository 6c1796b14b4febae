"""What the calls and the shim cost, what one domain can time of another, how densely texts are held, who goes first.

core: instructions of ATTACH, allocations, faults; two processors against one; kernel memory. isolation: calls about
what another domain has against calls about what nobody has. density: fleets of texts, beside what users have today.
policy: the order of eviction beside plain LRU and an oracle, simulated. tiers: where texts lie under a limit, and who
waits. shim: programs with and without it, on this machine, by the clock.
docs/bench.md and docs/preload.md tell what each figure means.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import host, kernel, report, topology
from harness.bench import core, isolation
from harness.bench.core import Core
from harness.bench.isolation import Isolation, Line
from harness.bench.rows import Row
from harness.cache import REPO, new_file
from harness.errors import EXIT_OK, UsageError
from harness.kernel import Kernel
from harness.progress import step
from harness.verbs import bench_density, bench_policy, bench_shim, bench_tiers
from harness.verbs.exec import memory

SUMMARY = "what calls and shim cost, what another domain can time, how densely texts are held, who goes first, where to"
WHAT = ("core", "isolation", "density", "policy", "tiers", "shim")
# The benchmarks that an option is for; --out and --json are for all.
TAKEN_BY = {
    "quick": ("core", "isolation", "policy", "tiers", "shim"),
    "topology": ("core", "isolation", "tiers"),
    **dict.fromkeys(("agents", "scale", "memory"), ("density", "tiers")),
    "corpus": ("density", "policy", "tiers"),
    **dict.fromkeys(("fleet", "conversations", "minutes", "chunk", "profile"), ("density",)),
    **dict.fromkeys(("policy_source", "half"), ("policy",)),
    "limit": ("tiers",),
    **dict.fromkeys(("all", "only"), ("shim",)),
}
WIDE = 200  # columns of a table in a file
STYLES = {"met": "green", "missed": "red", "undecided": "yellow", "": ""}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=WHAT, help="which measurement")
    parser.add_argument("--quick", action="store_true", help="core, isolation, policy, tiers, shim: within a minute")
    parser.add_argument(
        "--topology", metavar="T", help="core, isolation, tiers: memory topology (default uma; tiers: hmat)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go (default out/bench-WHAT)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, alone on stdout")
    bench_density.add_arguments(parser)
    bench_policy.add_arguments(parser)
    bench_tiers.add_arguments(parser)
    bench_shim.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    _refuse_unused(args)
    args.topology = args.topology or (bench_tiers.TOPOLOGY if args.what == "tiers" else "uma")
    topology.measured(args.topology)  # before the build: a typing error should not take minutes to be noticed
    memory(args.topology)
    out: Path = args.out or REPO / "out" / f"bench-{args.what}"
    if args.what == "density":
        return bench_density.measure(args, out)
    if args.what == "policy":
        return bench_policy.measure(args, out)
    if args.what == "shim":
        return bench_shim.measure(args, out)
    if args.what == "tiers":
        return bench_tiers.measure(args, out)
    built = kernel.build()
    guests = [(args.topology, 1, True), *([(args.topology, 2, False)] if args.what == "core" else [])]
    about = {
        "bench": args.what,
        "quick": args.quick,
        "kernel": built.release,
        "image": str(built.image),
        "flavour": built.flavour,
        "content": built.content,
        "topology": args.topology,
        "machine": host.with_guests(*guests),
    }
    return _core(built, args, about, out) if args.what == "core" else _isolation(built, args, about, out)


def _refuse_unused(args: argparse.Namespace) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for name, takers in TAKEN_BY.items():
        if args.what not in takers and getattr(args, name) != parser.get_default(name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"bench {args.what} takes no {option}: it is for {', '.join(takers)}")


def _core(built: Kernel, args: argparse.Namespace, about: dict[str, Any], out: Path) -> int:
    with step("bench core") as wait:
        measured = core.measure(built, core.QUICK if args.quick else core.FULL, args.topology, wait.update)
    result = {**about, **measured.as_json()}
    _keep_core(measured, result, out)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        _show(result, _table("what the calls cost", *COLUMNS, rows=[_cells(row) for row in measured.rows]), out)
    return EXIT_OK


def _isolation(built: Kernel, args: argparse.Namespace, about: dict[str, Any], out: Path) -> int:
    with step("bench isolation") as wait:
        scale = isolation.QUICK if args.quick else isolation.FULL
        measured = isolation.measure(built, scale, args.topology, wait.update)
    result = {**about, **measured.as_json()}
    _keep_isolation(measured, result, out)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        lines = [cells for line in measured.lines for cells in _compared(line)]
        _show(result, _table("instructions of a call, seen by one domain", *COMPARED, rows=lines), out)
    failure = measured.failure(out / "result.json")
    if failure:
        raise failure
    return EXIT_OK


# -- tables --

COLUMNS = ("", "measured", "goal", "", "", "detail")
COMPARED = ("", "n", "p1", "p10", "median", "p90", "p99", "distance", "p", "")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.title,
        _figure(row.measured, row.unit),
        "" if row.goal is None else f"{'>=' if row.at_least else '<='} {_figure(row.goal, row.unit)}",
        "" if row.unit == "ratio" else row.unit,
        row.verdict,
        "; ".join(filter(None, (row.undecided, row.detail))),
    )


def _figure(value: float, unit: str) -> str:
    return f"{value:.3f}" if unit == "ratio" else f"{value:,.0f}"


def _compared(line: Line) -> list[tuple[str, ...]]:
    told = line.as_json()
    held = "own" if line.probe.control else "another domain's"
    rows = []
    for name, who in ((line.probe.first, held), (line.probe.second, "nobody's")):
        figures = [f"{told[name][key]:,.0f}" for key in ("n", "p1", "p10", "p50", "p90", "p99")]
        rows.append((f"{line.probe.title}: {who}", *figures))
    verdict = "differ" if line.differs else "the same"
    good = "" if line.good else " (must not be)"
    ends = (f"{line.comparison.distance:.4f}", f"{line.comparison.p:.2g}", verdict + good)
    return [(*rows[0], "", "", ""), (*rows[1], *ends)]


def _table(title: str, *columns: str, rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    for number, name in enumerate(columns):
        left = number == 0 or number >= len(columns) - 3 and "detail" in columns or number == len(columns) - 1
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for cells in rows:
        table.add_row(*cells, style=next((STYLES[cell] for cell in cells if STYLES.get(cell)), ""))
    return table


def _show(result: dict[str, Any], table: Table, out: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    for name, value in _ran_on(result):
        console.print(f"{name}: {value}", soft_wrap=True)
    console.print(table)
    console.print(f"report, charts and figures: {out}", soft_wrap=True)


def _ran_on(result: dict[str, Any]) -> list[tuple[str, str]]:
    size = "quick" if result["quick"] else "full"
    return [
        ("machine", host.shown(result["machine"])),
        ("kernel", f"Linux {result['kernel']} ({result['flavour']}), content {result['content'][:16]}"),
        ("measured", f"{result['bench']}, {size}; topology {result['topology']}; emulated, instructions counted"),
    ]


# -- files --


def _keep_core(measured: Core, result: dict[str, Any], out: Path) -> None:
    from harness.bench import draw  # matplotlib takes a second to import: not before there is something to draw

    pictures = [draw.goals(measured.rows, out / "goals"), draw.attach(measured.attach, out / "attach")]
    table = (COLUMNS, [_cells(row) for row in measured.rows])
    _keep(result, "What the calls cost", table, pictures, out)


def _keep_isolation(measured: Isolation, result: dict[str, Any], out: Path) -> None:
    from harness.bench import draw

    pictures = [draw.isolation(measured, out / "isolation")]
    table = (COMPARED, [cells for line in measured.lines for cells in _compared(line)])
    _keep(result, "What one domain can time of another", table, pictures, out)


def _keep(
    result: dict[str, Any],
    title: str,
    table: tuple[Sequence[str], Sequence[Sequence[str]]],
    pictures: list[tuple[Path, Path]],
    out: Path,
) -> None:
    """Writes page and result.json, and adds to `result` where page and charts are."""
    result["charts"] = [{"png": str(png), "svg": str(svg)} for png, svg in pictures]
    result["report"] = str(out / "report.html")
    report.render(
        "bench.html.j2",
        out / "report.html",
        title=title,
        columns=table[0],
        rows=table[1],
        ran_on=_ran_on(result),
        charts=[report.inline_svg(svg) for _, svg in pictures],
    )
    with new_file(out / "result.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
        aside.chmod(0o644)
