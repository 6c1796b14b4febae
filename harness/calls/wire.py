"""The guest program's input and output. What it prints comes from a kernel under test: checked, not trusted."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from harness.calls.ops import DOMAINS, INDICES, NUMBERS, POOL_SIZE, TEXT, WORDS, Call, Pointer, Stats
from harness.errors import LabError

MAGIC = b"AMRESULT"
HEAD = struct.Struct("<BBBBH")
WORD = struct.Struct("<I")
RECORD = struct.Struct("<qI")
LANE = struct.Struct("<II")
STATS = 464  # bytes of struct agent_stats
MAX_OUTPUT = 64 << 20
MAX_LANE = 16 << 20
MAX_PAYLOAD = 8192
MAX_TEXT = 256
MAX_CALLS = 8192
MAX_BUFFER = 4096  # for statistics
MAX_WAIT = 60_000  # milliseconds


@dataclass(frozen=True, slots=True)
class Answer:
    """ret: as the kernel has it, a negative errno for an error. payload: what else there is to tell."""

    ret: int
    payload: bytes = b""


@dataclass(frozen=True)
class Ending:
    """A domain's figures before the first call and after the last process."""

    waited_ms: int
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Lane:
    """What one program gave. trouble: it did not come to its end, and answers is empty."""

    answers: tuple[Answer, ...]
    endings: tuple[Ending, ...]
    trouble: str = ""


@dataclass(frozen=True)
class Output:
    """before, after: the system's figures."""

    lanes: tuple[Lane, ...]
    before: bytes
    after: bytes


def encode(programs: Sequence[Sequence[Call]]) -> bytes:
    return WORD.pack(len(programs)) + b"".join(map(_program, programs))


def _program(calls: Sequence[Call]) -> bytes:
    return WORD.pack(len(calls)) + b"".join(map(_call, calls))


def _call(call: Call) -> bytes:
    kind = type(call)
    names = WORDS[kind]
    text = getattr(call, TEXT[kind] or "", b"")
    head = HEAD.pack(NUMBERS[kind], call.proc, len(names), 0, len(text))
    return head + struct.pack(f"<{len(names)}q", *(getattr(call, name) for name in names)) + text


def fits(call: Call) -> bool:
    """Whether the guest program can make the call at all; it trusts its input."""
    names = ("proc", *WORDS[type(call)])
    inside = all(getattr(call, name) in INDICES[name] for name in names if name in INDICES)
    small = all(-(1 << 63) <= getattr(call, name) < 1 << 63 for name in names)
    offset, length = (getattr(call, name, 0) for name in ("offset", "length"))
    patched = getattr(call, "patch", -1) < max(length, 1)
    text = getattr(call, TEXT[type(call)] or "", b"")
    is_digest = TEXT[type(call)] != "digest" or len(text) in (0, 32)
    buffered = not isinstance(call, Stats) or call.pointer != Pointer.VALID or call.size <= MAX_BUFFER
    whole = offset + length <= POOL_SIZE and len(text) <= MAX_TEXT
    return inside and small and whole and patched and is_digest and buffered


class _Reader:
    """Takes an output apart. ValueError: it is shorter than it says."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._content):
            raise ValueError("it is cut off")
        taken, self._content = self._content[:size], self._content[size:]
        return bytes(taken)

    def unpack(self, form: struct.Struct) -> tuple[int, ...]:
        return form.unpack(self.take(form.size))

    @property
    def left(self) -> int:
        return len(self._content)


def decode(output: bytes, counts: Sequence[int]) -> Output:
    """The answers to programs of so many calls each. LabError: this cannot be what our program prints."""
    try:
        if len(output) > MAX_OUTPUT:
            raise ValueError(f"it has {len(output)} bytes")
        return _output(_Reader(output), counts)
    except ValueError as error:
        raise LabError(f"the output of the guest program makes no sense: {error}") from error


def _output(reader: _Reader, counts: Sequence[int]) -> Output:
    if reader.take(len(MAGIC)) != MAGIC or reader.unpack(WORD) != (len(counts),):
        raise ValueError("it does not begin as it should")
    lanes = tuple(_lane(reader, count) for count in counts)
    output = Output(lanes, reader.take(STATS), reader.take(STATS))
    if reader.left:
        raise ValueError("it goes on after its end")
    return output


def _lane(reader: _Reader, count: int) -> Lane:
    broken, size = reader.unpack(LANE)
    if broken not in (0, 1) or size > MAX_LANE:
        raise ValueError(f"a lane with status {broken} and {size} bytes")
    content = _Reader(reader.take(size))
    if broken:
        said = content.take(min(size, 200)).decode(errors="replace")
        return Lane((), (), "".join(c if c.isprintable() else "?" for c in said) or "it tells no reason")
    answers = tuple(_answer(content) for _ in range(count))
    endings = tuple(_ending(_answer(content)) for _ in range(DOMAINS))
    if content.left:
        raise ValueError(f"a lane has more than {count} answers")
    return Lane(answers, endings)


def _answer(reader: _Reader) -> Answer:
    ret, size = reader.unpack(RECORD)
    if size > MAX_PAYLOAD:
        raise ValueError(f"an answer of {size} bytes")
    return Answer(ret, reader.take(size))


def _ending(answer: Answer) -> Ending:
    if len(answer.payload) != 2 * STATS or not 0 <= answer.ret <= MAX_WAIT:
        raise ValueError("the figures at a lane's end")
    return Ending(answer.ret, answer.payload[:STATS], answer.payload[STATS:])
