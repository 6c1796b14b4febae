"""The person's terminal, lent to a command in the guest: raw, so that Ctrl-C is the guest's, and always given back."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Sequence

from harness.channel import Session
from harness.errors import HarnessError
from harness.frames import Kind
from harness.guest import Guest

LEAVE = 0x1D  # Ctrl-]: a guest that hangs takes no Ctrl-C
TICK = 0.2


def attended() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def interact(guest: Guest, argv: Sequence[str]) -> int | None:
    """Runs a command on the terminal until it ends (its exit code) or the person leaves it by Ctrl-] (None)."""
    env = {"TERM": os.environ.get("TERM", "dumb")}
    session = guest.open(argv, env=env, terminal=_size())
    left = threading.Event()
    with _raw(), _resized(session):
        typing = threading.Thread(target=_type, args=(session, left), name="typing", daemon=True)
        typing.start()
        try:
            while not left.is_set():
                frame = guest.take(session)
                if frame and frame.kind is Kind.EXIT:
                    return int.from_bytes(frame.payload[4:], "little")
                if frame:
                    _show(frame.payload)
        finally:
            left.set()
            typing.join()
    return None


def _type(session: Session, left: threading.Event) -> None:
    with contextlib.suppress(HarnessError):  # told where output is taken
        while not left.is_set():
            if not select.select([sys.stdin], [], [], TICK)[0]:
                continue
            typed = os.read(sys.stdin.fileno(), 4096)
            if not typed or LEAVE in typed:
                left.set()
                return
            session.write(typed)


def _show(part: bytes) -> None:
    while part:
        part = part[os.write(sys.stdout.fileno(), part) :]


def _size() -> tuple[int, int]:
    size = os.get_terminal_size(sys.stdout.fileno())
    return size.lines, size.columns


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resized(session: Session) -> Iterator[None]:
    def tell(*_: object) -> None:
        # Not from here: the lock of the channel may be held by the very code that this signal interrupted.
        threading.Thread(target=lambda: _tell(session), name="resize", daemon=True).start()

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _tell(session: Session) -> None:
    with contextlib.suppress(HarnessError, OSError):
        session.resize(*_size())
