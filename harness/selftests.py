"""The series' kselftests in a guest: each program of tools/testing/selftests/agent_mem is compiled, run and read."""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness import initramfs, kconfig, ktap, listing, logs
from harness.cache import log_file
from harness.errors import BuildError, GuestFault, HarnessError, LabError, LabTimeout, TestsFailed, ToolError
from harness.guest import Guest
from harness.kbuild import flavours
from harness.kernel import Kernel
from harness.kernel_tests import Run
from harness.ktap_report import Report

SUITE = Path("tools/testing/selftests/agent_mem")
MEMORY_MB = 1024
TIMEOUT = 900.0  # seconds for one program; kselftest_harness.h ends a test that hangs after its own time
MAX_OUTPUT = 8 << 20  # bytes
# Programs that have nothing to do in a kernel without an option: there they are not run, so none of their tests skips.
NEEDS = {"failnth_test": "FAULT_INJECTION"}
KMEMLEAK = "/sys/kernel/debug/kmemleak"
LEAK = 4000  # characters of kmemleak's report in a failure


def programs(tree: Path) -> list[Path]:
    """The sources of the suite's programs. LabError: there are none, so something looks in the wrong place."""
    sources = sorted((tree / SUITE).glob("*.c"))
    found = [path for path in sources if listing.is_selftest(path.read_text(errors="replace"))]
    if not found:
        raise LabError(f"no selftest is found in {tree / SUITE}", hint="harness apply")
    return found


def suits(source: Path, flavour: str) -> bool:
    """Whether the flavour asks for the option without which the program could only skip."""
    needed = NEEDS.get(source.stem)
    return needed is None or needed in {request.name for request in kconfig.read(flavours()[flavour].fragments)}


def listed(source: Path) -> list[str]:
    """The tests that a program has to report."""
    return listing.selftest(source.read_text(errors="replace"))


def build(source: Path, kernel: Kernel) -> Path:
    """The program, static, against the kernel's own headers and as the selftests' lib.mk compiles it."""
    flags = ["-D_GNU_SOURCE=", "-pthread", "-I", str(kernel.tree / SUITE.parent)]
    try:
        return initramfs.compile_static([source], headers=kernel.headers, name=source.stem, flags=flags)
    except ToolError as error:
        if error.log is None:  # no compiler, no static libc
            raise
        raise BuildError(error.cause, log=error.log, hint=error.hint) from error


class Selftests:
    """Programs and their runs on one kernel. They share a guest, until one of them damages it."""

    def __init__(self, kernel: Kernel, topology: str = "uma") -> None:
        self.kernel = kernel
        self._topology = topology
        self._guest: Guest | None = None
        self._runs: dict[Path, Run] = {}

    def run(self, source: Path) -> Run:
        """Runs the program, once. What the kernel or the program did wrong is the run's trouble."""
        if source not in self._runs:
            program = build(source, self.kernel)
            log = log_file(f"selftest-{self.kernel.flavour}-{self._topology}-{source.stem}")
            output, ended = self._output(program)
            logs.fresh(log).write_bytes(output)
            report = ktap.parse(output.decode(errors="replace"))
            trouble = ended if isinstance(ended, HarnessError) else _unexplained(source.stem, ended, report)
            self._runs[source] = Run(source.stem, self.kernel, report, log, trouble)
        return self._runs[source]

    def check_leaks(self) -> None:
        """GuestFault if kmemleak finds what the programs run so far left behind. Two scans: one alone is not sure."""
        script = f"echo scan > {KMEMLEAK} && echo scan > {KMEMLEAK} && cat {KMEMLEAK}"
        guest = self.running()
        done = guest.run(["sh", "-c", script], timeout=TIMEOUT)
        if done.code != 0:
            said = done.stderr.decode(errors="replace").strip()[:300]
            raise LabError(f"kmemleak cannot be asked: {said}", log=guest.console)
        if report := done.stdout.decode(errors="replace").strip():
            with contextlib.suppress(GuestFault):  # its line on the console tells the same
                guest.check()
            raise GuestFault(f"kmemleak found a leak:\n{report[:LEAK]}", log=guest.console)

    def running(self) -> Guest:
        """The guest that the programs share, booted if need be."""
        if self._guest is None:
            self._guest = Guest.start(self.kernel, topology=self._topology, memory_mb=MEMORY_MB, cpus=2)
        return self._guest

    def close(self) -> None:
        guest, self._guest = self._guest, None
        if guest:
            guest.__exit__(None, None, None)

    def _output(self, program: Path) -> tuple[bytes, int | HarnessError]:
        """What the program printed, stdout and stderr in their order, and its exit code or why it has none."""
        guest = self.running()
        kept = _Kept()
        place = f"/tmp/{program.name}"
        try:
            guest.push(program, place)
            argv = ["sh", "-c", 'exec "$0" 2>&1', place]
            code = guest.stream(argv, kept.take, kept.take, timeout=TIMEOUT).code
            guest.check()
        except GuestFault as fault:
            self._guest = None
            guest.__exit__(GuestFault, fault, None)
            return bytes(kept.content), fault
        except (LabTimeout, TestsFailed) as error:
            return bytes(kept.content), TestsFailed(f"{program.name}: {error.cause}", log=guest.console)
        return bytes(kept.content), code


def _unexplained(name: str, code: int, report: Report) -> TestsFailed | None:
    """An exit code that the report does not explain. 1: a test failed; 4: all were skipped."""
    if code in (0, 4) or (code == 1 and not report.good):
        return None
    return TestsFailed(f"{name} ended with exit code {code}")


class _Kept:
    """A bounded sink."""

    def __init__(self) -> None:
        self.content = bytearray()

    def take(self, part: bytes) -> None:
        if len(self.content) + len(part) > MAX_OUTPUT:
            raise TestsFailed(f"it printed more than {MAX_OUTPUT >> 20} MB")
        self.content += part
