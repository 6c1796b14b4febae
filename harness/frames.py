"""Frames of the control channel: bytes to values and back. The same format is in harness/guest/guest.h."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError

VERSION = 1
MAGIC = 0x4D41
FRAME_MAX = 32 << 10
WINDOW = 256 << 10
STRINGS_MAX = 1024
HEADER = struct.Struct("<HHII")
START = struct.Struct("<IHHHH")
TERMINAL = 1


class Kind(enum.IntEnum):
    HELLO = 1
    START = 2
    INPUT = 3
    SIGNAL = 4
    RESIZE = 5
    OUTPUT = 6
    ERROR = 7
    CREDIT = 8
    EXIT = 9


@dataclass(frozen=True)
class Frame:
    kind: Kind
    session: int
    payload: bytes


@dataclass(frozen=True)
class Command:
    """What to run. terminal: (rows, columns) gives it one in place of pipes; its stderr then comes with its stdout."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str = "/"
    terminal: tuple[int, int] | None = None

    def encode(self) -> bytes:
        strings = [self.cwd, *self.argv, *(f"{name}={value}" for name, value in self.env.items())]
        if not self.argv or len(strings) - 1 > STRINGS_MAX or any("\0" in text for text in strings):
            raise UsageError(f"a command has 1 to {STRINGS_MAX} words and variables, none with a NUL in it")
        rows, columns = self.terminal or (0, 0)
        flags = TERMINAL if self.terminal else 0
        body = START.pack(flags, min(rows, 9999), min(columns, 9999), len(self.argv), len(self.env))
        body += b"".join(text.encode(errors="surrogateescape") + b"\0" for text in strings)
        if len(body) > FRAME_MAX:
            raise UsageError(
                f"the command line and environment have {len(body)} bytes, at most {FRAME_MAX} can be sent"
            )
        return body


def encode(kind: Kind, session: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(MAGIC, kind, session, len(payload)) + payload


def word(value: int) -> bytes:
    return value.to_bytes(4, "little")


class Decoder:
    """Bytes to frames; ValueError for what is none."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, part: bytes) -> Iterator[Frame]:
        self._buffer += part
        while len(self._buffer) >= HEADER.size:
            magic, kind, session, length = HEADER.unpack_from(self._buffer)
            if magic != MAGIC or length > FRAME_MAX or kind not in Kind._value2member_map_:
                raise ValueError(f"{bytes(self._buffer[: HEADER.size]).hex()} is no head of a frame")
            if len(self._buffer) < HEADER.size + length:
                return
            payload = bytes(self._buffer[HEADER.size : HEADER.size + length])
            del self._buffer[: HEADER.size + length]
            yield Frame(Kind(kind), session, payload)
