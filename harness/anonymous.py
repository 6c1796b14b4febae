"""Private memory of processes, page by page: what is alike is what page merging, or the kernel's store, keeps once."""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
ENTRY = 8  # bytes of /proc/PID/pagemap for a page
PRESENT, FILE = 1 << 63, 1 << 61
STEP = 256  # pages that are read at once


@dataclass(frozen=True)
class Alike:
    """Pages of several processes together. zero: of them, nothing but zeros; different: distinct others."""

    pages: int
    zero: int
    different: int

    @property
    def bytes(self) -> int:
        return self.pages * PAGE

    @property
    def merged_bytes(self) -> int:
        """What is left if all that are equal are one."""
        return (self.different + (self.zero > 0)) * PAGE


def alike(pids: Iterable[int]) -> Alike:
    """The processes must not run meanwhile, or what they change is missed. OSError: one is gone, or not ours."""
    total, zero = 0, 0
    seen: Counter[bytes] = Counter()
    for pid in pids:
        for page in pages(pid):
            total += 1
            if page.count(0) == PAGE:
                zero += 1
            else:
                seen[hashlib.blake2b(page, digest_size=16).digest()] += 1
    return Alike(total, zero, len(seen))


def pages(pid: int) -> Iterator[bytes]:
    """Each private page that is in memory."""
    place = Path("/proc") / str(pid)
    with (place / "mem").open("rb", 0) as memory, (place / "pagemap").open("rb", 0) as pagemap:
        for begin, end in _ranges(place):
            for start in range(begin, end, STEP * PAGE):
                count = (min(end, start + STEP * PAGE) - start) // PAGE
                pagemap.seek(start // PAGE * ENTRY)
                entries = struct.unpack(f"={count}Q", pagemap.read(count * ENTRY))
                for index, entry in enumerate(entries):
                    if entry & PRESENT and not entry & FILE:
                        memory.seek(start + index * PAGE)
                        yield memory.read(PAGE)


def _ranges(place: Path) -> Iterator[tuple[int, int]]:
    """What has private pages: begin and end of each mapping."""
    begin = end = 0
    readable = False
    for line in (place / "smaps").read_text().splitlines():
        first, *rest = line.split(maxsplit=2)
        if "-" in first and not first.endswith(":"):
            begin, end = (int(part, 16) for part in first.split("-"))
            readable = rest[0][0] == "r" and not line.endswith(("[vvar]", "[vsyscall]"))
        elif first == "Anonymous:" and readable and int(rest[0]):
            yield begin, end
