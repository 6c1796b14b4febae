"""KVM or emulation: KVM only after it has executed 64-bit code under the very -machine and -cpu of the boot.

There are machines whose /dev/kvm opens, makes virtual machines, even runs 16-bit code, and then hangs in long mode or
ends QEMU by an assertion; `-accel kvm:tcg` falls into the same hole. So a small firmware (harness/accel/longmode.S)
computes in 64-bit mode and must report the right result.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from harness import proc
from harness.cache import cache_dir, new_file
from harness.errors import LabTimeout, ToolError

QEMU = "qemu-system-x86_64"
MACHINE = "q35"
CPU = "max,la57=off"
SOURCE = Path(__file__).parent / "accel" / "longmode.S"
KVM = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
GOOD = 2 * 0x2A + 1  # isa-debug-exit: exit code 2n+1 for the n written to the port
PATIENCE = 5.0  # seconds; a good KVM takes 0.1


@dataclass(frozen=True)
class Accel:
    """What guests run on, and why."""

    name: Literal["kvm", "tcg"]
    reason: str


def probe(machine: str = MACHINE, cpu: str = CPU) -> Accel:
    """The accelerator for a boot with these. The verdict holds for one QEMU, host kernel and boot of the host."""
    if not KVM.exists():
        return Accel("tcg", f"this machine has no {KVM}")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Accel("tcg", f"{KVM} may not be opened by this user (group kvm?)")
    known = cache_dir() / "accel" / f"{_key(machine, cpu)}.json"
    try:
        return Accel(**json.loads(known.read_text()))
    except (OSError, ValueError, TypeError):
        found = judge(machine, cpu)
    with new_file(known) as aside:
        aside.write_text(json.dumps(asdict(found)))
    return found


def judge(machine: str, cpu: str) -> Accel:
    """Executes the firmware with KVM now, whatever was found out before."""
    trouble = execute("kvm", machine, cpu)
    if trouble:
        return Accel("tcg", f"{KVM} opens, but {trouble}")
    return Accel("kvm", f"executed 64-bit code on -machine {machine} -cpu {cpu}")


def execute(accel: str, machine: str, cpu: str) -> str:
    """Runs 64-bit code under an accelerator: empty if the result was right, else what happened instead."""
    argv = [
        QEMU,
        *("-machine", machine),
        *("-cpu", cpu),
        *("-accel", accel),
        *("-bios", str(firmware())),
        *("-display", "none"),
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
    ]
    try:
        done = proc.run(argv, timeout=PATIENCE, check=False)
    except LabTimeout:
        return f"a guest in 64-bit mode hangs (no result within {PATIENCE:.0f} s)"
    if done.code == GOOD:
        return ""
    said = "".join(f": {line}" for line in done.stderr.strip().splitlines()[:1])
    return f"QEMU ended with {_ending(done.code)} when it executed 64-bit code{said}"


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def firmware() -> Path:
    """The assembled firmware, made once."""
    source = SOURCE.read_bytes()
    made = cache_dir() / "programs" / hashlib.sha256(source).hexdigest()[:24] / "longmode.rom"
    if made.exists():
        return made
    flat = ("-Wl,--oformat=binary", "-Wl,-Ttext=0", "-Wl,-e,0", "-Wl,--build-id=none")
    with new_file(made) as aside:
        proc.run(["gcc", "-nostdlib", "-static", "-m64", *flat, "-o", str(aside), str(SOURCE)], timeout=60)
        if aside.stat().st_size != 64 << 10:
            raise ToolError(f"gcc made a firmware of {aside.stat().st_size} bytes from {SOURCE}, not of 64 KiB")
    return made


def _key(machine: str, cpu: str) -> str:
    version = proc.run([QEMU, "--version"], timeout=60).stdout.splitlines()[0]
    parts = (version, machine, cpu, BOOT_ID.read_text(), hashlib.sha256(SOURCE.read_bytes()).hexdigest())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
