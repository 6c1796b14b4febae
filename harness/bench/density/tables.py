"""The tables of the report, from the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import host
from harness.bench.density import whole
from harness.bench.density.contest import Contestant
from harness.bench.density.fleets import TITLES, Name
from harness.bench.density.material import MB

COLUMNS = ("", "MB used", "ratio", "CPU s", "at rest", "agents measured", "memcg MB")
GOALS = ("goal", "measured", "asked", "")


def ran_on(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    given, alike = result["input"], result["likeness"]
    return [
        ("kernel", f"Linux {result['kernel']} ({result['flavour']}), content {result['content'][:16]}"),
        ("machine", host.shown(result["machine"])),
        ("guest", f"{result['memory_mb']} MB, booted {result['boots']} times for this result"),
        ("fleets", f"{result['agents']} agents, scale {result['scale']:g}"),
        ("input", f"{given['kind']}: {given['name']}, SHA-256 {given['sha256'][:16]}"),
        ("a text as base", f"neighbours {alike['neighbours']:.2f} times less, rounds {alike['rounds']:.2f}"),
    ]


def about(told: Mapping[str, Any]) -> str:
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


def notes(told: Mapping[str, Any]) -> list[str]:
    noted: dict[str, list[str]] = {}
    for name, entry in told["contestants"].items():
        for note in entry["notes"]:
            noted.setdefault(note, []).append(name)
    return [f"{', '.join(names)}: {note}" for note, names in noted.items()]


def of(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = [
        (COLUMNS, _rows(told)),
        (STORED, _stored(told)),
        (ACTIVE, _active(told)),
        (PROFILE, _profiled(told)),
        (GOALS, _goals(told)),
    ]
    return [{"columns": columns, "rows": rows} for columns, rows in tables if rows]


def title(name: str) -> str:
    return f"({name}) {TITLES[Name(name)]}"
