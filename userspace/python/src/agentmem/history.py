# SPDX-License-Identifier: MIT
"""History: the messages of a conversation as one SMU that is appended to."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, overload

from agentmem.kinds import Type
from agentmem.smu import Smu, put

Message: TypeAlias = dict[str, Any]


class History(Sequence[Message]):
    """Messages as lines of JSON; an append takes what was added, and nothing is kept decoded.

    `History(attach(digest))` goes on from what this or another process of the user has. Each state is an Smu (`smu`):
    keep the former one to be able to go back to it. Appending is for one thread at a time, reading for any number.
    """

    def __init__(self, smu: Smu | None = None) -> None:
        self._smu = smu
        self._ends = array("Q", [0])
        if smu is not None:
            with memoryview(smu) as view:
                self._ends.extend(found.end() for found in re.finditer(b"\n", view))
            if self._ends[-1] != len(smu):
                raise ValueError(f"{smu} is no history: it does not end with a line")

    @property
    def smu(self) -> Smu | None:
        """The object with all messages, the newest last; None while there is none."""
        return self._smu

    def append(self, message: Message) -> None:
        self.extend([message])

    def extend(self, messages: Iterable[Message]) -> None:
        """Adds messages; TypeError, and nothing added, if one is not JSON."""
        lines = [_line(message) for message in messages]
        if not lines:
            return
        added = b"".join(lines)
        self._smu = put(added, Type.CONVERSATION) if self._smu is None else self._smu.append(added)
        for line in lines:
            self._ends.append(self._ends[-1] + len(line))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        if isinstance(index, slice):
            return list(self._read(range(len(self))[index]))
        return next(self._read([range(len(self))[index]]))

    def __iter__(self) -> Iterator[Message]:
        return self._read(range(len(self)))

    def _read(self, numbers: Iterable[int]) -> Iterator[Message]:
        if self._smu is None:
            return
        with memoryview(self._smu) as view:
            for number in numbers:
                with view[self._ends[number] : self._ends[number + 1]] as line:
                    text = str(line, "utf-8", "surrogatepass")
                yield json.loads(text)


def _line(message: Message) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass") + b"\n"
