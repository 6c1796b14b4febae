"""Stack traces made readable: function+offset of a splat to file and line, through the kernel's own DWARF."""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.console import Splat
from harness.errors import HarnessError
from harness.vmlinux import Image, Symbol

WHERE = re.compile(r"([A-Za-z_][\w.$]{0,120})\+0x([0-9a-f]{1,8})/0x([0-9a-f]{1,8})")
# The assembler's names for parts of a function; kallsyms prints the whole name, an older trace may not.
PART = re.compile(r"\.(?:cold|isra|constprop|part)(?:\.\d+)?")
TREE = re.compile(r"^(?:\.\./)*linux/|^\./")  # the build's prefix map names sources so (harness/kernel.py)
SHOWN = 24  # lines of a report that a message holds: with registers, that reaches into the stack


@dataclass(frozen=True)
class Row:
    """One row of a line table: this line's code begins at the address."""

    address: int
    file: str
    line: int
    end: bool


class Decoder:
    """function+offset to file:line for one kernel; reads each unit's line table once."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._tables: dict[int, list[Row]] = {}

    def symbol(self, name: str, size: int = 0) -> Symbol | None:
        """The symbol of that name; among several the one of that size, as a trace prints it after the slash."""
        known = self._image.symbols
        found = known.get(name) or [one for key in self._relatives(name) for one in known[key]]
        exact = [one for one in found if one.size == size]
        return next(iter(exact or found), None)

    def _relatives(self, name: str) -> list[str]:
        """Names of the same function with or without a compiler's suffix."""
        base = PART.sub("", name)
        return [key for key in self._image.symbols if key.startswith(base) and PART.sub("", key) == base]

    def line(self, name: str, offset: int, size: int = 0, *, returns: bool = False) -> str | None:
        """file:line of function+offset; None where the kernel has no such function or no line for it.

        returns: the address is where a call comes back to, so the line is that of the instruction before.
        """
        symbol = self.symbol(name, size)
        return self.at(symbol.address + offset - int(returns and offset > 0)) if symbol else None

    def at(self, address: int) -> str | None:
        """file:line of a virtual address as linked (KASLR's offset, if any, is the caller's to take off)."""
        unit = self._image.unit_at(address)
        if unit is None:
            return None
        rows = self._tables.get(unit.cu_offset)
        if rows is None:
            rows = self._tables[unit.cu_offset] = _rows(self._image.dwarf, unit)
        at = bisect.bisect_right(rows, address, key=lambda row: row.address) - 1
        return None if at < 0 or rows[at].end else f"{rows[at].file}:{rows[at].line}"


def decode(splat: Splat, vmlinux: Path) -> list[str]:
    """The splat's lines, each function+offset followed by its file and line where the kernel knows it."""
    with Image(vmlinux) as image:
        decoder = Decoder(image)
        return [_decoded(line, decoder) for line in splat.lines]


def told(splats: Sequence[Splat], vmlinux: Path) -> str:
    """What a person is told: the first splat with its first lines and their places, and how many follow."""
    first = splats[0]
    more = f" (and {len(splats) - 1} more)" if len(splats) > 1 else ""
    try:
        lines = decode(dataclasses.replace(first, lines=first.lines[:SHOWN]), vmlinux)
    except HarnessError:
        lines = list(first.lines[:SHOWN])  # a kernel without debug information is no reason to hide its splat
    return f"the kernel reported {first.kind}: {first.title}{more}" + "".join(f"\n  | {line}" for line in lines)


def _decoded(line: str, decoder: Decoder) -> str:
    # RIP and "WARNING: ... at" name the instruction itself, a stack's entries the one after the call.
    returns = line.startswith(" ")

    def place(match: re.Match[str]) -> str:
        found = decoder.line(match[1], int(match[2], 16), int(match[3], 16), returns=returns)
        return f"{match[0]} ({found})" if found else match[0]

    return WHERE.sub(place, line)


def _rows(dwarf: Any, unit: Any) -> list[Row]:
    program = dwarf.line_program_for_CU(unit)
    if program is None:
        return []
    names = files(program)
    states = [entry.state for entry in program.get_entries() if entry.state is not None]
    rows = [Row(state.address, names.get(state.file, "?"), state.line, state.end_sequence) for state in states]
    # Where one sequence ends and the next begins at the same address, the beginning counts.
    return sorted(rows, key=lambda row: (row.address, not row.end))


def files(program: Any) -> dict[int, str]:
    """File number -> path from the top of the kernel's tree. DWARF 5 counts files from 0, earlier ones from 1."""
    header = program.header
    directories = [path.decode(errors="replace") for path in header["include_directory"]]
    modern = header["version"] >= 5
    names = {}
    for number, entry in enumerate(header["file_entry"], start=0 if modern else 1):
        name, index = entry.name.decode(errors="replace"), entry.dir_index - (0 if modern else 1)
        directory = directories[index] if 0 <= index < len(directories) else "."
        path = name if name.startswith("/") or directory in (".", "") else f"{directory}/{name}"
        names[number] = TREE.sub("", path)
    return names
