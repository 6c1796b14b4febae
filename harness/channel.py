"""The control channel: frames over a stream socket, many commands at a time. The guest's end is harness/guest/*.c.

Nothing that comes from the guest is trusted: a frame that cannot be, more output than the window allows, an answer to
nothing: each is a GuestFault, and the channel is not used again. What waits to be read is at most WINDOW bytes for
each command, because a sender has to wait for CREDIT; so one that nobody listens to does not stall the others.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable

from harness.errors import GuestFault, HarnessError, LabError
from harness.frames import FRAME_MAX, VERSION, WINDOW, Decoder, Frame, Kind, encode, word

STUCK = 30.0  # seconds in which the guest takes nothing at all from its port, though it always reads: it hangs


class ChannelClosed(LabError):
    """The other end is gone; whose fault that is, only the one who knows the machine can tell."""


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
            assert self.trouble is not None
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
            amount = int.from_bytes(frame.payload, "little")
            self._to_guest += amount
            if not amount or self._to_guest > WINDOW:
                raise ValueError("credit for what was never sent")
            if not self._relayed:
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
        self.send(Kind.CREDIT, word(amount))

    def write(self, part: bytes) -> None:
        """Input for the command; waits until it has taken earlier input. Dropped once the command has ended."""
        view = memoryview(part)
        while view and not self.ended:
            with self._channel.changed:
                self._channel.changed.wait_for(lambda: self._to_guest or self.ended or self._channel.trouble)
                if self._channel.trouble:
                    raise self._channel.trouble
                size = min(self._to_guest, len(view), FRAME_MAX)
            if size:
                self.send(Kind.INPUT, bytes(view[:size]))
            view = view[size:]

    def feed(self, parts: Iterable[bytes]) -> None:
        """Writes all parts and then the end of input, from a thread of its own: output has to be taken meanwhile.

        What goes wrong with the channel is told where the output is taken. Parts that cannot be read end the command
        by SIGKILL, lest it takes what came so far for all.
        """

        def write_all() -> None:
            with contextlib.suppress(HarnessError):
                try:
                    for part in parts:
                        self.write(part)
                        if self.ended:
                            return
                    self.end_input()
                except (OSError, ValueError):
                    self.signal(signal.SIGKILL)

        threading.Thread(target=write_all, name="stdin", daemon=True).start()

    def end_input(self) -> None:
        self.send(Kind.INPUT, b"")

    def signal(self, number: int) -> None:
        """To every process of the command."""
        self.send(Kind.SIGNAL, word(number))

    def resize(self, rows: int, columns: int) -> None:
        self.send(Kind.RESIZE, struct.pack("<HH", min(rows, 9999), min(columns, 9999)))

    def abandon(self) -> None:
        """The one it was relayed for is gone: kills the command, and takes its output from now on."""
        self.signal(signal.SIGKILL)
        self._relayed = False
        self.credit(WINDOW - self._from_guest)

    def send(self, kind: Kind, payload: bytes) -> None:
        """A frame of this session as it is. ValueError: input beyond the window."""
        if kind is Kind.INPUT:
            with self._channel.changed:
                self._to_guest -= len(payload)
            if self._to_guest < 0:
                raise ValueError("input beyond the window")
        if not self.ended:
            self._channel.send(kind, self.id, payload)
