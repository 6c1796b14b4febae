"""What agents hold, as the kernel keeps it: chunks of objects ("units"), by number.

A history is a chain of appends. Of an append's own are the pages from the one on in which its base ends; those before
are its base's. So a page that two versions have is read in the newer one, and the older one is read no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

PAGE = 4096
CHUNK = 128 << 10  # what is decompressed at once: the kernel's default
KEYFRAME = 32  # one of so many appends is stored without its base, as AGENT_KEYFRAME
NOBODY = -1

Units = NDArray[np.int64]
NOTHING: Units = np.empty(0, np.int64)


class Type(IntEnum):
    """enum agent_smu_type"""

    CONVERSATION = 0
    SYSTEM_PROMPT = 1
    TOOL_DEF = 2
    TOOL_RESULT = 3


@dataclass(frozen=True)
class Table:
    """Of each unit: pages; bytes; type; the agent it is of, or NOBODY if equal content is one object for all;
    base: the unit it takes to decompress it, before: the one it was appended to, or NOBODY."""

    pages: Units
    size: Units
    type: Units
    owner: Units
    base: Units
    before: Units


class Objects:
    """Makes units, and the table of them."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, int, int, int]] = []
        self._by_content: dict[bytes, Units] = {}

    def table(self) -> Table:
        columns = np.array(self._rows, np.int64).reshape(-1, 6).T
        return Table(*(np.ascontiguousarray(column) for column in columns))

    def shared(self, kind: Type, content: bytes) -> Units:
        if content not in self._by_content:
            self._by_content[content] = self.make(kind, 0, len(content), NOBODY)
        return self._by_content[content]

    def make(self, kind: Type, start: int, end: int, owner: int, base: int = NOBODY, before: int = NOBODY) -> Units:
        """Units for the bytes from `start`, where a page begins, to `end` of an object."""
        first = len(self._rows)
        for begin in range(start, end, CHUNK):
            size = min(CHUNK, end - begin)
            self._rows.append((-(-size // PAGE), size, kind, owner, base, before))
            before = len(self._rows) - 1
            base = before if base != NOBODY else NOBODY
        return np.arange(first, len(self._rows), dtype=np.int64)


class History:
    """A conversation that grows."""

    def __init__(self, objects: Objects, owner: int) -> None:
        self._objects, self._owner = objects, owner
        self._bytes = self._appends = 0
        self._tip = NOBODY
        self._read: list[tuple[int, int]] = []  # unit and its first page, of those that a reader of all reads

    def append(self, count: int) -> Units:
        """The units of the new version's own."""
        own = self._bytes // PAGE
        self._bytes += count
        base = NOBODY if self._appends % KEYFRAME == 0 else self._tip
        made = self._objects.make(Type.CONVERSATION, own * PAGE, self._bytes, self._owner, base, self._tip)
        self._read = [(unit, page) for unit, page in self._read if page < own]
        self._read += [(unit, own + place * (CHUNK // PAGE)) for place, unit in enumerate(made.tolist())]
        self._appends += 1
        self._tip = int(made[-1])
        return made

    def last_page(self) -> Units:
        """What the next append copies from: the unit with the page in which the history ends."""
        return np.array([self._tip] if self._bytes % PAGE else [], np.int64)

    def from_its_end(self) -> Units:
        return np.array([unit for unit, _ in reversed(self._read)], np.int64)
