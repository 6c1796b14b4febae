"""Many programs in one guest, several at a time: what comes out is checked while the next ones run.

The guest program is harness/calls/guest/*.c. The first failure ends a campaign: it is shrunk and written down.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from harness.cache import new_file, work_dir
from harness.calls import failures, generate, model, ops, wire
from harness.calls.failures import Failure
from harness.calls.model import Fault
from harness.calls.shrink import Program, shrink
from harness.calls.wire import Output
from harness.errors import GuestFault, LabError, LabTimeout
from harness.guest import Guest, Result
from harness.initramfs import compile_static
from harness.kernel import Kernel
from harness.progress import Update

SOURCES = Path(__file__).parent / "guest"
PROGRAM, POOL = "/bin/calls", "/etc/calls.pool"  # in the guest
AUTO_BASE = "/sys/kernel/mm/agent_mem/auto_base"
FIRST_UID = 20_000
LANES = 2  # programs at a time, one for each processor
TIMEOUT = 600.0  # seconds for LANES programs
MEMORY_MB = 1024
AHEAD = 2  # runs that are made before they are needed


class Machine(Protocol):
    """The part of harness.guest.Guest that is needed here."""

    @property
    def console(self) -> Path: ...
    def run(self, argv: list[str], *, timeout: float, stdin: bytes) -> Result: ...
    def check(self) -> None: ...


@dataclass(frozen=True)
class Report:
    """calls: how many were made and checked. program: what the one that failed was made from; file: where it is."""

    seed: str
    calls: int
    seconds: float
    fault: Fault | None = None
    program: str = ""
    file: Path | None = None
    shrunk_to: int | None = None


def start(kernel: Kernel, topology: str = "uma") -> Guest:
    """A guest with the program and the pool in it."""
    program = compile_static(sorted(SOURCES.glob("*.c")), headers=kernel.headers, name="calls")
    pool = work_dir("calls") / "pool"
    with new_file(pool) as aside:
        aside.write_bytes(ops.pool())
    guest = Guest.start(kernel, topology=topology, memory_mb=MEMORY_MB, files={PROGRAM: program, POOL: pool})
    with contextlib.ExitStack() as failing:
        failing.push(guest)
        done = guest.run(["sh", "-c", f"echo 0 > {AUTO_BASE}"])  # which objects are alike is not predicted
        if done.code:
            raise LabError(f"the guest does not let {AUTO_BASE} be switched off", log=guest.console)
        failing.pop_all()
    return guest


def run(guest: Machine, programs: Sequence[Program]) -> Output:
    """Runs the programs at the same time. LabError: the guest program failed or told nonsense."""
    done = guest.run([PROGRAM, POOL, str(FIRST_UID)], timeout=TIMEOUT, stdin=wire.encode(programs))
    if done.code != 0:
        said = "".join(c if c.isprintable() else "?" for c in done.stderr[:300].decode(errors="replace"))
        raise LabError(f"the guest program ended with exit code {done.code}: {said}", log=guest.console)
    return wire.decode(done.stdout, [len(calls) for calls in programs])


def faults(programs: Sequence[Program], output: Output) -> list[Fault | None]:
    return [model.check(calls, lane) for calls, lane in zip(programs, output.lanes, strict=True)]


def names(seed: str, count: int) -> Iterator[tuple[str, int]]:
    """The programs of a campaign: what each is made from, and its length."""
    for number, start in enumerate(range(0, count, generate.CALLS)):
        yield f"{seed}:{number}", min(generate.CALLS, count - start)


def campaign(guest: Machine, seed: str, count: int, out: Path, kernel: str, update: Update = lambda _: None) -> Report:
    """`count` calls, or up to the first failure. GuestFault: the kernel printed a splat; what ran is written down."""
    began = time.monotonic()
    calls = 0
    failed = None
    with contextlib.closing(_runs(guest, names(seed, count), out, kernel)) as runs:
        for made, output in runs:
            failed = _first_fault(made, output)
            if failed:
                break
            calls += sum(len(program) for _, program in made)
            update(f"{calls} of {count} calls")
    report = Report(seed, calls, time.monotonic() - began)
    if failed is None:
        return report
    update("a failure is shrunk")
    return _written(guest, report, failed, out, kernel)


Made = list[tuple[str, list[ops.Call]]]  # what each was made from, and the program


@dataclass(frozen=True)
class _Failed:
    """programs: one, or all that ran at the same time where it is not known which one it was."""

    name: str
    programs: list[list[ops.Call]]
    fault: Fault


def _first_fault(made: Made, output: Output) -> _Failed | None:
    programs = [program for _, program in made]
    for (name, program), fault in zip(made, faults(programs, output), strict=True):
        if fault:
            return _Failed(name, [program], fault)
    fault = model.check_system(output)
    return _Failed(made[0][0], programs, fault) if fault else None


def _runs(
    guest: Machine, wanted: Iterable[tuple[str, int]], out: Path, kernel: str
) -> Generator[tuple[Made, Output], None, None]:
    """Programs and their output, in order. While one is looked at the guest is at work on the next."""
    pending: deque[tuple[Made, Future[Output]]] = deque()
    rest = iter(wanted)
    with ThreadPoolExecutor(1) as worker:  # the guest is asked by one thread alone
        try:
            while True:
                while len(pending) < AHEAD and (lanes := list(islice(rest, LANES))):
                    made = [(name, generate.program(name, length)) for name, length in lanes]
                    pending.append((made, worker.submit(_watched, guest, made, out, kernel)))
                if not pending:
                    return
                made, future = pending.popleft()
                yield made, future.result()
        finally:
            for _, future in pending:
                future.cancel()


def _watched(guest: Machine, made: Made, out: Path, kernel: str) -> Output:
    """One run. A kernel that breaks leaves behind what it broke at."""
    programs = [program for _, program in made]
    try:
        output = run(guest, programs)
        guest.check()
        return output
    except (GuestFault, LabTimeout) as error:
        file = _keep(out, made[0][0], error.cause[:500], kernel, programs)
        raise type(error)(error.cause, log=error.log, hint=f"harness calls --replay {file}") from error


def _written(guest: Machine, report: Report, failed: _Failed, out: Path, kernel: str) -> Report:
    """Shrinks a failure as far as that goes, and writes it down."""
    file = _keep(out, failed.name, str(failed.fault), kernel, failed.programs)  # before the kernel breaks at it
    report = replace(report, fault=failed.fault, file=file, program=failed.name)
    if len(failed.programs) > 1:
        return report
    shrunk = shrink(failed.programs[0], failed.fault, lambda tried: faults(tried, run(guest, tried)))
    if shrunk is None:
        return report
    calls, fault = shrunk
    _keep(out, failed.name, str(fault), kernel, [calls])
    return replace(report, fault=fault, shrunk_to=len(calls))


def _keep(out: Path, name: str, fault: str, kernel: str, programs: Sequence[Program]) -> Path:
    place = "".join(c if c.isalnum() else "-" for c in name)[:80]
    return failures.write(out / f"{place}.json", Failure(name, fault, kernel, tuple(map(tuple, programs))))


def replay(guest: Machine, failure: Failure) -> list[Fault]:
    """What goes wrong with the programs of a failure now."""
    output = run(guest, failure.programs)
    guest.check()
    found = [fault for fault in faults(failure.programs, output) if fault]
    system = model.check_system(output)
    return found + ([system] if system else [])
