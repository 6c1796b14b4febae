"""The control channel against a guest's end that the test plays: what works, and what a hostile guest can do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from harness import channel as module
from harness.channel import Channel, ChannelClosed, Session
from harness.errors import GuestFault, HarnessError, UsageError
from harness.frames import FRAME_MAX, HEADER, MAGIC, WINDOW, Command, Decoder, Kind, encode, word
from tests.unit.guest_end import COMMAND, GuestEnd

WAIT = 5.0


@pytest.fixture
def end() -> Iterator[GuestEnd]:
    made = GuestEnd()
    yield made
    made.close()


@pytest.fixture
def channel(end: GuestEnd) -> Iterator[Channel]:
    made = Channel(end.theirs)
    end.hello()
    assert made.greeted(WAIT)
    yield made
    made.close()


def started(channel: Channel, end: GuestEnd) -> Session:
    session = channel.start(COMMAND)
    assert end.expect(Kind.START).session == session.id
    return session


def taken(session: Session) -> list[tuple[Kind, bytes]]:
    """All frames to the end."""
    found: list[tuple[Kind, bytes]] = []
    while not found or found[-1][0] is not Kind.EXIT:
        frame = session.take(WAIT)
        assert frame is not None
        found.append((frame.kind, frame.payload))
    return found


# -- good guests --


def test_streams_apart_and_in_order(channel: Channel, end: GuestEnd) -> None:
    session = started(channel, end)
    end.send(Kind.OUTPUT, session.id, b"one")
    end.send(Kind.ERROR, session.id, b"two")
    end.send(Kind.OUTPUT, session.id, b"\0\xff")
    end.exit(session.id, 7)
    assert taken(session) == [
        (Kind.OUTPUT, b"one"),
        (Kind.ERROR, b"two"),
        (Kind.OUTPUT, b"\0\xff"),
        (Kind.EXIT, word(0) + word(7)),
    ]
    assert session.ended


def test_frames_may_come_in_any_pieces(channel: Channel, end: GuestEnd) -> None:
    session = started(channel, end)
    for byte in encode(Kind.OUTPUT, session.id, b"piecemeal") + encode(Kind.EXIT, session.id, bytes(8)):
        end.ours.sendall(bytes([byte]))
    assert taken(session)[0] == (Kind.OUTPUT, b"piecemeal")


def test_commands_side_by_side(channel: Channel, end: GuestEnd) -> None:
    sessions = [started(channel, end) for _ in range(20)]
    for session in reversed(sessions):
        end.send(Kind.OUTPUT, session.id, b"%d" % session.id)
        end.exit(session.id, session.id)
    for session in sessions:
        assert taken(session)[0][1] == b"%d" % session.id


def test_output_is_credited_when_it_is_taken_and_not_before(channel: Channel, end: GuestEnd) -> None:
    session = started(channel, end)
    for _ in range(WINDOW // FRAME_MAX):
        end.send(Kind.OUTPUT, session.id, bytes(FRAME_MAX))
    time.sleep(0.2)
    end.ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        end.ours.recv(1)
    end.ours.settimeout(WAIT)
    given = 0
    for _ in range(WINDOW // FRAME_MAX):
        assert session.take(WAIT)
    while given < WINDOW:
        given += int.from_bytes(end.expect(Kind.CREDIT).payload, "little")
    assert given == WINDOW


def test_input_waits_for_the_window(channel: Channel, end: GuestEnd) -> None:
    session = started(channel, end)
    content = random.Random(1).randbytes(3 * WINDOW + 17)
    session.feed([content])
    got, unpaid = b"", 0
    while len(got) < len(content):
        part = end.expect(Kind.INPUT).payload
        got, unpaid = got + part, unpaid + len(part)
        assert unpaid <= WINDOW
        if unpaid == WINDOW or len(content) - len(got) < FRAME_MAX:
            end.send(Kind.CREDIT, session.id, word(unpaid))
            unpaid = 0
    assert got == content
    assert end.expect(Kind.INPUT).payload == b""


def test_a_command_that_ends_does_not_wait_for_its_input(channel: Channel, end: GuestEnd) -> None:
    session = started(channel, end)
    end.exit(session.id)
    taken(session)
    session.write(bytes(10 * WINDOW))
    session.signal(15)


def test_input_that_cannot_be_read_ends_the_command(channel: Channel, end: GuestEnd) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the disk is gone")

    session = started(channel, end)
    session.feed(broken())
    assert end.expect(Kind.INPUT).payload == b"half"
    assert end.expect(Kind.SIGNAL).payload == word(9)


# -- the end of it --


def test_an_end_that_goes_away_is_told_to_everyone_who_waits(channel: Channel, end: GuestEnd) -> None:
    session = started(channel, end)
    end.send(Kind.OUTPUT, session.id, b"last words")
    end.ours.close()
    frame = session.take(WAIT)
    assert frame is not None and frame.payload == b"last words"
    with pytest.raises(ChannelClosed):
        session.take(WAIT)
    with pytest.raises(ChannelClosed):
        channel.start(COMMAND)


def test_a_guest_that_reads_nothing_hangs(end: GuestEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK", 0.3)
    channel = Channel(end.theirs)
    end.hello()
    assert channel.greeted(WAIT)
    with pytest.raises(GuestFault, match="hangs: it has read nothing"):
        for _ in range(100):
            channel.start(Command(["x" * 30000], {}).encode())


def test_silence_is_no_end(end: GuestEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK", 0.1)
    channel = Channel(end.theirs)
    end.hello()
    assert channel.greeted(WAIT)
    session = started(channel, end)
    assert session.take(0.4) is None
    end.exit(session.id)
    assert taken(session)


# -- hostile guests --


def no_magic(session: int) -> bytes:
    return HEADER.pack(0x1234, Kind.OUTPUT, session, 0)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "no magic": no_magic,
    "an unknown type": lambda session: HEADER.pack(MAGIC, 99, session, 0),
    "a length beyond the limit": lambda session: HEADER.pack(MAGIC, Kind.OUTPUT, session, FRAME_MAX + 1),
    "the largest length": lambda session: HEADER.pack(MAGIC, Kind.OUTPUT, session, 0xFFFFFFFF),
    "a session that there is not": lambda session: encode(Kind.OUTPUT, session + 100, b"x"),
    "session 0": lambda session: encode(Kind.OUTPUT, 0, b"x"),
    "output of nothing": lambda session: encode(Kind.OUTPUT, session),
    "output beyond the window": lambda session: encode(Kind.OUTPUT, session, bytes(FRAME_MAX)) * 9,
    "both streams share it": lambda session: (
        encode(Kind.OUTPUT, session, bytes(FRAME_MAX)) * 4 + encode(Kind.ERROR, session, bytes(FRAME_MAX)) * 5
    ),
    "credit for nothing": lambda session: encode(Kind.CREDIT, session, word(1)),
    "credit of nothing": lambda session: encode(Kind.CREDIT, session, word(0)),
    "short credit": lambda session: encode(Kind.CREDIT, session, b"\1"),
    "a short exit": lambda session: encode(Kind.EXIT, session, b"\0\0"),
    "a long exit": lambda session: encode(Kind.EXIT, session, bytes(9)),
    "words after the end": lambda session: (
        encode(Kind.EXIT, session, bytes(8)) + encode(Kind.OUTPUT, session, b"ghost")
    ),
    "a second hello": lambda session: encode(Kind.HELLO, 0, word(1)),
    "the host's own frames": lambda session: encode(Kind.START, session, COMMAND),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_breach_is_the_guests_fault_and_the_last_thing_heard(channel: Channel, end: GuestEnd, what: str) -> None:
    session, other = started(channel, end), started(channel, end)
    end.ours.sendall(HOSTILE[what](session.id))
    with pytest.raises(GuestFault, match="broke the control channel's protocol"):
        other.take(WAIT)
    with pytest.raises(GuestFault):
        channel.start(COMMAND)


@pytest.mark.parametrize("payload", [word(2), b"", b"\1\0\0\0\0"])
def test_another_version_is_refused(end: GuestEnd, payload: bytes) -> None:
    channel = Channel(end.theirs)
    end.send(Kind.HELLO, 0, payload)
    with pytest.raises(GuestFault, match="speaks version"):
        channel.greeted(WAIT)


def test_nothing_counts_before_the_greeting(end: GuestEnd) -> None:
    channel = Channel(end.theirs)
    session = started(channel, end)
    end.send(Kind.OUTPUT, session.id, b"x")
    with pytest.raises(GuestFault):
        session.take(WAIT)


@pytest.mark.parametrize("seed", range(30))
def test_random_bytes_are_a_fault_and_nothing_else(seed: int) -> None:
    """Valid frames with some bytes changed: whatever they mean, it ends in an error of ours, or is harmless."""
    chance = random.Random(seed)
    end = GuestEnd()
    channel = Channel(end.theirs)
    end.hello()
    assert channel.greeted(WAIT)
    session = started(channel, end)
    sent = bytearray()
    for _ in range(50):
        kind = chance.choice([Kind.OUTPUT, Kind.ERROR, Kind.OUTPUT])
        sent += encode(kind, session.id, chance.randbytes(chance.randrange(1, 200)))
    for _ in range(chance.randrange(1, 20)):
        sent[chance.randrange(len(sent))] = chance.randrange(256)
    end.ours.sendall(sent)
    end.close()
    with pytest.raises(HarnessError):
        while True:
            session.take(WAIT)


# -- commands --


def test_a_command_in_bytes_of_its_own() -> None:
    body = Command(["a", "ü", ""], {"K": "v"}, "/tmp", (24, 80)).encode()
    assert body == b"\1\0\0\0\x18\0\x50\0\3\0\1\0" + b"/tmp\0a\0\xc3\xbc\0\0K=v\0"


def test_names_that_are_no_utf8_go_through_as_they_are() -> None:
    assert b"\xff\xfe\0" in Command([b"\xff\xfe".decode(errors="surrogateescape")], {}).encode()


@pytest.mark.parametrize("argv", [[], ["a\0b"], ["x"] * 1025, ["x" * FRAME_MAX]])
def test_a_command_that_cannot_be_sent(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        Command(argv, {}).encode()


def test_the_decoder_keeps_no_more_than_a_frame() -> None:
    decoder = Decoder()
    assert list(decoder.feed(encode(Kind.OUTPUT, 1, b"x" * FRAME_MAX)[:-1])) == []
    assert [len(frame.payload) for frame in decoder.feed(b"x")] == [FRAME_MAX]
