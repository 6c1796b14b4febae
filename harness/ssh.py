"""Commands and files over ssh: exact exit codes, both streams apart, a time-out, and a host key that is checked."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import paramiko

from harness import proc
from harness.cache import new_file
from harness.errors import LabError, LabTimeout

PORT = 22
KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "~/.ssh/known_hosts")  # of a host's keys of one type the last counts
BANNER = 3.0  # seconds for the server's first words, of a guest that boots: it is asked again
HANDSHAKE = 10.0  # seconds for the keys of a connection
POLL = 0.02  # seconds between looks at a quiet channel
DRAIN = 2.0  # seconds that output is waited for after the exit code, if a process left behind keeps the pipe
ALIVE = 30.0  # seconds in which a guest that is busy, but not dead, runs `true`
CHUNK = 1 << 16
READS = 64  # of a file's parts that are asked for at a time, as sftp does
# Its input is the connection: when that ends, so does the command (its process group, if sshd made it one), which
# otherwise would stay behind after a time-out. The shell waits for it: the protocol tells a signal's name, paramiko
# tells nothing.
LEASH = (
    "exec 3<&0 </dev/null; "
    "{{ read -r _ <&3; kill -9 -$$ || kill -9 $$; }} >/dev/null 2>&1 & "
    "{} 3<&-; code=$?; kill $!; exit $code"
)

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # it logs what it raises as well


class Refused(LabError):
    """Nobody answers there (yet)."""


@dataclass(frozen=True)
class Place:
    """Where to log in.

    keys: private keys to try; host_key: the server's public key, lest somebody else is there. Without host_key it is as
    if the user logged in: by their agent, keys and known hosts.
    """

    host: str
    port: int
    user: str
    keys: tuple[Path, ...] = ()
    host_key: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}"

    @property
    def known_as(self) -> str:
        """Its name among known hosts."""
        return self.host if self.port == PORT else f"[{self.host}]:{self.port}"

    @property
    def login(self) -> str:
        """The command with which a person logs in there."""
        port = "" if self.port == PORT else f"-p {self.port} "
        return f"ssh {port}{self.user}@{self.host}"


class Connection:
    """A login. Use as a context, or close it."""

    def __init__(self, client: paramiko.SSHClient, place: Place) -> None:
        self._client, self._place = client, place

    @classmethod
    def open(cls, place: Place, banner: float = BANNER) -> Connection:
        """Logs in; Refused where nobody answers, LabError if it is not who we expect or does not let us in.

        banner: seconds for an answer, and for the server's first words.
        """
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        for key in _host_keys(place):
            client.get_host_keys().add(place.known_as, key.get_name(), key)
        with contextlib.ExitStack() as failed:
            failed.callback(client.close)
            answered = failed.enter_context(_answered(place, banner))
            if not client.get_host_keys():
                hint = f"`{place.login}` once, to check its key and keep it"
                raise LabError(f"the host key of {place} is not known", hint=hint)
            _log_in(client, answered, place)
            failed.pop_all()
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
            with contextlib.closing(self._session()) as channel:
                # In a shell of our own: the login's may be another kind.
                channel.exec_command(shlex.join(["exec", "sh", "-c", LEASH.format(shlex.join(argv))]))
                self._pass_on(channel, deadline, stdout, stderr)
                code = channel.recv_exit_status()
        except (OSError, EOFError, paramiko.SSHException) as error:
            if isinstance(error, BrokenPipeError):
                raise  # our own stdout: whoever read it went away
            raise LabError(f"the connection to {self._place} broke: {error}") from error
        if code < 0:
            raise LabError(f"{self._place} ended {argv[0]} without an exit code")
        return code

    def push(self, local: Path, there: str) -> None:
        """Copies a file there, permissions included; a relative path begins where the login does."""
        with self._sftp(f"{local} cannot be copied to {there} of {self._place}") as sftp:
            sftp.put(str(local), there)
            sftp.chmod(there, stat.S_IMODE(local.stat().st_mode))

    def pull(self, there: str, local: Path) -> None:
        """Copies a file from there, whole or not at all."""
        with new_file(local) as aside, self._sftp(f"{there} of {self._place} cannot be copied to {local}") as sftp:
            sftp.get(there, str(aside), max_concurrent_prefetch_requests=READS)
            aside.chmod(0o644)

    @contextlib.contextmanager
    def _sftp(self, failed: str) -> Iterator[paramiko.SFTPClient]:
        try:
            with contextlib.closing(self._session()) as channel:
                channel.settimeout(ALIVE)
                channel.invoke_subsystem("sftp")
                yield paramiko.SFTPClient(channel)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise LabError(f"{failed}: {str(error) or type(error).__name__}") from error

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
                raise LabTimeout("the command did not end in time", hint="give it more: --timeout SECONDS")
            time.sleep(POLL)
        while _pump(channel, stdout, stderr):
            pass


def _answered(place: Place, timeout: float) -> socket.socket:
    """A connection to an ssh server, else Refused. QEMU accepts any, and drops it if no guest is behind."""
    with contextlib.ExitStack() as failed:
        try:
            answered = failed.enter_context(socket.create_connection((place.host, place.port), timeout))
            said = answered.recv(4, socket.MSG_PEEK)
        except socket.gaierror as error:
            raise Refused(f"the name {place.host} has no address: {error.strerror}") from error
        except OSError as error:
            raise Refused(f"{place} does not answer: {error.strerror or error}") from error
        if said != b"SSH-":
            raise Refused(f"no ssh server answers at {place}")
        failed.pop_all()
    return answered


def _log_in(client: paramiko.SSHClient, answered: socket.socket, place: Place) -> None:
    users_own = place.host_key is None
    try:
        client.connect(
            place.host,
            place.port,
            place.user,
            sock=answered,
            key_filename=[str(key) for key in place.keys],  # type: ignore[arg-type]  # as many as one likes
            allow_agent=users_own,
            look_for_keys=users_own,
            timeout=HANDSHAKE,
            auth_timeout=ALIVE,
        )
    except paramiko.BadHostKeyException as error:
        cause = f"{place} shows another host key than is known: it was set up anew, or is somebody else"
        raise LabError(cause, hint=f"`{place.login}` says which line differs" if users_own else None) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        transport = client.get_transport()
        if isinstance(error, paramiko.AuthenticationException) or (transport and transport.is_active()):
            hint = f"`{place.login}` has to work without a question: see ssh-add, ssh-copy-id"
            raise LabError(f"{place} does not let us in: {error}", hint=hint if users_own else None) from error
        raise Refused(f"{place} does not answer: {error}") from error


def _host_keys(place: Place) -> Iterator[paramiko.PKey]:
    """The keys that the place may show."""
    if place.host_key:
        lines = [f"{place.known_as} {place.host_key.read_text()}"]
    else:
        lines = [line for file in KNOWN_HOSTS for line in _known(place, Path(file).expanduser())]
    found = [line.split() for line in lines]
    revoked = [fields[3] for fields in found if fields[0] == "@revoked"]
    for fields in found:
        if fields[0].startswith("@") or fields[2] in revoked:
            continue
        entry = paramiko.hostkeys.HostKeyEntry.from_line(" ".join(fields))
        if entry is not None and entry.key is not None:
            yield entry.key


def _known(place: Place, file: Path) -> list[str]:
    """The lines about a place. ssh-keygen knows patterns, hashed names and revoked keys; paramiko does not."""
    said = proc.run(["ssh-keygen", "-F", place.known_as, "-f", str(file)], check=False).stdout
    return [line for line in said.splitlines() if not line.startswith("#")]


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
