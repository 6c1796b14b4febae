# SPDX-License-Identifier: MIT
"""How things are shown: sizes, tables, JSON, words for the kinds of things."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from agentmem import AgentStats

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
NUMBER = re.compile(r"-?[\d.]+( [KMGTP]?i?B|x)?|-")  # what is written to the right


def size(value: float) -> str:
    """1536 is 1.5 KiB."""
    unit = 0
    while abs(value) >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def ratio(logical: int, memory: int) -> str:
    """What holders see for each byte of memory."""
    return f"{logical / memory:.2f}x" if memory else "-"


def memory(stats: AgentStats) -> int:
    """Bytes that the objects take."""
    return stats.resident_top + stats.resident_lower + stats.stored_bytes


def word(kind: IntEnum | None) -> str:
    """TOOL_DEF is tool-def."""
    return "-" if kind is None else kind.name.lower().replace("_", "-")


def plain(text: str) -> str:
    """Without what a terminal would obey: names are chosen by whoever the agent is."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as what is in them, numbers to the right."""
    cells = [[plain(str(cell)) for cell in row] for row in rows]
    wide = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    right = [bool(cells) and all(NUMBER.fullmatch(row[place]) for row in cells) for place in range(len(head))]
    sides = [str.rjust if each else str.ljust for each in right]
    lines = ([side(cell, w) for side, cell, w in zip(sides, row, wide, strict=True)] for row in (head, *cells))
    return "\n".join("  ".join(line).rstrip() for line in lines)


def facts(stats: Any) -> dict[str, object]:
    """The fields of figures, in kinds that JSON has."""
    return {field.name: _value(getattr(stats, field.name)) for field in dataclasses.fields(stats)}


def as_json(value: Mapping[str, object] | Sequence[object]) -> str:
    """As it is read, in UTF-8; for another encoding with escapes."""
    return json.dumps(value, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8")


def _value(value: object) -> object:
    if isinstance(value, IntEnum):
        return word(value)
    return value.hex() if isinstance(value, bytes) else value
