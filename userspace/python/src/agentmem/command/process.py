# SPDX-License-Identifier: MIT
"""Other commands: becoming one, finding ours."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from agentmem.command.trouble import Exit, Trouble


def become(command: Sequence[str]) -> NoReturn:
    """Is the command from here on; Trouble, with a shell's exit statuses, if it cannot be."""
    sys.stdout.flush()
    try:
        os.execvp(command[0], list(command))
    except FileNotFoundError:
        raise Trouble(f"{command[0]}: no such command", code=Exit.NO_COMMAND) from None
    except OSError as error:
        raise Trouble(f"{command[0]}: {error.strerror}", code=Exit.CANNOT_RUN) from None


def run(arguments: Sequence[str]) -> NoReturn:
    """Becomes agentmem-run, which is part of userspace/preload."""
    beside = Path(sys.argv[0]).resolve().with_name("agentmem-run")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("agentmem-run")
    if not found:
        install = "meson setup build/preload userspace/preload && sudo meson install -C build/preload && sudo ldconfig"
        next = f"in a checkout of agent_mem, with the packages that its docs/preload.md names: {install}"
        raise Trouble("agentmem-run is not installed", next, Exit.NOT_HERE)
    become([found, *arguments])


def opened(pid: int, next: str) -> int:
    """A descriptor of a process. Trouble, with what to do next: there is none; a thread's number is no process's."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.ENOENT, errno.EINVAL):  # of threads, the last on older kernels
            raise
    except OverflowError:
        pass
    raise Trouble(f"{pid}: there is no such process", next, Exit.NOT_FOUND)


@contextlib.contextmanager
def output(name: str | None) -> Iterator[BinaryIO]:
    """A file, or standard output, for bytes; errors of writing name it, too.

    Not sys.stdout.buffer: with PYTHONUNBUFFERED that writes a part and leaves it at that.
    """
    try:
        with open(name or sys.stdout.fileno(), "wb", closefd=bool(name)) as out:  # noqa: PTH123  (or a descriptor)
            yield out
    except OSError as error:
        error.filename = name or "standard output"
        raise


def give_up_output() -> None:
    """What could not be written is not tried again at exit: since Python 3.13 that gives another exit status, 120."""
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        sys.stdout.flush()


def standard_streams() -> None:
    """What of them is closed becomes /dev/null: else a descriptor of ours gets its number, and is taken for it."""
    for fd, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
            setattr(sys, name, open(fd, mode, closefd=False, errors="replace"))  # noqa: PTH123, SIM115  (it stays)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name is shown as far as the terminal's encoding has its letters


def default_signals() -> None:
    """SIGPIPE ends this process as it ends others; what is started inherits that."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
