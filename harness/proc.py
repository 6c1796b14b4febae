"""Child processes: always an argument list, always a log or captured output, never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from harness.errors import LabTimeout, ToolError

PR_SET_PDEATHSIG = 1
LONGEST_LINE = 1 << 16  # bytes; what prints without end and without newline must not fill the memory
FAREWELL = 60.0  # seconds for an interrupted command to clean up
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Completed:
    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float


def die_with_parent() -> None:
    """preexec_fn: the child gets SIGTERM when the laboratory dies, however it dies."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a child that was started in its own session, and all of its children."""
    for sig, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def _start(argv: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(argv, start_new_session=True, preexec_fn=die_with_parent, **options)  # type: ignore[call-overload,no-any-return]
    except FileNotFoundError as error:
        raise ToolError(f"{argv[0]} is not installed", hint="./lab doctor --fix") from error


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", **(env or {})}


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 600,
    check: bool = True,
) -> Completed:
    """Runs a command and captures its output; a non-zero exit is a ToolError unless `check` is off."""
    started = time.monotonic()
    process = _start(
        argv,
        cwd=cwd,
        env=_environment(env),
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise LabTimeout(f"{argv[0]} did not end within {timeout:.0f} s: {' '.join(argv)}") from error
    finally:
        if process.poll() is None:
            kill_group(process)
    done = Completed(
        tuple(argv),
        process.returncode,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
        time.monotonic() - started,
    )
    if check and done.code != 0:
        tail = (done.stderr or done.stdout).strip()[-2000:]
        raise ToolError(f"{' '.join(argv)} failed with exit code {done.code}: {tail}")
    return done


def run_logged(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 7200,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Runs a long command, appends all of its output to `log`, shows each line to `on_line`; returns the exit code."""
    with log.open("ab") as stream:
        process = _start(
            argv,
            cwd=cwd,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with _deadline(process, timeout) as expired:
            assert process.stdout is not None
            while raw := process.stdout.readline(LONGEST_LINE):
                stream.write(raw)
                if on_line:
                    on_line(raw.decode(errors="replace").rstrip("\n"))
            process.wait()
    if expired:
        raise LabTimeout(f"{argv[0]} did not end within {timeout:.0f} s", log=log)
    return process.returncode


def run_live(argv: Sequence[str], *, cwd: Path | None = None, stdout: TextIO | None = None) -> int:
    """Runs a command whose output is the person's to see as it comes (or goes to `stdout`); returns the exit code.

    It is interrupted when we are, once, and then has time to clean up.
    """
    process = _start(argv, cwd=cwd, env=dict(os.environ), stdin=subprocess.DEVNULL, stdout=stdout)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(FAREWELL)
        raise
    finally:
        if process.poll() is None:
            kill_group(process)


@contextlib.contextmanager
def _deadline(process: subprocess.Popen[bytes], seconds: float) -> Iterator[list[bool]]:
    expired: list[bool] = []

    def fire() -> None:
        expired.append(True)
        kill_group(process)

    timer = threading.Timer(seconds, fire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
        if process.poll() is None:
            kill_group(process)
