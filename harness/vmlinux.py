"""What a vmlinux says about itself: its symbols, and the DWARF of one compilation unit at a time.

A kernel has thousands of units and pyelftools reads them in Python, so nothing here walks all of their entries: a unit
is found by an address of its code, and that one is read.
"""

from __future__ import annotations

import bisect
import contextlib
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.errors import LabError

# pyelftools takes seconds for a kernel's 50,000 symbols, and each splat that is told wants them.
ELF64_SYM = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
SHN_UNDEF = 0


@dataclass(frozen=True)
class Symbol:
    name: str
    address: int
    size: int  # bytes; 0 where the assembler was not told


class Image:
    """An ELF file with symbols and DWARF: vmlinux, or an object file. LabError for one that is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.ExitStack() as stack:
            self._stream: BinaryIO = stack.enter_context(path.open("rb"))
            try:
                self.elf: Any = ELFFile(self._stream)
            except ELFError as error:
                raise LabError(f"{path} is no ELF file: {error}", hint="harness build") from error
            if not self.elf.has_dwarf_info(strict=True):
                raise LabError(f"{path} has no debug information", hint="build with CONFIG_DEBUG_INFO_DWARF5=y")
            self.dwarf: Any = self.elf.get_dwarf_info()
            stack.pop_all()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @cached_property
    def symbols(self) -> dict[str, list[Symbol]]:
        """Name -> every symbol of that name: static functions of different files may share one."""
        table = self.elf.get_section_by_name(".symtab")
        found: dict[str, list[Symbol]] = {}
        if table is None or self.elf.elfclass != 64 or not self.elf.little_endian:
            return found
        names = self.elf.get_section(table["sh_link"]).data()
        for start, _, _, section, value, size in ELF64_SYM.iter_unpack(table.data()):
            name = names[start : names.index(0, start)].decode(errors="replace")
            if name and section != SHN_UNDEF:
                found.setdefault(name, []).append(Symbol(name, value, size))
        return found

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a virtual address of the file's loaded sections; LabError where there are none."""
        for section in self.elf.iter_sections():
            start = section["sh_addr"]
            if section["sh_type"] == "SHT_PROGBITS" and start <= address < start + section["sh_size"]:
                self._stream.seek(section["sh_offset"] + address - start)
                return self._stream.read(size)
        raise LabError(f"{self.path} holds nothing at {address:#x}")

    # -- compilation units -----------------------------------------------------------------------------------------

    @cached_property
    def _starts(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Sorted starts of all address ranges, and (end, unit's offset) of each."""
        aranges = self.dwarf.get_aranges()
        entries = sorted((one.begin_addr, one.begin_addr + one.length, one.info_offset) for one in aranges.entries)
        return [entry[0] for entry in entries], [(entry[1], entry[2]) for entry in entries]

    def unit_at(self, address: int) -> Any | None:
        """The compilation unit whose code holds the address."""
        starts, rest = self._starts
        at = bisect.bisect_right(starts, address) - 1
        if at < 0 or address >= rest[at][0]:
            return None
        return self.dwarf.get_CU_at(rest[at][1])
