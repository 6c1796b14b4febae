"""The guest's end of a control channel, played by a test: well-behaved or hostile."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from harness.frames import VERSION, Command, Decoder, Frame, Kind, encode, word

COMMAND = Command(["true"], {}).encode()


class GuestEnd:
    """Reads and sends frames, blocking; a read that takes seconds fails the test."""

    def __init__(self) -> None:
        self.theirs, self.ours = socket.socketpair()
        self.ours.settimeout(5)
        self._frames = self._decode()

    def _decode(self) -> Iterator[Frame]:
        decoder = Decoder()
        while part := self.ours.recv(1 << 16):
            yield from decoder.feed(part)

    def read(self) -> Frame:
        return next(self._frames)

    def expect(self, kind: Kind) -> Frame:
        frame = self.read()
        assert frame.kind is kind
        return frame

    def send(self, kind: Kind, session: int = 0, payload: bytes = b"") -> None:
        self.ours.sendall(encode(kind, session, payload))

    def hello(self) -> None:
        self.send(Kind.HELLO, 0, word(VERSION))

    def exit(self, session: int, code: int = 0, number: int = 0) -> None:
        self.send(Kind.EXIT, session, word(number) + word(code))

    def close(self) -> None:
        self.ours.close()
