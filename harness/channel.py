"""The control channel: frames over a stream socket, many commands at a time. The guest's end is harness/guest/*.c.

Nothing that comes from the guest is trusted: a frame that cannot be, more output than the window allows, an answer to
nothing: each is a GuestFault, and the channel is not used again. What waits to be read is at most WINDOW bytes for
each command, because a sender has to wait for CREDIT; so one that nobody listens to does not stall the others.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import GuestFault, HarnessError, LabError, UsageError

# The same numbers as in harness/guest/guest.h.
VERSION = 1
MAGIC = 0x4D41
FRAME_MAX = 32 << 10
WINDOW = 256 << 10
STRINGS_MAX = 1024
HEADER = struct.Struct("<HHII")
START = struct.Struct("<IHHHH")
TERMINAL = 1
STUCK = 30.0  # seconds in which the guest takes nothing at all from its port, though it always reads: it hangs


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


class ChannelClosed(LabError):
    """The other end is gone; whose fault that is, only the one who knows the machine can tell."""


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


class Channel:
    """The frames of one socket, dealt out to sessions by a thread that only reads."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.settimeout(STUCK)
        self._sending = threading.Lock()
        self.changed = threading.Condition()
        self._sessions: dict[int, Session] = {}
        self._next = 1
        self._greeted = False
        self.trouble: HarnessError | None = None
        threading.Thread(target=self._read, name="channel", daemon=True).start()

    def greeted(self, wait: float) -> bool:
        """Whether the other end has said HELLO, after up to `wait` seconds. Raises what the channel died of."""
        with self.changed:
            self.changed.wait_for(lambda: self._greeted or self.trouble, wait)
            if self.trouble:
                raise self.trouble
            return self._greeted

    def start(self, command: bytes, *, relayed: bool = False) -> Session:
        """Starts an encoded Command."""
        with self.changed:
            session = Session(self, self._next, relayed)
            self._sessions[self._next] = session
            self._next += 1
        self.send(Kind.START, session.id, command)
        return session

    def send(self, kind: Kind, session: int, payload: bytes = b"") -> None:
        with self._sending:
            if self.trouble:
                raise self.trouble
            try:
                self._socket.sendall(encode(kind, session, payload))
                return
            except TimeoutError:
                self._die(GuestFault(f"the guest hangs: it has read nothing from its control port for {STUCK:.0f} s"))
            except OSError as error:
                self._die(ChannelClosed(f"the control channel is closed: {error.strerror}"))
        raise self.trouble

    def close(self) -> None:
        self._die(ChannelClosed("the control channel was closed by this side"))
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _die(self, trouble: HarnessError) -> None:
        with self.changed:
            self.trouble = self.trouble or trouble
            self.changed.notify_all()

    def _read(self) -> None:
        decoder = Decoder()
        try:
            while part := self._receive():
                for frame in decoder.feed(part):
                    with self.changed:
                        self._deal(frame)
                        self.changed.notify_all()
            self._die(ChannelClosed("the control channel is closed"))
        except ValueError as error:
            self._die(GuestFault(f"the guest broke the control channel's protocol: {error}"))
        except OSError as error:
            self._die(ChannelClosed(f"the control channel is closed: {error.strerror}"))

    def _receive(self) -> bytes:
        while True:
            try:
                return self._socket.recv(1 << 18)
            except TimeoutError:  # settimeout() is meant for sending; a guest may be silent as long as it likes
                continue

    def _deal(self, frame: Frame) -> None:
        if frame.kind is Kind.HELLO and frame.session == 0 and not self._greeted:
            if frame.payload != word(VERSION):
                raise ValueError(f"it speaks version {frame.payload.hex()}, not {VERSION}")
            self._greeted = True
            return
        session = self._sessions.get(frame.session)
        if session is None or not self._greeted:
            raise ValueError(f"{frame.kind.name} for session {frame.session}, which there is not")
        session.deal(frame)
        if frame.kind is Kind.EXIT:
            del self._sessions[frame.session]


class Session:
    """One command under way. `deal` is the channel's; the rest is its user's, who may write and take in two threads.

    relayed: credit is passed on in both directions to the one who really reads and writes (harness.share).
    """

    def __init__(self, channel: Channel, number: int, relayed: bool) -> None:
        self.id = number
        self.ended = False
        self._channel = channel
        self._relayed = relayed
        self._frames: deque[Frame] = deque()
        self._from_guest = WINDOW  # bytes that it may send
        self._to_guest = WINDOW
        self._owed = 0  # bytes taken, for which no credit was given yet

    def deal(self, frame: Frame) -> None:
        if frame.kind in (Kind.OUTPUT, Kind.ERROR):
            self._from_guest -= len(frame.payload)
            if self._from_guest < 0 or not frame.payload:
                raise ValueError("output beyond the window")
        elif frame.kind is Kind.CREDIT and len(frame.payload) == 4:
            if not self._relayed:
                self._to_guest += int.from_bytes(frame.payload, "little")
                if self._to_guest > WINDOW:
                    raise ValueError("credit for what was never sent")
                return
        elif frame.kind is Kind.EXIT and len(frame.payload) == 8:
            self.ended = True
        else:
            raise ValueError(f"a {frame.kind.name} of {len(frame.payload)} bytes")
        self._frames.append(frame)

    def take(self, wait: float) -> Frame | None:
        """The next OUTPUT, ERROR or EXIT (relayed: also CREDIT); None if there is none within `wait` seconds."""
        with self._channel.changed:
            self._channel.changed.wait_for(lambda: self._frames or self._channel.trouble, wait)
            if not self._frames:
                if self._channel.trouble:
                    raise self._channel.trouble
                return None
            frame = self._frames.popleft()
        if not self._relayed and frame.kind in (Kind.OUTPUT, Kind.ERROR):
            self._owed += len(frame.payload)
            if self._owed >= WINDOW // 4 and not self.ended:
                self.credit(self._owed)
                self._owed = 0
        return frame

    def credit(self, amount: int) -> None:
        with self._channel.changed:
            self._from_guest = min(WINDOW, self._from_guest + amount)
        self._channel.send(Kind.CREDIT, self.id, word(amount))

    def write(self, part: bytes, patience: float | None = None) -> None:
        """Input for the command; waits until it has taken earlier input. Dropped once the command has ended."""
        view = memoryview(part)
        end = None if patience is None else time.monotonic() + patience
        while view and not self.ended:
            with self._channel.changed:
                wait = None if end is None else max(0.0, end - time.monotonic())
                ready = self._channel.changed.wait_for(
                    lambda: self._to_guest or self.ended or self._channel.trouble, wait
                )
                if self._channel.trouble:
                    raise self._channel.trouble
                if not ready:
                    raise TimeoutError
                size = min(self._to_guest, len(view), FRAME_MAX)
                self._to_guest -= size
            self.send(Kind.INPUT, bytes(view[:size])) if size else None
            view = view[size:]

    def end_input(self) -> None:
        self.send(Kind.INPUT, b"")

    def signal(self, number: int) -> None:
        """To every process of the command."""
        self.send(Kind.SIGNAL, word(number))

    def resize(self, rows: int, columns: int) -> None:
        self.send(Kind.RESIZE, struct.pack("<HH", min(rows, 9999), min(columns, 9999)))

    def send(self, kind: Kind, payload: bytes) -> None:
        if not self.ended:
            self._channel.send(kind, self.id, payload)
