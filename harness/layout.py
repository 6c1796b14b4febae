"""What a built kernel promises user space: syscall numbers and structure layouts, out of vmlinux and not of its source.

The kernel's view comes from the DWARF of the unit that implements the calls, user space's from compiling the installed
header for 64 and for 32 bit. Numbers: installed asm/unistd_64.h, each table of the tree, and vmlinux's sys_call_table.
That array is made of the same generated list as the switch that dispatches (arch/x86/entry/syscall_64.c); that the
switch does go there is for the tests to show that make the calls.
"""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import proc
from harness.errors import BuildError, KernelError
from harness.vmlinux import Image

Bits = Literal[64, 32]
STRUCTURE = "DW_TAG_structure_type"
MODIFIERS = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type")
POINTER = 8  # bytes of an entry of sys_call_table
NUMBER = re.compile(r"^#define __NR_(\w+)\s+(\d+)$", re.MULTILINE)
TABLE_LINE = re.compile(r"^(?P<number>\d+)\s+(?P<abi>\S+)\s+(?P<name>\S+)(?:\s+(?P<entry>\S+))?", re.MULTILINE)


@dataclass(frozen=True)
class Member:
    """offset and size in bytes; an array counts whole."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Layout:
    """A structure: its size in bytes and its members in order."""

    name: str
    size: int
    members: tuple[Member, ...]

    @property
    def holes(self) -> tuple[int, ...]:
        """Offsets at which bytes belong to no member."""
        ends = [0, *(member.offset + member.size for member in self.members)]
        starts = [*(member.offset for member in self.members), self.size]
        return tuple(end for end, start in zip(ends, starts, strict=True) if end != start)


# -- structures ----------------------------------------------------------------------------------------------------


def in_kernel(image: Image, function: str, names: Sequence[str]) -> dict[str, Layout]:
    """The structures as the unit sees them that holds `function`; KernelError for one that it does not know."""
    symbols = image.symbols.get(function)
    unit = image.unit_at(symbols[0].address) if symbols else None
    if unit is None:
        raise KernelError(f"{image.path} has no function {function}", hint="is its option on in this flavour?")
    return _all(_in_unit(unit, set(names)), names, f"the file of {function}")


def in_header(header: str, names: Sequence[str], headers: Path, bits: Bits) -> dict[str, Layout]:
    """The structures as a C program sees them that includes the installed <header>; headers holds `include/`.

    No C library takes part: the header must stand alone, as uapi headers have to.
    """
    with tempfile.TemporaryDirectory(prefix="agent-mem-layout-") as aside:
        source, compiled = Path(aside) / "layout.c", Path(aside) / "layout.o"
        uses = "".join(f"struct {name} {name}_seen;\n" for name in names)
        source.write_text(f"#include <{header}>\n{uses}")
        include = ["-nostdinc", "-I", str(headers / "include")]
        strict = ["-std=c11", "-Wall", "-Wextra", "-Wpadded", "-Werror"]
        argv = ["gcc", f"-m{bits}", *strict, *include, "-g", "-c", "-o", str(compiled), str(source)]
        done = proc.run(argv, check=False, timeout=60)
        if done.code != 0:
            said = done.stderr.strip()[:1000]
            raise BuildError(f"<{header}> cannot be used by a {bits}-bit program: {said}", hint=f"look at {headers}")
        with Image(compiled) as image:
            found = [_in_unit(unit, set(names)) for unit in image.dwarf.iter_CUs()]
            return _all({name: one for part in found for name, one in part.items()}, names, f"<{header}>")


def _all(found: dict[str, Layout], names: Sequence[str], where: str) -> dict[str, Layout]:
    missing = [name for name in names if name not in found]
    if missing:
        raise KernelError(f"{where} knows no struct {', '.join(missing)}")
    return found


def _in_unit(unit: Any, wanted: set[str]) -> dict[str, Layout]:
    found: dict[str, Layout] = {}
    for entry in unit.get_top_DIE().iter_children():
        if len(found) == len(wanted):
            break
        name = _name(entry)
        if entry.tag == STRUCTURE and name in wanted and "DW_AT_byte_size" in entry.attributes:
            members = tuple(_member(child) for child in entry.iter_children() if child.tag == "DW_TAG_member")
            found[name] = Layout(name, entry.attributes["DW_AT_byte_size"].value, members)
    return found


def _name(entry: Any) -> str:
    attribute = entry.attributes.get("DW_AT_name")
    return attribute.value.decode(errors="replace") if attribute else ""


def _member(entry: Any) -> Member:
    place = entry.attributes.get("DW_AT_data_member_location")
    return Member(_name(entry), place.value if place else 0, _size(entry.get_DIE_from_attribute("DW_AT_type")))


def _size(kind: Any) -> int:
    """Bytes of a type."""
    while kind.tag in MODIFIERS:
        kind = kind.get_DIE_from_attribute("DW_AT_type")
    if kind.tag != "DW_TAG_array_type":
        return int(kind.attributes["DW_AT_byte_size"].value)
    size = _size(kind.get_DIE_from_attribute("DW_AT_type"))
    for dimension in kind.iter_children():
        upper, count = (dimension.attributes.get(f"DW_AT_{name}") for name in ("upper_bound", "count"))
        size *= count.value if count else upper.value + 1 if upper else 0
    return size


# -- numbers -------------------------------------------------------------------------------------------------------


def installed_numbers(headers: Path, names: Iterable[str], header: str = "asm/unistd_64.h") -> dict[str, int]:
    """Call -> number as user space gets it; a call that the header does not have is left out."""
    defined = {name: int(number) for name, number in NUMBER.findall((headers / "include" / header).read_text())}
    return {name: defined[name] for name in names if name in defined}


def handlers(image: Image, numbers: Iterable[int]) -> dict[int, frozenset[str]]:
    """Number -> all names of the function that sys_call_table of this vmlinux holds for it."""
    try:
        (table,) = image.symbols["sys_call_table"]
    except (KeyError, ValueError) as error:
        raise KernelError(f"{image.path} has no one sys_call_table", hint="it is an x86 kernel's") from error
    by_address: dict[int, set[str]] = {}
    for name, symbols in image.symbols.items():
        for symbol in symbols:
            by_address.setdefault(symbol.address, set()).add(name)
    held = image.read(table.address, table.size)
    pointers = struct.unpack(f"<{len(held) // POINTER}Q", held)
    return {number: frozenset(by_address.get(pointers[number], ())) for number in numbers if number < len(pointers)}


def tables(tree: Path) -> list[Path]:
    """Every syscall table of the source tree, all architectures'."""
    places = ("scripts", "arch/*/tools", "arch/*/entry/syscalls", "arch/*/kernel/syscalls")
    return sorted(path for place in places for path in tree.glob(f"{place}/syscall*.tbl"))


def table_numbers(table: Path, names: Iterable[str]) -> dict[str, int]:
    """Call -> number as one table has it."""
    lines = TABLE_LINE.finditer(table.read_text())
    wanted = set(names)
    return {line["name"]: int(line["number"]) for line in lines if line["name"] in wanted}
