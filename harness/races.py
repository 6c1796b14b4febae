"""KCSAN in a guest: switched on for races that the series' own functions take part in.

The whole kernel races with itself in places that are not ours, so KCSAN reports are filtered by the functions of
mm/agent_mem*.c; a report that is left is a splat like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import symbols
from harness.errors import LabError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.vmlinux import Image

CONTROL = "/sys/kernel/debug/kcsan"
SOURCES = re.compile(r"(?:^|/)mm/agent_mem\w*\.c$")
SUBPROGRAM = "DW_TAG_subprogram"


def functions(vmlinux: Path) -> list[str]:
    """The functions that are compiled from our files, by their symbols."""
    found: set[str] = set()
    with Image(vmlinux) as image:
        seen: set[int] = set()
        for symbol in (one for name, all_of in image.symbols.items() if name.startswith("agent_") for one in all_of):
            unit = image.unit_at(symbol.address)
            if unit is None or unit.cu_offset in seen:
                continue
            seen.add(unit.cu_offset)
            found.update(_of_unit(unit, symbols.files(image.dwarf.line_program_for_CU(unit))))
    if not found:
        raise LabError(f"{vmlinux} has no function of ours")
    return sorted(found)


def _of_unit(unit: Any, files: dict[int, str]) -> Iterator[str]:
    """Those written in our sources: not what headers, or the makers of tracepoints, put there."""
    for die in unit.get_top_DIE().iter_children():
        told = die.attributes
        if die.tag != SUBPROGRAM or not {"DW_AT_low_pc", "DW_AT_name", "DW_AT_decl_file"} <= told.keys():
            continue
        if SOURCES.search(files.get(told["DW_AT_decl_file"].value, "")):
            yield told["DW_AT_name"].value.decode()


def watch(guest: Guest, kernel: Kernel) -> None:
    """Reports races from here on."""
    names = functions(kernel.vmlinux)
    words = [*(f"!{name}" for name in names), "whitelist", "on"]
    script = f'for word; do echo "$word" > {CONTROL} || exit; done'
    done = guest.run(["sh", "-c", script, "sh", *words])
    if done.code != 0:
        said = done.stderr.decode(errors="replace").strip()[:300]
        raise LabError(f"KCSAN cannot be set up: {said}", log=guest.console)


def watched(guest: Guest) -> int:
    """How many accesses KCSAN has watched since boot."""
    said = guest.run(["cat", CONTROL]).stdout.decode(errors="replace")
    if not (count := re.search(r"^setup_watchpoints: (\d{1,18})$", said, re.MULTILINE)):
        raise LabError(f"{CONTROL} says nothing we know: {said[:300]}", log=guest.console)
    return int(count[1])
