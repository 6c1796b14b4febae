"""A guest that one process boots and others use: `harness exec` in the guest of `harness boot`.

The owner listens on a socket in the guest's directory and passes frames on in both directions, session ids translated.
Credit is passed on, too, so one client that does not read stalls nobody but itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import qemu
from harness.cache import new_file, work_dir
from harness.channel import Channel, Session
from harness.errors import HarnessError
from harness.frames import VERSION, Decoder, Kind, encode, word
from harness.guest import Guest

SOCKET = "share.sock"
ABOUT = "share.json"
PATIENCE = 5.0  # seconds for a living owner to greet
TICK = 1.0


@dataclass(frozen=True)
class About:
    """What a shared guest is: who wants another kernel, topology or size boots a guest of his own."""

    kernel: str
    topology: str
    memory_mb: int
    cpus: int


@contextlib.contextmanager
def shared(guest: Guest, about: About) -> Iterator[None]:
    """Others of this checkout may use the guest until the block ends; their commands are killed then."""
    run = guest.console.parent
    with socket.socket(socket.AF_UNIX) as listener, _reachable(run) as place:
        listener.bind(f"{place}/{SOCKET}")
        listener.listen()
        with new_file(run / ABOUT) as aside:
            aside.write_text(json.dumps(asdict(about)))
        threading.Thread(target=_accept, args=(listener, guest.channel), name="share", daemon=True).start()
        try:
            yield
        finally:
            (run / ABOUT).unlink(missing_ok=True)
            listener.shutdown(socket.SHUT_RDWR)


def find(wanted: About, vmlinux: Path, *, any_size: bool) -> Guest | None:
    """A running guest of this checkout that is what is wanted; any_size: whatever its memory and processors.

    vmlinux: of the wanted kernel.
    """
    for run in sorted(work_dir("run").glob("guest-*")):
        try:
            about = About(**json.loads((run / ABOUT).read_text()))
        except (OSError, ValueError, TypeError):
            continue
        same = (about.kernel, about.topology) == (wanted.kernel, wanted.topology)
        if same and (any_size or about == wanted) and qemu.live(run) and (guest := _attach(run, vmlinux)):
            return guest
    return None


def _attach(run: Path, vmlinux: Path) -> Guest | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        with _reachable(run) as place:
            connection.connect(f"{place}/{SOCKET}")
    except OSError:  # its owner is ending
        connection.close()
        return None
    channel = Channel(connection)
    with contextlib.suppress(HarnessError):
        if channel.greeted(PATIENCE):
            return Guest(channel, run / qemu.CONSOLE, vmlinux)
    channel.close()
    return None


@contextlib.contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    """A short path to a directory: a socket's may have 108 bytes, and a checkout may lie deep."""
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


# -- the owner's side --


def _accept(listener: socket.socket, channel: Channel) -> None:
    with contextlib.suppress(OSError):  # the listener was shut down
        while True:
            client = listener.accept()[0]
            threading.Thread(target=_Client(client, channel).serve, name="client", daemon=True).start()


class _Client:
    """One process that uses the guest."""

    def __init__(self, sock: socket.socket, channel: Channel) -> None:
        self._socket = sock
        self._channel = channel
        self._sending = threading.Lock()
        self._sessions: dict[int, Session] = {}

    def serve(self) -> None:
        with self._socket, contextlib.suppress(OSError, ValueError, HarnessError):
            try:
                self._send(Kind.HELLO, 0, word(VERSION))
                decoder = Decoder()
                while part := self._socket.recv(1 << 18):
                    for frame in decoder.feed(part):
                        self._pass_in(frame.kind, frame.session, frame.payload)
            finally:
                for session in self._sessions.values():
                    if not session.ended:
                        session.abandon()

    def _pass_in(self, kind: Kind, number: int, payload: bytes) -> None:
        if kind is Kind.START and number not in self._sessions:
            session = self._channel.start(payload, relayed=True)
            self._sessions[number] = session
            threading.Thread(target=self._pass_out, args=(number, session), name="relay", daemon=True).start()
        elif kind is Kind.CREDIT:
            self._sessions[number].credit(int.from_bytes(payload, "little"))
        elif kind in (Kind.INPUT, Kind.SIGNAL, Kind.RESIZE):
            self._sessions[number].send(kind, payload)
        else:
            raise ValueError(f"a client sends {kind.name}")

    def _pass_out(self, number: int, session: Session) -> None:
        reachable = True
        try:
            while True:
                frame = session.take(TICK)
                if frame and reachable:
                    try:
                        self._send(frame.kind, number, frame.payload)
                    except OSError:
                        reachable = False  # serve() abandons the session; its output is still to be taken
                if frame and frame.kind is Kind.EXIT:
                    return
        except HarnessError:  # the guest is gone; its owner tells why, the client learns that it is
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self, kind: Kind, number: int, payload: bytes) -> None:
        with self._sending:
            self._socket.sendall(encode(kind, number, payload))
