"""A booted guest: commands with exact exit codes, files in and out, and a kernel that is watched all the while.

    with Guest.start(kernel, topology="hmat") as guest:
        guest.push(Path("program"), "/bin/program")
        result = guest.run(["/bin/program", "--all"], timeout=60)

GuestFault: the kernel did not come up, panicked, hung or printed a splat. LabTimeout: a command ran too long in a
guest that is otherwise well. LabError: QEMU or the channel failed us. On leaving, the console is looked at once more
and QEMU is gone, whatever happened.
"""

from __future__ import annotations

import os
import secrets
import signal
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import emulator, initramfs, qemu
from harness.accel import Accel
from harness.cache import new_file
from harness.channel import Channel, Session
from harness.cxl import Region
from harness.errors import BootHang, GuestFault, HarnessError, LabError, LabTimeout, UsageError
from harness.frames import FRAME_MAX, Command, Frame, Kind
from harness.health import Health
from harness.kernel import Kernel
from harness.progress import say
from harness.qemu import Machine, Qemu
from harness.topology import named
from harness.witness import Witness

BOOT = 300.0  # seconds; emulation on a busy machine, with every checker in the kernel
TIMEOUT = 120.0  # seconds for a command
COPYING = 600.0  # seconds for a file
GRACE = 30.0  # seconds in which SIGKILL must end a command; a kernel that does not manage hangs
TICK = 0.25  # seconds between looks at QEMU and the console
SETTLE = 20.0  # seconds for the console to print what the kernel has logged
MAX_OUTPUT = 64 << 20  # bytes that run() keeps of each stream
MAX_FILE = 4 << 30  # bytes
ENV = {"PATH": "/bin:/sbin:/usr/bin:/usr/sbin", "HOME": "/root", "USER": "root", "TERM": "dumb"}

Sink = Callable[[bytes], object]


@dataclass(frozen=True)
class Result:
    """How a command ended. code: its exit code, 128 + signal if a signal ended it."""

    code: int
    stdout: bytes
    stderr: bytes
    signal: int = 0


class Guest:
    """Made by `start` (a machine of our own), or of a channel to someone else's."""

    def __init__(self, channel: Channel, console: Path, vmlinux: Path, machine: Qemu | None = None) -> None:
        self.console = console  # all that the kernel prints; it stays when the guest is gone
        self.boot_seconds = 0.0
        self.runs_on: Accel | None = None  # None: not a machine of ours
        self.channel = channel
        self.qemu = machine
        self._health = Health(Witness(console), vmlinux, machine)

    @classmethod
    def start(
        cls,
        kernel: Kernel,
        *,
        topology: str = "uma",
        memory_mb: int = 1024,
        cpus: int = 2,
        files: Mapping[str, Path] | None = None,
        append: str = "",
        counted: bool = False,
        disks: Sequence[Path] = (),
        timeout: float = BOOT,
    ) -> Self:
        """Boots the kernel. files: path in the guest -> local file. UsageError: a machine that cannot be.

        counted: one processor (`cpus` is 1), emulated, whose clock and TSC count the instructions it executes.
        disks: raw images, read-only, /dev/vda and so on.
        """
        if kernel.arch != "x86":
            raise UsageError(f"the flavour {kernel.flavour} is no kernel that a machine boots (arch {kernel.arch})")
        memory = named(topology)
        image = initramfs.build(kernel.headers, {**(files or {}), **memory.files})
        program = tuple(emulator.program(emulator.least(memory, cpus)))
        on = emulator.accelerator(memory, counted)
        machine = Machine(kernel.image, image, memory, memory_mb, cpus, on, append, counted, tuple(disks), program)
        try:
            return cls._booted(machine, kernel.vmlinux, timeout)
        except BootHang as fault:
            # The kernel has been seen to wait for ever when it looks for QEMU's CXL devices, one boot in hundreds.
            if not memory.bridges:
                raise
            say(f"{fault.cause}\nlog: {fault.log}\nbooting topology {topology} once more")
            return cls._booted(machine, kernel.vmlinux, timeout)

    @classmethod
    def _booted(cls, machine: Machine, vmlinux: Path, timeout: float) -> Self:
        began = time.monotonic()
        started = Qemu(machine, qemu.RunDirectory())
        guest = cls(Channel(started.channel), started.run.console, vmlinux, started)
        try:
            guest._await_boot(began, timeout)
            guest._bring_up(machine.topology.regions)
        except BaseException:
            guest._close()
            raise
        guest.runs_on = machine.accel
        guest.boot_seconds = time.monotonic() - began
        return guest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            # A splat explains a test that failed; what the guest died of was told already.
            if not self._health.end and not isinstance(error, GuestFault | KeyboardInterrupt):
                self._last_look(error)
        finally:
            self._close()

    # -- commands --

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = TIMEOUT,
        stdin: bytes | Iterable[bytes] = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Result:
        """Runs a command to its end and keeps what it prints. LabError: that was more than MAX_OUTPUT."""
        out, err = bytearray(), bytearray()

        def keep(kept: bytearray, part: bytes) -> None:
            if len(kept) + len(part) > MAX_OUTPUT:
                raise LabError(f"{shown(argv)} printed more than {MAX_OUTPUT >> 20} MB", log=self.console)
            kept += part

        done = self.stream(
            argv,
            lambda part: keep(out, part),
            lambda part: keep(err, part),
            timeout=timeout,
            stdin=stdin,
            env=env,
            cwd=cwd,
        )
        return Result(done.code, bytes(out), bytes(err), done.signal)

    def stream(
        self,
        argv: Sequence[str],
        stdout: Sink,
        stderr: Sink,
        *,
        timeout: float | None = TIMEOUT,
        stdin: bytes | Iterable[bytes] = b"",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Result:
        """Runs a command, handing its output on as it comes; the result's own streams are empty.

        timeout: None waits for ever, for the command, not for a guest that is in trouble.
        """
        session = self.open(argv, env=env, cwd=cwd)
        end = None if timeout is None else time.monotonic() + timeout
        try:
            session.feed([stdin] if isinstance(stdin, bytes) else stdin)
            while True:
                left = TICK if end is None else end - time.monotonic()
                frame = self.take(session, min(TICK, max(0.0, left)))
                if frame and frame.kind is Kind.EXIT:
                    return _result(frame.payload)
                if frame:
                    (stdout if frame.kind is Kind.OUTPUT else stderr)(frame.payload)
                if left <= 0:
                    raise self._overdue(argv, timeout)
        except BaseException as error:
            if not isinstance(error, GuestFault) and not self._health.end:
                self._kill(session, argv)
            raise

    def open(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        terminal: tuple[int, int] | None = None,
    ) -> Session:
        """Starts a command and leaves its streams to the caller, who takes from it by `take` until EXIT."""
        command = Command(argv, {**ENV, **(env or {})}, cwd or "/root", terminal)
        with self._health.explained():
            return self.channel.start(command.encode())

    def take(self, session: Session, wait: float = TICK) -> Frame | None:
        """The session's next frame, None if there is none yet; an error as soon as the guest is in trouble."""
        with self._health.explained():
            frame = session.take(wait)
        if frame is None:
            self._health.look()
        return frame

    def _kill(self, session: Session, argv: Sequence[str]) -> None:
        """Nothing of the command is left when this returns; GuestFault if the kernel cannot do that."""
        end = time.monotonic() + GRACE
        with self._health.explained():
            session.signal(signal.SIGKILL)
        while not session.ended:
            self.take(session)
            if time.monotonic() > end:
                cause = f"the kernel hangs: SIGKILL did not end {shown(argv)} within {GRACE:.0f} s"
                raise self._health.hangs(cause)

    def _overdue(self, argv: Sequence[str], timeout: float | None) -> LabTimeout:
        cause = f"the command did not end within {timeout:g} s: {shown(argv)}"
        return LabTimeout(cause, log=self.console, hint="a longer time-out, or look at what it waits for")

    # -- files --

    def push(self, local: Path, guest: str, *, timeout: float = COPYING) -> None:
        """Copies a local file into the guest, permissions included; directories on the way are made."""
        path = "/" + initramfs.guest_path(guest)
        try:
            with local.open("rb") as stream:
                mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o777
                content = iter(lambda: stream.read(FRAME_MAX), b"")
                done = self.run(["/init", "put", f"{mode:o}", path], timeout=timeout, stdin=content)
        except OSError as error:
            raise UsageError(f"{local} cannot be read: {error.strerror}") from error
        self._copied(done.code, done.stderr, f"{local} cannot be put into the guest")

    def pull(self, guest: str, local: Path, *, timeout: float = COPYING, limit: int = MAX_FILE) -> None:
        """Copies a file of the guest to `local`, whole or not at all. LabError: not there, or over `limit` bytes."""
        path = "/" + initramfs.guest_path(guest)
        complaint = bytearray()
        with new_file(local) as aside, aside.open("wb") as stream:

            def take(part: bytes) -> None:
                if stream.tell() + len(part) > limit:
                    raise LabError(f"{path} in the guest has more than {limit} bytes", log=self.console)
                stream.write(part)

            done = self.stream(["/init", "get", path], take, complaint.extend, timeout=timeout)
            self._copied(done.code, bytes(complaint), f"{path} cannot be had from the guest")
            stream.flush()
            aside.chmod(0o644)

    def _copied(self, code: int, stderr: bytes, failed: str) -> None:
        if code != 0:
            said = stderr.decode(errors="replace").strip()[:300]
            raise LabError(f"{failed}: {''.join(c if c.isprintable() else '?' for c in said)}", log=self.console)

    # -- the kernel's health --

    def check(self) -> None:
        """GuestFault if the console shows a splat that was not told before."""
        self._settle()
        self._health.judge()

    def _settle(self) -> None:
        """Waits until all that the kernel has logged so far is on the console, which it may print with a delay."""
        mark = f"harness: mark {secrets.token_hex(8)}"
        start = self._health.witness.size
        done = self.run(["/init", "mark", mark], timeout=SETTLE)
        if done.code == 0 and not self._health.witness.holds(mark.encode(), start, SETTLE):
            raise self._health.hangs(f"the kernel has not printed what it logged {SETTLE:.0f} s ago")

    def _last_look(self, under_way: BaseException | None) -> None:
        try:
            self.check()
        except GuestFault as fault:
            raise fault from under_way
        except HarnessError:
            self._health.judge()  # it cannot be asked any more; what it has said remains
            if under_way is None:
                raise

    def _await_boot(self, began: float, timeout: float) -> None:
        up = False
        while not up:
            with self._health.explained():
                greeted = self.channel.greeted(TICK)
            up = self._health.await_boot(greeted, began, timeout)

    def _bring_up(self, regions: Sequence[Region]) -> None:
        """The memory of all devices is there when this returns, as nodes in the order of the devices."""
        for region in regions:
            done = self.run(region.command)
            if done.code != 0:
                said = done.stderr.decode(errors="replace").strip()[:300]
                raise LabError(f"no memory behind CXL: {said}", log=self.console)

    def _close(self) -> None:
        self.channel.close()
        if self.qemu:
            self.qemu.stop()


def shown(argv: Sequence[str]) -> str:
    """A command for a message."""
    return " ".join(argv)[:200]


def _result(payload: bytes) -> Result:
    number, code = (int.from_bytes(payload[at : at + 4], "little") for at in (0, 4))
    return Result(code & 0xFF, b"", b"", number)
