"""A guest whose root is the host's own file system, read-only with overlays for what it writes: virtme-ng's speciality.

vng knows how to make such a guest, but has no time-outs, no handle on it and no log, and in a container its script
mode ends with 255 whatever happened inside. So it is asked for QEMU's arguments (--dry-run); the process, its console
and its end are ours. The keys for ssh are made below the work area, never in the user's home.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness import accel, console, emulator, proc, progress, symbols, topology
from harness.cache import locked, work_dir
from harness.errors import GuestFault, LabError, LabTimeout, ToolError
from harness.kernel import Kernel
from harness.qemu import RunDirectory
from harness.ssh import Connection, Place, Refused

BOOT = 600.0  # seconds from QEMU's start to a login; 15 under emulation on an idle machine, others may be at work
RETRY = 0.3  # seconds between attempts to log in
PORTS = 5  # free ports tried: another process may take one before QEMU does
USER_SPACE = "virtme-ng-init:"  # the first words from user space
# vng's place for kernel messages is a virtio console, which misses the first second of the boot. A second serial port
# misses nothing, and works in a panic.
THEIRS, OURS = "console=hvc0", "console=ttyS1,115200"
# quiet is vng's idea; panic=-1 with QEMU's -no-reboot: a panic is the end, not the begin of another boot.
APPEND = "ignore_loglevel panic=-1 printk.devkmsg=on random.trust_cpu=on tsc=reliable"
# The address that QEMU's user network forwards to. vng has a DHCP client put it on eth0, which udev may rename
# between the client's steps: then the guest has no network. The kernel is done before either starts.
DHCP, ADDRESS = "virtme.dhcp", "ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off"
READ = 8 << 20  # bytes of a console that are looked at, from its end
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Machine:
    """What to boot, and how big."""

    kernel: Kernel
    memory_mb: int
    cpus: int


def shell(kernel: Kernel, *, memory_mb: int = 1024, cpus: int = 2) -> int:
    """An interactive shell on this process's terminal until it ends; answers QEMU's exit code.

    The kernel's messages go to a log, not between the person's lines; GuestFault if there was a splat among them.
    """
    with contextlib.closing(RunDirectory()) as run:
        argv = command(Machine(kernel, memory_mb, cpus), run.console)
        # Not in a session of its own: QEMU has to keep the terminal.
        with _terminal(), subprocess.Popen(argv, preexec_fn=proc.die_with_parent) as process:
            try:
                code = process.wait()
            finally:
                process.kill()
        check(run.console, kernel)
    return code


def ssh_exec(
    kernel: Kernel,
    argv: Sequence[str],
    *,
    memory_mb: int = 1024,
    cpus: int = 2,
    timeout: float = 600.0,
    stdout: BinaryIO | None = None,
    stderr: BinaryIO | None = None,
) -> int:
    """Runs one command as root in a fresh guest, over ssh; answers its exit code (128 + N if signal N ended it).

    timeout: seconds for the command alone. stdout, stderr: where its bytes go, by default this process's own.
    GuestFault: the kernel did not come up, hangs, or printed a splat, even if the command succeeded.
    """
    with start(Machine(kernel, memory_mb, cpus)) as guest:
        code = guest.run(argv, timeout, stdout or sys.stdout.buffer, stderr or sys.stderr.buffer)
    guest.check()
    return code


class HostRoot:
    """A running guest with an ssh server on a port of the loopback interface."""

    def __init__(self, kernel: Kernel, process: subprocess.Popen[bytes], place: Place, run: RunDirectory) -> None:
        self._kernel, self._process, self._place = kernel, process, place
        self.log, self._said = run.console, run.log
        self._connection: Connection | None = None

    def log_in(self) -> bool:
        """Waits until it lets us in; False if QEMU did not get its port."""
        deadline = time.monotonic() + BOOT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return self._ended()
            with contextlib.suppress(Refused):
                with Connection.open(self._place) as first:
                    self._plain_shell(first)
                self._connection = Connection.open(self._place)
                return True
            time.sleep(RETRY)
        self.check()
        if USER_SPACE not in _read(self.log):
            cause = f"the kernel did not get to user space within {BOOT:.0f} s"
            raise GuestFault(cause, log=self.log, hint=f"less {self.log}")
        raise LabTimeout(f"the guest's ssh server did not answer within {BOOT:.0f} s", log=self.log)

    def run(self, argv: Sequence[str], timeout: float, stdout: BinaryIO, stderr: BinaryIO) -> int:
        """Runs a command, passes its streams on, answers its exit code."""
        assert self._connection is not None, "log_in comes first"
        try:
            return self._connection.run(argv, timeout, stdout, stderr)
        except LabError as error:
            dead = self._process.poll() is not None or not self._connection.alive()
            self.check()  # a splat says more than that the line went dead
            if dead:
                raise GuestFault(f"the guest is dead or hangs: {error.cause}", log=self.log) from error
            raise

    def check(self) -> None:
        """GuestFault if the kernel printed a splat."""
        check(self.log, self._kernel)

    def _plain_shell(self, connection: Connection) -> None:
        """Gives root a shell without startup files, for later logins: the host's .bashrc has no say in our output."""
        said = io.BytesIO()
        code = connection.run(["usermod", "--shell", "/bin/sh", "root"], BOOT, said, said)
        if code != 0:
            raise LabError(f"usermod failed in the guest: {said.getvalue()[:500]!r}", log=self.log)

    def _ended(self) -> bool:
        self.check()
        said = _read(self._said)
        if "Could not set up host forwarding rule" in said:
            return False
        code = self._process.returncode
        if USER_SPACE in _read(self.log):
            raise GuestFault(f"the guest ended while it booted (QEMU: {code})", log=self.log)
        raise LabError(f"QEMU ended with {code}: {said.strip()[-500:]}", log=self._said)


@contextlib.contextmanager
def start(machine: Machine) -> Iterator[HostRoot]:
    """A guest that has let us in; it ends with the context. Its logs stay in its run directory."""
    with contextlib.closing(RunDirectory()) as run:
        for _ in range(PORTS):
            with contextlib.ExitStack() as stack:
                guest = _launch(machine, run, stack)
                with _shown(run.console):
                    logged_in = guest.log_in()
                if logged_in:
                    yield guest
                    return
        raise LabError(f"{PORTS} free ports were taken by others before QEMU had them", log=run.log)


def _shown(log: Path) -> contextlib.AbstractContextManager[object]:
    """Progress for a person; elsewhere stderr is the command's own."""
    if progress.stderr.is_terminal:
        return progress.step("boot with the host's root", log)
    return contextlib.nullcontext()


def _launch(machine: Machine, run: RunDirectory, stack: contextlib.ExitStack) -> HostRoot:
    port = _free_port()
    argv = command(machine, run.console, port)
    run.console.write_bytes(b"")
    output = stack.enter_context(run.log.open("wb"))  # the guest's terminal, and QEMU's own words
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=proc.die_with_parent,
    )
    stack.callback(proc.kill_group, process)
    keys = _home() / ".cache" / "virtme-ng" / ".ssh"
    host_key = keys / "etc" / "ssh" / "ssh_host_ed25519_key.pub"
    place = Place(LOOPBACK, port, "root", (keys / "id_virtme",), host_key)
    return HostRoot(machine.kernel, process, place, run)


def command(machine: Machine, log: Path, ssh_port: int | None = None) -> list[str]:
    """QEMU's argument list for the guest, its kernel messages going to `log`; makes the keys if a port is given."""
    vng = Path(sys.executable).with_name("vng")
    if not vng.exists():
        raise ToolError("virtme-ng is not installed beside this Python", hint="./lab doctor --fix")
    ask = [str(vng), "--dry-run", "--run", str(machine.kernel.image), "--user", "root", "--force-9p"]
    ask += ["--memory", f"{machine.memory_mb}M", "--cpus", str(machine.cpus), "--append", APPEND]
    ask += ["--disable-kvm"] if accel.probe(cpu="host").name == "tcg" else []
    ask += ["--ssh", str(ssh_port), "--ssh-tcp"] if ssh_port else []
    path = f"{vng.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # where it looks for its own parts
    with locked("hostroot", shared=False):
        said = proc.run(ask, env={"HOME": str(_home()), "PATH": path}, timeout=120).stdout
    qemu = emulator.program(emulator.least(topology.named("uma"), machine.cpus))
    return [*qemu, *_ours(said, log)[1:]]


def _ours(said: str, log: Path) -> list[str]:
    """vng's command with our console, processor and address, and an end instead of a reboot."""
    argv = shlex.split(next((line for line in said.splitlines() if " -append " in line), ""))
    if not any(THEIRS in argument for argument in argv):
        raise ToolError(f"vng --dry-run says nothing we know: {said.strip()[-300:]}", hint="./lab doctor --fix")
    chardev = f"file,id=kernel-log,path={str(log).replace(',', ',,')}"
    serial = ["-chardev", chardev, "-serial", "chardev:kernel-log"]
    swapped = {THEIRS: OURS, DHCP: ADDRESS}
    for theirs, ours in swapped.items():
        argv = [argument.replace(theirs, ours) for argument in argv]
    return [*(accel.CPU if argument == "max" else argument for argument in argv), *serial, "-no-reboot"]


def check(log: Path, kernel: Kernel) -> None:
    """GuestFault if the kernel printed a splat."""
    if splats := console.scan(_read(log)):
        raise GuestFault(symbols.told(splats, kernel.vmlinux), log=log, hint=f"less {log}")


def _read(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - READ))
            return stream.read(READ).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _home() -> Path:
    """What vng takes for the user's home: its keys are below."""
    return work_dir("run", "hostroot")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _terminal() -> Iterator[None]:
    """Gives the terminal back as it was: QEMU, killed, leaves it raw."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
