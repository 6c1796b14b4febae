# SPDX-License-Identifier: MIT
"""Serialized values as SMUs. A history that grows is one object, and its earlier states are beginnings of it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from agentmem.smu import Smu, put

Typed: TypeAlias = tuple[str, bytes]  # what a serializer gives: how, and the bytes
Key: TypeAlias = tuple[str, str, str, str | int | float]  # thread, namespace, channel, version

THRESHOLD = 4096  # bytes: what is smaller takes less as ordinary memory than a page and a descriptor
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EDQUOT, errno.E2BIG)  # no object can hold it: memory can
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Text:
    """Content that only grows: the newest object of it."""

    smu: Smu


@dataclass(frozen=True, slots=True)
class Piece:
    """One value: a head, and as many bytes of the body. Where the body is a text, that may have grown since."""

    kind: str
    head: bytes
    body: bytes | Text
    length: int

    def typed(self) -> Typed:
        if isinstance(self.body, bytes):
            return self.kind, self.head + self.body
        with memoryview(self.body.smu) as view, view[: self.length] as mine:
            return self.kind, b"".join((self.head, mine))


def split(kind: str, data: bytes) -> int:
    """The length of the head. A list of MessagePack begins with its count; what comes after is grown by appending."""
    first = data[0] if kind == "msgpack" and data else 0
    return 1 if 0x90 <= first <= 0x9F else {0xDC: 3, 0xDD: 5}.get(first, 0)


def keep(value: Typed, before: Piece | None, threshold: int) -> Piece:
    """The value as a piece; before: the one that it most likely goes on from."""
    kind, data = value
    at = split(kind, data)
    head, body = bytes(data[:at]), memoryview(data)[at:]
    if len(body) >= max(threshold, 1):
        text = before.body if before and isinstance(before.body, Text) else None
        try:
            return Piece(kind, head, _text(body, text), len(body))
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            why = "more than an object may hold" if error.errno == errno.E2BIG else error.strerror
            log.warning("a value of %d bytes is kept as ordinary memory: %s", len(body), why)
    return Piece(kind, head, bytes(body), len(body))


def _text(body: memoryview, text: Text | None) -> Text:
    if text is None:
        return Text(put(body))
    held = len(text.smu)
    if len(body) > held and text.smu == body[:held]:
        text.smu = text.smu.append(body[held:])  # whoever reads the former one has it until he is done
        return text
    if len(body) <= held:
        with memoryview(text.smu) as view, view[: len(body)] as beginning:
            if beginning == body:
                return text
    return Text(put(body, base=text.smu))


class Pieces(MutableMapping[Key, Typed]):
    """Values by channel and version, as LangGraph's InMemorySaver keeps them."""

    def __init__(self, threshold: int) -> None:
        self.held: dict[Key, Piece] = {}
        self._threshold = threshold
        self._growing = Lock()

    def keep(self, key: Key, value: Typed, before: Key | None) -> None:
        with self._growing:
            self.held[key] = keep(value, self.held.get(before) if before else None, self._threshold)

    def empty(self, key: Key) -> bool:
        """Whether a channel has no value at that version."""
        return key not in self.held or self.held[key].kind == "empty"

    def __getitem__(self, key: Key) -> Typed:
        return self.held[key].typed()

    def __setitem__(self, key: Key, value: Typed) -> None:
        self.keep(key, value, None)

    def __delitem__(self, key: Key) -> None:
        del self.held[key]

    def __contains__(self, key: object) -> bool:
        return key in self.held

    def __iter__(self) -> Iterator[Key]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)
