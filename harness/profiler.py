"""Where a guest's processors spend their time: their instruction pointers, sampled through QEMU's monitor.

The guest's kernel needs no support for it and is not interrupted. An emulated processor's pointer is exact to a block
of code without branches, which is enough to tell functions apart.
"""

from __future__ import annotations

import bisect
import re
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import LabError
from harness.qmp import Monitor
from harness.vmlinux import Image

PERIOD = 0.01  # seconds between two samples
USER = "(user space)"
OTHER = "(elsewhere)"  # a module, or code that has no symbol
PROCESSOR = re.compile(r"^RIP=([0-9a-f]{16}) .* CPL=(\d) .* HLT=([01])", re.MULTILINE)


class Functions:
    """Address -> name of the kernel's function."""

    def __init__(self, vmlinux: Path) -> None:
        with Image(vmlinux) as image:
            found = sorted((one.address, one.size, one.name) for same in image.symbols.values() for one in same)
        self._sized = [one for one in found if one[1]]
        self._starts = [address for address, _, _ in self._sized]

    def at(self, address: int) -> str:
        place = bisect.bisect_right(self._starts, address) - 1
        if place < 0:
            return OTHER
        start, size, name = self._sized[place]
        return name if address < start + size else OTHER


def read(said: str, functions: Functions) -> list[str]:
    """What each processor that is not halted executes, of the monitor's `info registers -a`."""
    return [
        functions.at(int(pointer, 16)) if level == "0" else USER
        for pointer, level, halted in PROCESSOR.findall(said)
        if halted == "0"
    ]


class Profiler:
    """Samples while its context lasts; `seen` counts the samples of each function, of all processors."""

    def __init__(self, monitor: Monitor, functions: Functions) -> None:
        self.seen: Counter[str] = Counter()
        self._monitor, self._functions = monitor, functions
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="profiler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._end.wait(PERIOD):
            try:
                said = self._monitor.execute("human-monitor-command", **{"command-line": "info registers -a"})
            except LabError:  # the guest is gone, which its owner notices
                return
            self.seen.update(read(str(said), self._functions))
