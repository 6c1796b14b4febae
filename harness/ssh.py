"""One command over ssh: exact exit code, both streams apart, a time-out, and a host key that is checked."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import paramiko

from harness.errors import LabError, LabTimeout

BANNER = 3.0  # seconds for the server's first words
POLL = 0.02  # seconds between looks at a quiet channel
DRAIN = 2.0  # seconds that output is waited for after the exit code, if a process left behind keeps the pipe
ALIVE = 30.0  # seconds in which a guest that is busy, but not dead, runs `true`
CHUNK = 1 << 16

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # it logs what it raises as well


class Refused(LabError):
    """Nobody answers there (yet)."""


@dataclass(frozen=True)
class Place:
    """Where to log in. key: our private key; host_key: the server's public key, lest somebody else is there."""

    host: str
    port: int
    user: str
    key: Path
    host_key: Path

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


class Connection:
    """A login. Use as a context, or close it."""

    def __init__(self, client: paramiko.SSHClient, place: Place) -> None:
        self._client, self._place = client, place

    @classmethod
    def open(cls, place: Place, timeout: float = 10.0) -> Connection:
        """Logs in; Refused where nobody answers, LabError if it is not who we expect or does not let us in."""
        _await_banner(place)
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        kind, encoded = place.host_key.read_text().split()[:2]
        name = f"[{place.host}]:{place.port}"
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {kind} {encoded}")
        assert entry is not None and entry.key is not None, f"{place.host_key} is no public key"
        client.get_host_keys().add(name, kind, entry.key)
        try:
            client.connect(
                place.host,
                place.port,
                place.user,
                key_filename=str(place.key),
                allow_agent=False,
                look_for_keys=False,
                timeout=timeout,
                banner_timeout=BANNER,
                auth_timeout=ALIVE,
            )
        except (paramiko.AuthenticationException, paramiko.BadHostKeyException) as error:
            client.close()
            raise LabError(f"{place} does not let us in: {error}") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            client.close()
            raise Refused(f"{place} does not answer: {error}") from error
        return cls(client, place)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def run(self, argv: Sequence[str], timeout: float, stdout: BinaryIO, stderr: BinaryIO) -> int:
        """Runs a command without input; answers its exit code, 128 + N if signal N ended it.

        LabTimeout after `timeout` seconds, LabError if the connection breaks.
        """
        deadline = time.monotonic() + timeout
        try:
            channel = self._session()
            # The shell stays and waits: the protocol tells a signal's name, paramiko tells nothing.
            channel.exec_command(f"{shlex.join(argv)}; exit $?")
            channel.shutdown_write()
            self._pass_on(channel, deadline, stdout, stderr)
            code = channel.recv_exit_status()
        except (OSError, EOFError, paramiko.SSHException) as error:
            if isinstance(error, BrokenPipeError):
                raise  # our own stdout: whoever read it went away
            raise LabError(f"the connection to {self._place} broke: {error}") from error
        if code < 0:
            raise LabError(f"{self._place} ended {argv[0]} without an exit code")
        return code

    def alive(self) -> bool:
        """Whether a new command gets through: False says that the other side is dead or hangs."""
        with contextlib.suppress(LabError, OSError, EOFError, paramiko.SSHException):
            channel = self._session()
            channel.exec_command("true")
            return channel.status_event.wait(ALIVE) and channel.exit_status == 0
        return False

    def _session(self) -> paramiko.Channel:
        transport = self._client.get_transport()
        if transport is None or not transport.is_active():
            raise LabError(f"the connection to {self._place} is gone")
        return transport.open_session(timeout=ALIVE)

    def _pass_on(self, channel: paramiko.Channel, deadline: float, stdout: BinaryIO, stderr: BinaryIO) -> None:
        last = time.monotonic()
        while not channel.closed:
            if _pump(channel, stdout, stderr):
                last = time.monotonic()
                continue
            if channel.exit_status_ready() and (channel.eof_received or time.monotonic() - last > DRAIN):
                break
            if time.monotonic() > deadline:
                channel.close()
                raise LabTimeout("the command did not end in time", hint="give it more: --timeout SECONDS")
            time.sleep(POLL)
        while _pump(channel, stdout, stderr):
            pass


def _await_banner(place: Place) -> None:
    """Refused unless an ssh server speaks there. QEMU accepts any connection, and drops it if no guest is behind."""
    try:
        with socket.create_connection((place.host, place.port), BANNER) as probe:
            said = probe.recv(4)
    except OSError as error:
        raise Refused(f"{place} does not answer: {error}") from error
    if said != b"SSH-":
        raise Refused(f"no ssh server answers at {place}")


def _pump(channel: paramiko.Channel, stdout: BinaryIO, stderr: BinaryIO) -> bool:
    """Passes on what has arrived; False if that was nothing."""
    moved = False
    if channel.recv_ready():
        stdout.write(channel.recv(CHUNK))
        stdout.flush()
        moved = True
    if channel.recv_stderr_ready():
        stderr.write(channel.recv_stderr(CHUNK))
        stderr.flush()
        moved = True
    return moved
