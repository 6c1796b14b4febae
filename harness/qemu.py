"""One QEMU: its command line, its process, its directory. What runs inside is harness.guest's business."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness import accel, logs, proc
from harness.accel import QEMU, Accel
from harness.cache import work_dir
from harness.errors import LabError, ToolError, UsageError
from harness.qmp import Monitor
from harness.topology import Topology

PORT = "harness.control"  # harness/guest/guest.h
CONSOLE = "console.log"
KEPT = 20  # directories of guests that are gone: their console is what an error refers to
MAX_CPUS = 16  # CONFIG_NR_CPUS
LEAST_MB = 128
# ignore_loglevel: a program in the guest cannot quieten the console, which is what splats are looked for on.
# panic=-1 and -no-reboot: a panic ends QEMU. printk.devkmsg: the marks that order the log are never rate-limited.
# tsc=reliable: no watchdog that takes a starved virtual processor for a bad clock. no_timer_check: no panic at boot
# because the timer did not tick while the host gave the processor no time. unknown_nmi_panic, panic_sys_info: a kernel
# that hangs tells where when it is sent an NMI (harness.health).
COMMAND_LINE = (
    "console=ttyS0,115200 ignore_loglevel panic=-1 printk.devkmsg=on random.trust_cpu=on tsc=reliable no_timer_check"
    " unknown_nmi_panic panic_sys_info=all_bt,blocked_tasks"
)


@dataclass(frozen=True)
class Machine:
    """What is booted, and on what. append: more words for the kernel's command line.

    counted: the guest's clock counts instructions, one nanosecond (and one tick of the TSC) each.
    disks: raw images, read-only in the guest: /dev/vda and so on.
    """

    kernel: Path
    initramfs: Path
    topology: Topology
    memory_mb: int
    cpus: int
    accel: Accel
    append: str = ""
    counted: bool = False
    disks: tuple[Path, ...] = ()
    program: tuple[str, ...] = (QEMU,)

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= MAX_CPUS:
            raise UsageError(f"a guest has 1 to {MAX_CPUS} processors, not {self.cpus}")
        if self.memory_mb < LEAST_MB:
            raise UsageError(f"a guest needs {LEAST_MB} MB or more, not {self.memory_mb}")
        if self.counted and (self.cpus != 1 or self.accel.name != "tcg"):
            # Processors that take turns would all go into one count.
            raise UsageError("instructions are counted for one processor, and in emulation (tcg) only")
        if self.topology.emulated and self.accel.name != "tcg":
            raise UsageError(f"topology {self.topology.name} in emulation (tcg) only: {self.topology.emulated}")


def arguments(machine: Machine, console: Path, channel: int, monitor: int) -> list[str]:
    """QEMU's command line. console: where the serial line goes; channel, monitor: connected sockets, for the control
    port and for QEMU's own commands."""
    words = " ".join(filter(None, (COMMAND_LINE, machine.topology.command_line, machine.append)))
    return [
        *machine.program,
        *("-name", "guest,debug-threads=on"),  # threads have names, so that a processor's can be found
        *("-machine", accel.MACHINE + machine.topology.machine),
        *("-accel", machine.accel.name),
        *(("-icount", "shift=0") if machine.counted else ()),
        *("-cpu", accel.CPU),
        *("-smp", f"cpus={machine.cpus},sockets=1,cores={machine.cpus},threads=1"),
        *("-kernel", str(machine.kernel)),
        *("-initrd", str(machine.initramfs)),
        *("-append", words),
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        *("-display", "none"),
        *("-chardev", f"file,id=console,path={_escaped(console)}"),
        *("-serial", "chardev:console"),
        *("-chardev", f"socket,id=control,fd={channel}"),
        *("-chardev", f"socket,id=monitor,fd={monitor}"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-device", "virtio-serial-pci"),
        *("-device", f"virtserialport,chardev=control,name={PORT}"),
        *("-device", "virtio-rng-pci"),
        *(word for number, disk in enumerate(machine.disks) for word in _disk(number, disk)),
        # Last: a device of above would go to the first bus that there is, which may then be one behind CXL.
        *machine.topology.arguments(machine.memory_mb),
    ]


def _disk(number: int, image: Path) -> list[str]:
    drive = f"file={_escaped(image)},if=none,id=disk{number},format=raw,readonly=on"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk{number}"]


def _escaped(path: Path) -> str:
    """QEMU's option lists end at a comma; a doubled one is a comma."""
    return str(path).replace(",", ",,")


class RunDirectory:
    """A directory of one guest below .work/run, locked while its owner lives."""

    def __init__(self) -> None:
        runs = work_dir("run")
        _prune(runs)
        self.path = Path(tempfile.mkdtemp(dir=runs, prefix="guest-"))
        self._lock: BinaryIO = (self.path / "lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def console(self) -> Path:
        return self.path / CONSOLE

    @property
    def log(self) -> Path:
        """What QEMU itself said."""
        return self.path / "qemu.log"

    def close(self) -> None:
        self._lock.close()


def live(run: Path) -> bool:
    """Whether the process that made this directory still holds it."""
    try:
        with (run / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _prune(runs: Path) -> None:
    """Keeps the newest ones of guests that are gone."""
    found: list[tuple[float, Path]] = []
    for run in runs.glob("guest-*"):
        with contextlib.suppress(FileNotFoundError):  # another run prunes, too
            found.append((run.stat().st_mtime, run))
    gone = [run for _, run in sorted(found, reverse=True) if not live(run)]
    for run in gone[KEPT:]:
        logs.store(run / CONSOLE, run.name)
        shutil.rmtree(run, ignore_errors=True)


class Qemu:
    """A running QEMU. `channel` is our end of the control port, `monitor` takes QEMU's own commands. Ends with its
    laboratory, however that ends."""

    def __init__(self, machine: Machine, run: RunDirectory) -> None:
        self.run = run
        self.channel, theirs = socket.socketpair()
        commands, taken = socket.socketpair()
        self.monitor = Monitor(commands)
        argv = arguments(machine, run.console, theirs.fileno(), taken.fileno())
        run.log.write_text(shlex.join(argv) + "\n")
        run.console.touch()
        try:
            with run.log.open("ab") as log:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[theirs.fileno(), taken.fileno()],
                    start_new_session=True,
                    preexec_fn=proc.die_with_parent,
                )
        except FileNotFoundError as error:
            self.channel.close()
            self.monitor.close()
            raise ToolError(f"{argv[0]} is not installed", hint="./lab doctor --fix") from error
        finally:
            theirs.close()
            taken.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self, patience: float = 0.0) -> int | None:
        """QEMU's exit code (a signal: negative), None while it runs after `patience` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        return self._process.poll()

    def failure(self) -> LabError | None:
        """What is wrong if QEMU ended by itself otherwise than by a guest that switches off or resets."""
        code = self.ended()
        if code is None or code == 0:
            return None
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        said = self.run.log.read_text(errors="replace").splitlines()[1:]
        last = f": {said[-1]}" if said else ""
        return LabError(f"QEMU ended with {how}{last}", log=self.run.log, hint="harness doctor")

    def stop(self) -> None:
        """QEMU is gone when this returns. A guest under test has nothing to lose, so it is not asked."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.channel.close()
        self.monitor.close()
        self.run.close()
