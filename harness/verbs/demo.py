"""The main job: a fleet of agents in a guest of our own kernel, once with private copies, once with SMUs.

The input is made on the spot by a real agent framework, unless --transcripts or --corpus name another one.
Contents are read back and compared. docs/demo.md tells what each figure means.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness import conversations, corpus, fleet, host, kernel, measure, report, route, sessions, topology, transcripts
from harness.cache import REPO, new_file, work_dir
from harness.errors import EXIT_OK, HarnessError, UsageError
from harness.guest import Guest
from harness.initramfs import compile_static
from harness.kernel import Kernel
from harness.measure import MB, Measurement
from harness.progress import say, step
from harness.sessions import Source
from harness.verbs.exec import CPUS, memory

SUMMARY = "the main job: a fleet of agents, before and after"
AGENTS = 20
ACCELERATORS = {"kvm": "KVM", "tcg": "none, the processors are emulated (TCG)"}
DEFAULT = ("c", "python")  # a process of Node takes seconds to start where the processor is emulated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agents", type=int, metavar="N", help=f"agent processes in the guest (default {AGENTS})")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--corpus", type=Path, metavar="ARCHIVE", help="recorded conversations (archive or directory)")
    given.add_argument("--transcripts", type=Path, metavar="PATH", help="your own agent sessions (file or directory)")
    parser.add_argument("--topology", default="uma", metavar="T", help="the guest's memory topology (default uma)")
    parser.add_argument(
        "--libraries",
        type=_libraries,
        default=DEFAULT,
        metavar="LIST",
        help=f"by which libraries as well: of {', '.join(route.ROUTES)}, or none (default {','.join(DEFAULT)})",
    )
    parser.add_argument("--out", type=Path, default=REPO / "out" / "demo", metavar="DIR", help="where results go")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, alone on stdout")


def _libraries(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in route.ROUTES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(route.ROUTES)}, none")
    return names


def run(args: argparse.Namespace) -> int:
    if args.agents is not None and not 1 <= args.agents <= sessions.MAX_AGENTS:
        raise UsageError(f"--agents takes 1 to {sessions.MAX_AGENTS}, not {args.agents}")
    topology.measured(args.topology)  # before the build: an error should not take twenty minutes to be noticed
    memory(args.topology)
    source = _given(args)
    if source:
        fleet_of = sessions.deal(source.sessions, args.agents or min(AGENTS, len(source.sessions)))
    built = kernel.build()
    if not source:
        with step("conversations of the default input") as wait:
            source = conversations.load(built.tree, args.agents or AGENTS, wait.update)
        fleet_of = sessions.deal(source.sessions, args.agents or AGENTS)
    with tempfile.TemporaryDirectory(dir=work_dir("run")) as scratch:
        pack = fleet.write_pack(fleet_of, Path(scratch) / "fleet.pack")
        measured, ran_on = _measure(built, pack, args.topology)
        held, trouble = _by_libraries(built, pack, args.libraries)
    result = {**measured.as_json(), **ran_on, "input": _input(source), "libraries": held}
    _keep(result, args.out)
    print(json.dumps(result, indent=2)) if args.json else _show(result, args.out)
    failure = measured.failure(args.out / "result.json") or trouble
    if failure:
        raise failure
    return EXIT_OK


def _given(args: argparse.Namespace) -> Source | None:
    if args.corpus:
        with step(f"corpus {args.corpus.name}") as wait:
            return corpus.load(args.corpus, wait.update)
    if args.transcripts:
        with step(f"transcripts in {args.transcripts}") as wait:
            source = transcripts.load(args.transcripts, wait.update)
        for note in source.notes:
            say(f"  {note}")
        return source
    return None


def _measure(built: Kernel, pack: fleet.Pack, topology: str) -> tuple[Measurement, dict[str, Any]]:
    """Both phases in one guest; the second value tells what it ran on."""
    program = compile_static(sorted(fleet.SOURCES.glob("*.c")), headers=built.headers, name="fleet")
    memory_mb, files = measure.memory_mb(pack), {measure.PROGRAM: program}
    with (
        step(f"a guest of {memory_mb} MB with {pack.agents} agents") as wait,
        Guest.start(built, topology=topology, memory_mb=memory_mb, cpus=CPUS, files=files) as guest,
    ):
        measured = measure.run(guest, pack, wait.update)
        release = guest.run(["uname", "-r"]).stdout.decode(errors="replace").strip()
        ran_on = {
            "kernel": release,
            "image": str(built.image),
            "flavour": built.flavour,
            "topology": topology,
            "memory_mb": memory_mb,
            "cpus": CPUS,
            "accelerator": asdict(guest.runs_on) if guest.runs_on else None,
            "boot_seconds": round(guest.boot_seconds, 1),
            "host": host.describe(),
        }
    return measured, ran_on


def _by_libraries(
    built: Kernel, pack: fleet.Pack, names: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], HarnessError | None]:
    """What they held, by library, and what went wrong: what was measured before is shown all the same."""
    held: dict[str, dict[str, Any]] = {}
    if not names:
        return held, None
    languages = ", ".join(route.ROUTES[name].title for name in names)
    with step(f"the same by {languages}: {pack.agents} processes each, in a guest with this machine's files"):
        try:
            for name, told in route.run(built, pack, names):
                held[name] = told.as_json()
        except HarnessError as error:
            return held, error
    return held, None


def _input(source: Source) -> dict[str, Any]:
    return {
        "kind": source.kind,
        "name": source.name,
        "sha256": source.digest,
        "conversations": len(source.sessions),
        "notes": list(source.notes),
    }


def _keep(result: dict[str, Any], out: Path) -> None:
    """Writes chart, page and result.json, and adds to `result` where they are."""
    from harness import charts  # matplotlib takes a second to import: not before there is something to draw

    bars = (
        charts.Bar("logical", result["logical_bytes"], "#999999"),
        charts.Bar("used: private copies", result["private_used_bytes"], "#c0504d"),
        charts.Bar("used: SMUs", result["smu_used_bytes"], "#2e75b6"),
    )
    title = f"{result['agents']} agents, {result['texts']} texts: memory in one guest"
    png, svg = charts.draw(bars, title, f"Linux {result['kernel']}; input: {result['input']['kind']}", out / "memory")
    result["chart"] = {"png": str(png), "svg": str(svg)}
    result["report"] = str(out / "report.html")
    drawn = report.inline_svg(svg)
    told = {"result": result, "rows": _rows(result), "ran_on": _ran_on(result)}
    told |= {"libraries": _languages(result), "library_rows": _library_rows(result)}
    report.render("demo.html.j2", out / "report.html", **told, chart=drawn)
    with new_file(out / "result.json") as aside:
        aside.write_text(json.dumps(result, indent=2) + "\n")
        aside.chmod(0o644)


def _show(result: dict[str, Any], out: Path) -> None:
    console = Console(highlight=False)
    ran_on = Table.grid(padding=(0, 2))
    for name, value in _ran_on(result):
        ran_on.add_row(name, value)
    console.print(ran_on)
    table = Table(title=f"{result['agents']} agents")
    table.add_column("")
    table.add_column("private copies", justify="right")
    table.add_column("SMUs", justify="right")
    for row in _rows(result):
        table.add_row(*row)
    console.print(table)
    if result["libraries"]:
        by = Table(title=f"the same {result['agents']} agents as processes that use the libraries")
        by.add_column("")
        for language in _languages(result):
            by.add_column(language, justify="right")
        for line in _library_rows(result):
            by.add_row(*map(escape, line))
        console.print(by)
    console.print(f"report, chart and figures: {out}", soft_wrap=True)


def _ran_on(result: dict[str, Any]) -> list[tuple[str, str]]:
    given, on, under = result["input"], result["accelerator"], result["host"]
    return [
        ("kernel", f"Linux {result['kernel']} ({result['flavour']})"),
        ("guest", f"{result['memory_mb']} MB, {result['cpus']} processors, topology {result['topology']}"),
        ("accelerator", f"{ACCELERATORS[on['name']]}: {on['reason']}"),
        ("host", host.shown(under)),
        ("input", f"{given['kind']}: {given['name']}"),
        ("", f"{given['conversations']} conversations, SHA-256 {given['sha256'][:16]}"),
    ]


def _rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    def both(quantity: str) -> tuple[str, str]:
        return _mb(result[f"private_{quantity}_bytes"]), _mb(result[f"smu_{quantity}_bytes"])

    private, smu = (result["phases"][mode] for mode in ("private", "smu"))
    logical, texts = _mb(result["logical_bytes"]), str(result["texts"])
    return [
        ("logical bytes", logical, logical),
        ("memory used (MemAvailable)", *both("used")),
        ("memory used (memcg)", *both("memcg")),
        ("ratio", "1.00x", f"{result['ratio']:.2f}x" if result["ratio"] is not None else "-"),
        ("texts held / objects kept", f"{texts} / {texts}", f"{texts} / {result['objects']}"),
        ("dedup hits", "-", str(result["dedup_hits"])),
        ("left behind", *both("left")),
        ("read back and compared", _compared(private), _compared(smu)),
    ]


def _languages(result: dict[str, Any]) -> list[str]:
    return [route.ROUTES[name].title for name in result["libraries"]]


def _library_rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """One column for each library."""

    def row(name: str, shown: Callable[[dict[str, Any]], str]) -> tuple[str, ...]:
        return name, *map(shown, result["libraries"].values())

    return [
        row("runtime", lambda held: held["runtime"]),
        row("backend", lambda held: held["backend"]),
        row("logical bytes", lambda held: _mb(held["logical_bytes"])),
        row("content, each text once", lambda held: _mb(held["unique_bytes"])),
        row("of it uncompressed", lambda held: _mb(held["resident_bytes"])),
        row("of it compressed", lambda held: _mb(held["stored_bytes"])),
        row("texts held / objects kept", lambda held: f"{held['texts']} / {held['objects']}"),
        row("dedup hits", lambda held: str(held["dedup_hits"])),
        row("read back and compared", _compared),
    ]


def _compared(phase: dict[str, Any]) -> str:
    return "all equal" if phase["verified"] else f"{phase['differ']} DIFFER"


def _mb(value: int | None) -> str:
    return "-" if value is None else f"{value / MB:.2f} MiB"
