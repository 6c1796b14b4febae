"""Logs of earlier runs, packed: the newest run's log lies in the open, the ones before it under `old/` (zstdless)."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import zstandard

from harness.cache import new_file, work_dir
from harness.console import UNPRINTABLE

KEPT = 100  # packed logs, of all activities together
LEVEL = 9
TAIL = 1 << 14  # bytes from the end that are looked at for the last lines
WIDTH = 300


def fresh(log: Path) -> Path:
    """Empties the log for a new run; what it held is packed first."""
    store(log, log.stem)
    log.write_bytes(b"")
    return log


def store(log: Path, name: str) -> None:
    """Packs a log as `old/NAME-<time it was last written>.log.zst`; nothing if it is empty or not there."""
    with contextlib.suppress(FileNotFoundError):
        seen = log.stat()
        if not seen.st_size:
            return
        old = work_dir("logs", "old")
        written = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seen.st_mtime))
        with log.open("rb") as plain, new_file(old / f"{name}-{written}.log.zst") as aside, aside.open("wb") as packed:
            zstandard.ZstdCompressor(level=LEVEL).copy_stream(plain, packed)
        _prune(old)


def tail(log: Path, lines: int) -> list[str]:
    """The last lines, without what a terminal would obey; none if there is no log."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - TAIL))
            said = stream.read(TAIL).decode(errors="replace")
    except OSError:
        return []
    return [UNPRINTABLE.sub("", line)[:WIDTH] for line in said.splitlines()[-lines:]]


def _prune(old: Path) -> None:
    for path in sorted(old.glob("*.log.zst"), key=_age)[KEPT:]:
        path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Newest first; what another run has removed meanwhile is oldest."""
    with contextlib.suppress(FileNotFoundError):
        return -path.stat().st_mtime
    return 0.0
