"""Runs the tests in one pytest: the laboratory's own, the real tree, KUnit on User Mode Linux, guests in QEMU.

Without paths: all of them, the fast ones first. The JUnit file is out/test/junit.xml.
Exit codes: 1 tests failed; 3 the kernel is at fault (splat, panic, hang, it does not build); 4 the laboratory is, no
test ran, or one was skipped: what cannot be tested here is not listed, what lacks a tool is an error.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import measure, proc, topology
from harness.cache import REPO, work_dir
from harness.errors import (
    EXIT_KERNEL,
    EXIT_LAB,
    EXIT_OK,
    GuestFault,
    HarnessError,
    LabError,
    TestsFailed,
    UsageError,
)
from harness.verbs.exec import memory

SUMMARY = "run the tests"
STAGES = ("unit", "native", "tree", "kunit", "guest")  # directories of tests/, the fast ones first
JOB_MB = 2048  # for a guest and the Python around it
# pytest's own exit codes
INTERRUPTED, USAGE, NOTHING_RAN = 2, 4, 5
ENDS = (0, 1, INTERRUPTED, USAGE, NOTHING_RAN)  # what is not here is pytest's own trouble


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--unit-kernel", action="store_true", help="only KUnit, on User Mode Linux")
    parser.add_argument("--all", action="store_true", help="what takes long, too")
    parser.add_argument(
        "--topology", default="uma", metavar="T", help=f"the guests' memory (default uma). {topology.described()}"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="tests at a time (default: for all tests by processors and memory, else 1)",
    )
    parser.add_argument("-k", metavar="EXPR", help="only tests whose names match (pytest's -k)")
    parser.add_argument("--out", type=Path, default=REPO / "out" / "test", metavar="DIR", help="where results go")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, alone on stdout")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="test files, directories, or FILE::TEST")


@dataclass(frozen=True)
class Outcome:
    """What harness.pytest_lab wrote at the end of a session, and how long that was."""

    fields: dict[str, Any]
    seconds: float
    junit: Path
    chosen: str = ""  # the expression of -k

    def as_json(self) -> dict[str, Any]:
        counts = {name: self.fields[name] for name in ("passed", "failed", "skipped", "errors")}
        return {
            **counts,
            "seconds": round(self.seconds, 1),
            "junit": str(self.junit),
            "failures": self.fields["failures"],
        }

    def failure(self) -> HarnessError | None:
        """Whose fault it is. A kernel that crashed counts first: nothing else that failed makes that untrue."""
        status, codes = self.fields["exit"], self.fields["codes"]
        if status == USAGE:
            return UsageError("pytest cannot use these arguments, see above", hint="harness test --help")
        if status == NOTHING_RAN:
            cause = f"no test ran that matches -k {shlex.quote(self.chosen)}" if self.chosen else "no test ran"
            return LabError(cause, hint="harness test --all runs what is marked long, too")
        if status not in ENDS:
            return LabError("pytest met an error of its own, see above", log=self.junit)
        skipped = self.fields["skipped"]
        if not codes and status == 0 and not skipped:
            return None
        cause = f"{self.fields['failed']} failed, {self.fields['errors']} errors"
        cause += f", {skipped} skipped" if skipped else ""
        hint = f"harness test {shlex.quote(self.fields['failures'][0]['name'])}" if self.fields["failures"] else None
        if EXIT_KERNEL in codes:
            return GuestFault(f"{cause}; the kernel is at fault", log=self.junit, hint=hint)
        if EXIT_LAB in codes:
            return LabError(f"{cause}; the laboratory is at fault", log=self.junit, hint=hint)
        if skipped:
            hint = f"grep -o '<skipped [^>]*' {shlex.quote(str(self.junit))}"
            return LabError(f"{cause}; what is skipped is not tested, see the log for why", log=self.junit, hint=hint)
        return TestsFailed(cause, log=self.junit, hint=hint)


def run(args: argparse.Namespace) -> int:
    if args.unit_kernel and args.paths:
        raise UsageError("--unit-kernel takes no paths")
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: at least one test runs at a time")
    memory(args.topology)
    paths = _paths(args)
    outcome = _pytest(paths, args)
    if args.json:
        print(json.dumps(outcome.as_json()))
    if outcome.fields["exit"] == INTERRUPTED:
        raise KeyboardInterrupt
    if failure := outcome.failure():
        raise failure
    return EXIT_OK


def _paths(args: argparse.Namespace) -> list[str]:
    """What pytest is to collect, by absolute path: it runs in the repository, the user may not."""
    if args.unit_kernel:
        return [str(REPO / "tests" / "kunit")]
    if not args.paths:
        return [str(path) for stage in STAGES if (path := REPO / "tests" / stage).is_dir()]
    named = []
    for word in args.paths:
        name, *rest = word.split("::")
        place = next((path for path in (Path(name), REPO / name) if path.exists()), None)
        if place is None:
            raise UsageError(f"there is no {name}", hint="harness test tests/unit")
        named.append("::".join([str(place.resolve()), *rest]))
    return named


def _jobs(args: argparse.Namespace) -> int:
    """How many tests run at a time. Few tests are done before workers for them have started."""
    if args.jobs is not None:
        return int(args.jobs)
    if args.paths or args.k or args.unit_kernel:
        return 1
    room = measure.host_available_mb() // JOB_MB
    return max(1, min(len(os.sched_getaffinity(0)), room))


def _pytest(paths: list[str], args: argparse.Namespace) -> Outcome:
    """One session, live on our stdout (with --json: on stderr), in a process of its own: it may crash."""
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    junit = out / "junit.xml"
    junit.unlink(missing_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=work_dir("run")) as scratch:  # another run may be under way
        told = Path(scratch) / "outcome.json"
        code = proc.run_live(_command(paths, args, junit, told), cwd=REPO, stdout=sys.stderr if args.json else None)
        try:
            fields = json.loads(told.read_text())
        except (OSError, ValueError) as error:
            raise LabError(f"pytest ended with exit code {code} without an outcome, see above") from error
    return Outcome(fields, time.monotonic() - started, junit, args.k or "")


def _command(paths: list[str], args: argparse.Namespace, junit: Path, told: Path) -> list[str]:
    command = [
        sys.executable,
        *("-m", "pytest"),
        f"--config-file={REPO / 'pyproject.toml'}",
        f"--rootdir={REPO}",
        f"--junitxml={junit}",
        f"--outcome={told}",
        f"--topology={args.topology}",
        "--continue-on-collection-errors",  # what can be loaded is tested; the rest is reported
        "--color=yes" if (sys.stderr if args.json else sys.stdout).isatty() and "NO_COLOR" not in os.environ else "",
        "--long" if args.all else "",
    ]
    chosen = ["-k", args.k] if args.k else []
    jobs = _jobs(args)
    # A worker that dies ends the session: it is pytest that is broken then, or a test that breaks it.
    workers = ["--numprocesses", str(jobs), "--max-worker-restart=0"] if jobs > 1 else []
    return [*filter(None, command), *chosen, *workers, "--", *paths]
