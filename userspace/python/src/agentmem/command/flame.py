# SPDX-License-Identifier: MIT
"""The verb flame: which agents bring which texts, by bytes or by the bytes that took no memory."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from agentmem.command import find, fold, show, svg, trace
from agentmem.command.fold import Folded
from agentmem.command.trouble import Exit, Trouble

TITLES = {"bytes": "SMUs by bytes put or attached", "saved": "SMUs by bytes that took no memory"}


def flame(args: Namespace) -> int:
    folded, code = _from_file(args.read) if args.read else _from_kernel(args)
    stacks = folded.saved if args.by == "saved" else folded.bytes
    if args.svg:
        Path(args.svg).write_text(svg.draw(stacks, TITLES[args.by]), encoding="utf-8")
    if args.json:
        saved = folded.saved
        both = sorted(set(folded.bytes) | set(saved))
        print(show.as_json([{"stack": list(s), "bytes": folded.bytes[s], "saved": saved[s]} for s in both]))
    elif not args.svg:
        sys.stdout.writelines(f"{line}\n" for line in fold.lines(stacks))
    return code


def _from_file(name: str) -> tuple[Folded, int]:
    """A trace that was kept: it has names of programs, not of agents."""
    folded = Folded(lambda event: event.comm)
    with contextlib.ExitStack() as stack:
        file = sys.stdin if name == "-" else stack.enter_context(Path(name).open(errors="replace"))
        if not _add(folded, file):
            raise Trouble(f"{name}: has no event of agent_mem", "cat /sys/kernel/tracing/trace_pipe > TRACE")
    return folded, Exit.DONE


def _from_kernel(args: Namespace) -> tuple[Folded, int]:
    folded, code = Folded(Agents().of), int(Exit.DONE)
    with trace.recording() as recording:
        command = _start(args.command) if args.command else None
        _add(folded, recording.lines(_ended(command, args.seconds)))
        if command:
            if recording.told in (signal.SIGTERM, signal.SIGHUP):  # SIGINT is a terminal's, which tells both
                command.send_signal(recording.told)
            code = _status(command.wait())
    return folded, code


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command)
    except FileNotFoundError:
        raise Trouble(f"{command[0]}: no such command", code=Exit.NO_COMMAND) from None
    except OSError as error:
        raise Trouble(f"{command[0]}: {error.strerror}", code=Exit.CANNOT_RUN) from None


def _status(code: int) -> int:
    return code if code >= 0 else 128 - code


def _ended(command: subprocess.Popen[bytes] | None, seconds: float | None) -> Callable[[], bool]:
    if command:
        return lambda: command.poll() is not None
    return trace.after(seconds) if seconds else lambda: False


def _add(folded: Folded, lines: Iterator[str]) -> int:
    """How many events there were."""
    count = missing = 0
    for line in lines:
        missing += trace.lost(line)
        if event := trace.parse(line):
            folded.add(event)
            count += 1
    if missing:
        print(f"note: {missing} events are missing: the kernel had no room for them", file=sys.stderr)
    return count


class Agents:
    """The names of agents, looked up while they are there."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, event: trace.Event) -> str:
        known = self._known.get(event.tid, event.comm)
        if known == event.comm:  # it may name itself yet
            known = self._known[event.tid] = find.name(_process(event.tid)) or known
        return known


def _process(tid: int) -> int:
    """The process of a thread; itself if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path("/proc", str(tid), "status").read_text().splitlines():
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    return tid
