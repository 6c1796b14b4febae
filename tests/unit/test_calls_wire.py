"""What the guest program prints is not trusted."""

from __future__ import annotations

import struct

import pytest

from harness.calls import wire
from harness.calls.ops import Alloc, Close, Spawn
from harness.errors import LabError

STATS = bytes(wire.STATS)


def record(ret: int, payload: bytes = b"") -> bytes:
    return struct.pack("<qI", ret, len(payload)) + payload


ENDINGS = record(0, STATS * 2) * 2


def lane(content: bytes, broken: int = 0) -> bytes:
    return struct.pack("<II", broken, len(content)) + content


def output(*lanes: bytes) -> bytes:
    return b"AMRESULT" + struct.pack("<I", len(lanes)) + b"".join(lanes) + STATS * 2


GOOD = output(lane(record(0) + record(-2, b"text") + ENDINGS))


def test_answers_are_read() -> None:
    read = wire.decode(GOOD, [2])
    assert read.lanes[0].answers == (wire.Answer(0), wire.Answer(-2, b"text"))
    assert len(read.lanes[0].endings) == 2
    assert not read.lanes[0].trouble


def test_a_lane_that_was_given_up_tells_why() -> None:
    read = wire.decode(output(lane(b"it hangs\x1b[2J", 1), lane(ENDINGS), lane(b"", 1)), [5, 0, 3])
    assert [one.trouble for one in read.lanes] == ["it hangs?[2J", "", "it tells no reason"]


def test_cut_off() -> None:
    for cut in range(len(GOOD)):
        with pytest.raises(LabError, match="makes no sense"):
            wire.decode(GOOD[:cut], [2])


@pytest.mark.parametrize(
    "hostile",
    [
        GOOD + b"\0",
        b"X" + GOOD[1:],
        output(lane(record(0) + ENDINGS)),  # fewer answers than calls
        output(lane(record(0) * 3 + ENDINGS)),
        output(lane(record(0) * 2 + ENDINGS, 2)),
        output(lane(record(0) * 2 + ENDINGS), lane(b"")),
        output(lane(record(0) * 2 + record(0, STATS) * 2)),
        output(lane(record(0) * 2 + record(-1, STATS * 2) * 2)),
        output(lane(record(0) + struct.pack("<qI", 0, 0xFFFFFFFF) + ENDINGS)),
        output(lane(record(0) + record(0, bytes(8193)) + ENDINGS)),
        b"AMRESULT" + struct.pack("<III", 1, 0, 0xFFFFFFFF) + bytes(2000),
        bytes((64 << 20) + 1),
    ],
)
def test_nonsense(hostile: bytes) -> None:
    with pytest.raises(LabError, match="makes no sense"):
        wire.decode(hostile, [2])


def test_a_program_as_the_guest_reads_it() -> None:
    digest = bytes(range(32))
    encoded = wire.encode([[Spawn(3, 1, 2)], [Close(1, -2), Alloc(0, 5, digest=digest)]])
    assert encoded[:8] == struct.pack("<II", 2, 1)
    assert encoded[8:30] == struct.pack("<BBBBHqq", 0, 3, 2, 0, 0, 1, 2)
    assert encoded[30:34] == struct.pack("<I", 2)
    assert encoded[34:48] == struct.pack("<BBBBHq", 12, 1, 1, 0, 0, -2)
    assert encoded[48:54] == struct.pack("<BBBBH", 6, 0, 15, 0, 32)
    assert encoded[-32:] == digest
