"""What the kernel's tracepoints tell of content that moves: dropped (and why), demoted, promoted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.bench.told import clean, figure

CLASSES = ("cold", "passed", "idle", "paused", "active")  # enum agent_evict_class, in the order of eviction
REASONS = ("age", "pressure")
KINDS = ("evict", "promote", "demote")
LINE = re.compile(r".* (\d+)\.(\d{6}): smu_(\w+): (.*)")
EVICT = re.compile(r"ino=\d+ pages=(\d+) class=(\w+) rank=[0-9a-f]+ (\w+)")
TIER = re.compile(r"ino=\d+ index=\d+ pages=(\d+) node=(\d+)")
HEAD = re.compile(r"# entries-in-buffer/entries-written: (\d+)/(\d+)\s+#P:\d+")


@dataclass(frozen=True)
class Move:
    """ms: since the beginning of the run. group, reason: of what was dropped."""

    ms: int
    kind: str
    pages: int
    group: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Moves:
    """lost: events that the buffer had no room for."""

    moves: tuple[Move, ...] = ()
    lost: int = 0

    def pages(self, kind: str, **of: str) -> int:
        return sum(
            move.pages
            for move in self.moves
            if move.kind == kind and all(getattr(move, name) == value for name, value in of.items())
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "evicted_pages": {
                reason: {group: self.pages("evict", group=group, reason=reason) for group in CLASSES}
                for reason in REASONS
            },
            "promoted_pages": self.pages("promote"),
            "demoted_pages": self.pages("demote"),
            "events": len(self.moves),
            "lost_events": self.lost,
        }


def read(text: str, begin: int) -> Moves:
    """The content of the tracing file. begin: ms of the trace's clock. ValueError: it is no such file."""
    lines = text.splitlines()
    heads = [match for line in lines if (match := HEAD.fullmatch(line.strip()))]
    if len(heads) != 1:
        raise ValueError("the trace does not tell how much of it is there")
    there, written = (figure(int(number)) for number in heads[0].groups())
    moves = tuple(_moves(lines, begin))
    if len(moves) != there or written < there:
        raise ValueError(f"{len(moves)} events in a trace of {there}")
    return Moves(moves, written - there)


def _moves(lines: list[str], begin: int) -> Iterator[Move]:
    for line in lines:
        if line.startswith("#") or not line.strip() or "LOST" in line:
            continue
        match = LINE.fullmatch(line)
        if not match or match[3] not in KINDS:
            raise ValueError(f"a line of the trace is {clean(line)}")
        ms = max(0, int(match[1]) * 1000 + int(match[2]) // 1000 - begin)
        yield _move(ms, match[3], match[4])


def _move(ms: int, kind: str, rest: str) -> Move:
    match = (EVICT if kind == "evict" else TIER).fullmatch(rest.strip())
    if not match:
        raise ValueError(f"{kind} with {clean(rest)}")
    pages = figure(int(match[1]))
    if kind != "evict":
        return Move(ms, kind, pages)
    if match[2] not in CLASSES or match[3] not in REASONS:
        raise ValueError(f"{kind} with {clean(rest)}")
    return Move(ms, kind, pages, match[2], match[3])
