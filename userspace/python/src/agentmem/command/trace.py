# SPDX-License-Identifier: MIT
"""The tracepoints agent_mem:*, recorded in an instance of tracefs of our own: nobody else's tracing is touched."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import agentmem
from agentmem.command.trouble import Exit, Trouble

TRACEFS = Path("/sys/kernel/tracing")
OBJECT, CHUNK = ("ino", "type", "size"), ("ino", "chunk", "len", "stored")  # numbers that there have to be
EVENTS = {"smu_alloc": OBJECT, "smu_dedup": OBJECT, "smu_attach": OBJECT, "smu_compress": CHUNK, "smu_free": OBJECT}
LINE = re.compile(r"\s*(?P<comm>.*)-(?P<tid>\d+)\s+\[\d+\]\s+(?:\S+\s+)?\d+\.\d+: (?P<name>smu_\w+): (?P<told>.*)")
LOST = re.compile(r"CPU:\d+ \[LOST (\d+) EVENTS\]")
TICK = 0.2  # seconds between looks at whether it is to end
BUFFER_KB = 4096  # of each processor


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a trace. comm, tid: of the thread that did it."""

    name: str
    comm: str
    tid: int
    fields: dict[str, str]

    def number(self, field: str) -> int:
        return int(self.fields[field])


def parse(line: str) -> Event | None:
    """None: it is no event of ours, or not whole."""
    if not (match := LINE.match(line)) or match["name"] not in EVENTS:
        return None
    fields = dict(part.split("=", 1) for part in match["told"].split() if "=" in part)
    if not all(fields.get(name, "").isdecimal() for name in EVENTS[match["name"]]):
        return None
    return Event(match["name"], match["comm"].strip(), int(match["tid"]), fields)


def lost(line: str) -> int:
    """How many events the kernel had no room for, if the line says so."""
    return int(match[1]) if (match := LOST.match(line)) else 0


class Recording:
    """An instance of tracefs with our events on. told: the signal that said that it is to end."""

    def __init__(self, instance: Path) -> None:
        self._instance, self.told = instance, 0

    def end(self, signal: int, _: object) -> None:
        self.told = signal

    def lines(self, ended: Callable[[], bool]) -> Iterator[str]:
        """What is traced, from now on until it has ended, or was told to, and all is read."""
        pipe = os.open(self._instance / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        rest, over = b"", False
        with os.fdopen(pipe, "rb", buffering=0):
            while (got := _read(pipe)) or not over:
                if not over and (self.told or ended()):
                    over = True
                    (self._instance / "tracing_on").write_text("0")  # what there is to read is all
                if got:
                    *whole, rest = (rest + got).split(b"\n")
                    yield from (line.decode(errors="replace") for line in whole)
                elif not over:
                    select.select([pipe], [], [], TICK)


@contextlib.contextmanager
def recording() -> Iterator[Recording]:
    """The recording; gone afterwards. Trouble: this system has no such thing, or not for us.

    Signals that end a process end its lines from here on: what is left behind would go on recording.
    """
    _possible()
    instance = TRACEFS / "instances" / f"agentmem-{os.getpid()}"
    instance.mkdir()
    try:
        (instance / "buffer_size_kb").write_text(str(BUFFER_KB))
        made = Recording(instance)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, made.end)
        for event in EVENTS:
            (instance / "events" / "agent_mem" / event / "enable").write_text("1")
        yield made
    finally:
        (instance / "events" / "enable").write_text("0")
        instance.rmdir()


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _read(pipe: int) -> bytes:
    try:
        return os.read(pipe, 1 << 16)
    except BlockingIOError:
        return b""


def _possible() -> None:
    if agentmem.backend() == "fallback":
        cause = "the fallback has no tracepoints: this kernel, or the build of this package, has not got the calls"
        raise Trouble(cause, "on another machine: agentmem flame --read TRACE", Exit.NOT_HERE)
    if os.geteuid():
        raise Trouble("tracing is for root", 'sudo "$(command -v agentmem)" flame ...', Exit.FAILED)
    if not (TRACEFS / "instances").is_dir():
        raise Trouble(f"{TRACEFS} is not there", f"mount -t tracefs nodev {TRACEFS}", Exit.NOT_HERE)
    if not (TRACEFS / "events" / "agent_mem").is_dir():
        raise Trouble("this kernel has no tracepoints agent_mem:*", "CONFIG_TRACEPOINTS=y", Exit.NOT_HERE)
