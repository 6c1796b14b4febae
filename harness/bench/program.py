"""The guest's measuring program (harness/bench/guest/*.c): built, run, and what it prints.

What it prints comes from a kernel under test: checked, not trusted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.bench import stats
from harness.bench.told import MAX_FIGURE, clean, figure
from harness.errors import GuestFault, LabError
from harness.guest import Result
from harness.initramfs import compile_static
from harness.kernel import Kernel

SOURCES = Path(__file__).parent / "guest"
PROGRAM = "/bin/bench"  # in the guest
TEXT = "/bench/text"
HASHES = ("ssse3", "avx", "avx2", "ni")  # lib/crypto/x86: the program takes the one that the kernel takes
MAX_OUTPUT = 16 << 20  # bytes
MAX_EVENTS = 10_000
MAX_NAME = 40  # characters
LOOP = 2_000_000  # instructions of the loop that the clock is checked with
SLACK = 16  # instructions around it
TIMEOUT = 900.0  # seconds for one measurement; emulation on a busy machine


class Machine(Protocol):
    """The part of harness.guest.Guest that a measurement needs."""

    @property
    def console(self) -> Path: ...
    def run(self, argv: list[str], *, timeout: float) -> Result: ...
    def check(self) -> None: ...


@dataclass(frozen=True)
class Slab:
    """By how much something grew when `count` things were made: bytes of Slab, directory entries, open files."""

    count: int
    bytes: int
    dentries: int
    files: int

    @property
    def each(self) -> float:
        """Bytes for one of them."""
        return self.bytes / self.count


@dataclass
class Output:
    """All that one run has measured. series: ticks of the guest's time stamp counter, by name.

    work: operations that each of two processors has done.
    """

    series: dict[str, tuple[int, ...]] = field(default_factory=dict)
    slabs: dict[str, Slab] = field(default_factory=dict)
    work: dict[str, tuple[int, int]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return stats.quantile(self.series[name], 0.5)


def build(kernel: Kernel) -> Path:
    """The program, made against this kernel's headers and with its SHA-256."""
    hashes = [kernel.tree / "lib" / "crypto" / "x86" / f"sha256-{name}-asm.S" for name in HASHES]
    sources = [*sorted(SOURCES.glob("*.c")), *hashes]
    flags = ["-I", str(SOURCES / "kernel")]
    return compile_static(sources, headers=kernel.headers, name="bench", flags=flags, libraries=["zstd"])


def run(guest: Machine, name: str, *numbers: int) -> Output:
    """One measurement. GuestFault: a call failed or gave what it must not; LabError: the output makes no sense."""
    result = guest.run([PROGRAM, name, *map(str, numbers)], timeout=TIMEOUT)
    guest.check()  # a splat tells more than a call that failed after it
    return read(name, result, guest.console)


def read(name: str, result: Result, log: Path) -> Output:
    """What a run has printed. Errors as `run` has them."""
    try:
        return _read(name, result, log)
    except (KeyError, TypeError, ValueError, RecursionError) as problem:
        raise LabError(f"the output of bench {name} makes no sense: {clean(problem)}", log=log) from problem


def _read(name: str, result: Result, log: Path) -> Output:
    if len(result.stdout) > MAX_OUTPUT:
        raise ValueError(f"{len(result.stdout)} bytes")
    lines = result.stdout.splitlines()
    if len(lines) > MAX_EVENTS:
        raise ValueError(f"{len(lines)} lines")
    output, done = Output(), False
    for line in lines:
        event = json.loads(line)
        kind = event["event"]
        if kind == "error":
            detail = f"{clean(event['what'])}: {clean(event['error'])} (errno {clean(event['errno'])})"
            raise GuestFault(f"bench {name} failed: {detail}", log=log, hint="./lab test")
        done = kind == "done"
        if not done:
            READERS[kind](output, _name(event), event)
    if result.code != 0 or not done:
        raise ValueError(f"exit code {result.code}, {result.stderr[-200:].decode(errors='replace')}")
    return output


def _series(output: Output, name: str, event: dict[str, Any]) -> None:
    values = tuple(figure(value) for value in event["values"])
    if not values or name in output.series:
        raise ValueError(f"series {name} is empty, or is there twice")
    output.series[name] = values


def _slab(output: Output, name: str, event: dict[str, Any]) -> None:
    figures = (figure(event[key], least=-MAX_FIGURE) for key in ("bytes", "dentries", "files"))
    output.slabs[name] = Slab(figure(event["count"], least=1), *figures)


def _work(output: Output, name: str, event: dict[str, Any]) -> None:
    first, second = event["done"]
    output.work[name] = figure(first), figure(second)


READERS: dict[str, Callable[[Output, str, dict[str, Any]], None]] = {
    "series": _series,
    "slab": _slab,
    "work": _work,
}


def _name(event: dict[str, Any]) -> str:
    name = event["name"]
    if not isinstance(name, str) or len(name) > MAX_NAME or not name.replace(".", "").replace("_", "").isalnum():
        raise ValueError(f"a name is {clean(name)}")
    return name


@dataclass(frozen=True)
class Clock:
    """Instructions that a measurement has of its own: reading the clock, and an empty system call beside that."""

    reading: float
    empty: float


def clock(guest: Machine) -> Clock:
    """The clock of a guest that counts instructions. LabError: it does not count them."""
    output = run(guest, "clock", 50)
    reading = output.median("clock.pair")
    loop = min(output.series["clock.loop"]) - reading
    if not LOOP <= loop <= LOOP + SLACK:
        cause = f"the guest's clock went on by {loop:.0f} in {LOOP} instructions: it does not count them"
        raise LabError(cause, log=guest.console, hint="another version of QEMU (-icount shift=0)")
    return Clock(reading, output.median("clock.empty") - reading)
