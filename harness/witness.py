"""The console log of one guest while it grows: panics as they happen, splats not yet told, its last lines."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from harness.console import Splat, scan

TAIL = 20  # lines
STACKS = 100  # lines
WIDTH = 200
OVERLAP = 200  # bytes read again, lest a word that is written in two parts is missed
MAX_BYTES = 256 << 20
MAX_SCAN = 32 << 20  # bytes: what a flooding guest has beyond this is not looked at, and told as a flood
PANIC = re.compile(rb"Kernel panic - not syncing[^\r\n]*")
ASKED_OFF = re.compile(rb"reboot: (?:Power down|Restarting system|System halted)")
# Of a panic's report: whose stack, and its functions, but not those that the unwinder only takes for likely ("? ").
STACK = re.compile(r"task:|NMI backtrace for cpu|CPU: \d|RIP: |(?<!\?) [\w.]+\+0x[0-9a-f]+/0x")
UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]|[^\x20-\x7e\t]")


class Witness:
    """Reads one console log from where it stands now."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._seen = self._told = self.size
        self.changed = time.monotonic()  # when it was last seen to have grown

    @property
    def size(self) -> int:
        return self.log.stat().st_size

    @property
    def flooded(self) -> bool:
        return self.size > MAX_BYTES

    def panic(self) -> str | None:
        """The panic in what was printed since the last call, if there is one. Cheap: called while waiting."""
        size = self.size
        if size == self._seen:
            return None
        match = PANIC.search(self._read(max(0, self._seen - OVERLAP)))
        self._seen, self.changed = size, time.monotonic()
        return UNPRINTABLE.sub("?", match[0].decode(errors="replace"))[:WIDTH] if match else None

    def splats(self) -> list[Splat]:
        """What the kernel reported since the last call; each report is told once."""
        start, self._told = self._told, self.size
        return scan(self._read(start).decode(errors="replace"))

    def asked_off(self) -> bool:
        """Whether the last thing it did was to switch off or restart because a program asked for it."""
        return bool(ASKED_OFF.search(self._read(max(0, self.size - 4096))))

    def holds(self, mark: bytes, start: int, patience: float) -> bool:
        """Waits until `mark` stands in the log after the position `start`."""
        end = time.monotonic() + patience
        while mark not in self._read(start):
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def tail(self) -> str:
        """The last lines, indented, printable on a person's terminal; empty if there are none."""
        return _quoted(self._lines(max(0, self.size - 16384))[-TAIL:])

    def stacks(self, start: int) -> str:
        """Of what was printed after the position `start`: stacks, in the same form."""
        return _quoted([line for line in self._lines(start) if STACK.search(line)][:STACKS])

    def _lines(self, start: int) -> list[str]:
        lines = self._read(start).decode(errors="replace").splitlines()
        return [shown for line in lines if (shown := UNPRINTABLE.sub("", line)[:WIDTH].rstrip())]

    def _read(self, start: int) -> bytes:
        with self.log.open("rb") as stream:
            stream.seek(start)
            return stream.read(MAX_SCAN)


def _quoted(lines: Sequence[str]) -> str:
    return "".join(f"\n  | {line}" for line in lines)
