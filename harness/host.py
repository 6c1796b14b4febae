"""The machine that a benchmark ran on, for its result: figures mean little without it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import accel, emulator, topology

PROC = Path("/proc")


def describe(proc: Path = PROC) -> dict[str, Any]:
    """Processor model, number of processors, memory and kernel."""
    model = re.search(r"^model name\s*:\s*(.+)$", (proc / "cpuinfo").read_text(), re.MULTILINE)
    memory = (proc / "meminfo").read_text().splitlines()
    return {
        "cpu": model[1].strip() if model else os.uname().machine,
        "processors": os.cpu_count(),
        "memory_mb": next(int(line.split()[1]) >> 10 for line in memory if line.startswith("MemTotal:")),
        "kernel": os.uname().release,
    }


def with_guests(*guests: tuple[str, int, bool]) -> dict[str, Any]:
    """The same, and what runs each of these guests: topology, processors, whether instructions are counted."""
    return {**describe(), "guests": [_guest(*guest) for guest in guests]}


def _guest(name: str, cpus: int, counted: bool) -> dict[str, Any]:
    memory = topology.named(name)
    program, *_ = emulator.program(emulator.least(memory, cpus))
    on = emulator.accelerator(memory, counted)
    return {
        "processors": cpus,
        "cpu": accel.CPU,
        "qemu": emulator.release(program),
        "accelerator": on.name,
        "reason": on.reason,
        "counted": counted,
    }


def shown(machine: Mapping[str, Any]) -> str:
    """One line."""
    memory = f"{machine['memory_mb']:,} MB"
    own = f"{machine['cpu']}, {machine['processors']} processors, {memory}, Linux {machine['kernel']}"
    guests = [
        f"{guest['processors']} {'processor' if guest['processors'] == 1 else 'processors'} by QEMU {guest['qemu']} "
        f"({guest['accelerator']}{', instructions counted' if guest['counted'] else ''})"
        for guest in machine.get("guests", [])
    ]
    return "; ".join([own, *guests])
