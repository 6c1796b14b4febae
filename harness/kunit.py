"""KUnit on User Mode Linux: the kernel as a process, which runs its tests at boot and halts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness import console, ktap, listing, logs, proc
from harness.cache import locked, log_file, work_dir
from harness.errors import GuestFault, LabError, LabTimeout
from harness.kernel import Kernel
from harness.kernel_tests import Run

FLAVOUR = "um"
SOURCES = "mm/agent_mem*_kunit.c"  # in the tree
MEMORY_MB = 256
TIMEOUT = 180.0  # seconds; a run takes less than one, and KUnit ends a test after CONFIG_KUNIT_DEFAULT_TIMEOUT
MAX_OUTPUT = 32 << 20  # bytes


def listed(tree: Path) -> list[str]:
    """SUITE.CASE of every KUnit case of the series. LabError: there is none, so something looks in the wrong place."""
    names = [name for path in sorted(tree.glob(SOURCES)) for name in listing.kunit(path.read_text(errors="replace"))]
    if not names:
        raise LabError(f"no KUnit case is found in {tree / SOURCES}", hint="harness apply")
    return names


def run(kernel: Kernel) -> Run:
    """Runs the suites that are built in. A kernel that crashed, hung or complained is the run's trouble."""
    log = log_file("kunit")
    with locked("kunit", shared=False), tempfile.TemporaryDirectory(dir=work_dir("run")) as scratch:
        logs.fresh(log)
        trouble = _run(kernel, Path(scratch), log)
        text = log.read_text(errors="replace")
    # What the kernel said is a better reason than how its process ended.
    if splats := console.scan(text):
        shown = "".join(f"\n  | {line}" for line in splats[0].lines)
        trouble = _fault(f"the kernel reported {splats[0].kind}: {splats[0].title}{shown}", log)
    return Run("KUnit", kernel, ktap.parse(text), log, trouble)


def _run(kernel: Kernel, scratch: Path, log: Path) -> GuestFault | None:
    size = 0

    def line(text: str) -> None:
        nonlocal size
        size += len(text) + 1
        if size > MAX_OUTPUT:
            raise _fault(f"the kernel printed more than {MAX_OUTPUT >> 20} MB", log)

    command = [
        str(kernel.image),
        f"mem={MEMORY_MB}M",
        f"uml_dir={scratch}",  # otherwise in the user's home
        "con=null",
        "con0=null,fd:1",
        "console=tty",
        "panic=-1",
        "kunit_shutdown=halt",
    ]
    try:
        code = proc.run_logged(command, log, timeout=TIMEOUT, on_line=line)
    except LabTimeout:
        return _fault(f"User Mode Linux did not end within {TIMEOUT:.0f} s: a test hangs", log)
    except GuestFault as fault:
        return fault
    return None if code == 0 else _fault(f"User Mode Linux ended with exit code {code}", log)


def _fault(cause: str, log: Path) -> GuestFault:
    return GuestFault(cause, log=log, hint=f"less {log}")
