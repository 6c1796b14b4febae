"""Which lines of the series' own files were run: gcov's counters out of a guest, with the notes of its kernel's build.

A line that was not run is a test that is missing, or it has its reason in ci/uncovered.toml.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import proc
from harness.cache import REPO
from harness.errors import LabError, UsageError
from harness.guest import Guest
from harness.kernel import Kernel

REASONS = REPO / "ci" / "uncovered.toml"
COUNTERS = "/sys/kernel/debug/gcov"
OURS = re.compile(r"(?:^|/)(mm/agent_mem\w*\.[ch])$")
MAX_COUNTERS = 4 << 20  # bytes of one file of counters


@dataclass(frozen=True)
class Line:
    """A line that has code. count: how often it was run."""

    file: str
    number: int
    function: str
    text: str
    count: int

    def __str__(self) -> str:
        return f"{self.file}:{self.number} {self.function}: {self.text.strip()}"


@dataclass(frozen=True)
class Reason:
    """Why lines of a function (a regular expression) need not be run; text: which of them, a regular expression.

    race: it takes two at the same moment, so now and then the line is run.
    """

    why: str
    function: str
    text: str = ""
    race: bool = False

    def covers(self, line: Line) -> bool:
        return bool(re.fullmatch(self.function, line.function) and re.search(self.text, line.text))


@dataclass(frozen=True)
class Coverage:
    """The lines of our files, in order."""

    lines: tuple[Line, ...]

    @property
    def missed(self) -> list[Line]:
        return [line for line in self.lines if not line.count]

    @property
    def ratio(self) -> float:
        """Lines run, of all that have code."""
        return 1 - len(self.missed) / len(self.lines)


def reasons(path: Path = REASONS) -> list[Reason]:
    try:
        with path.open("rb") as stream:
            return [Reason(**entry) for entry in tomllib.load(stream)["reason"]]
    except (OSError, tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def collect(guest: Guest, kernel: Kernel) -> Coverage:
    """What the guest's kernel has counted since it booted. LabError: it does not count, or not this build's lines."""
    notes = sorted(kernel.config.parent.glob("*.gcno"))
    if not notes:
        raise LabError(f"the {kernel.flavour} kernel counts no lines", hint="harness build --flavour gcov")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for note in notes:
            shutil.copy2(note, place)
            _pull(guest, note.stem, place / f"{note.stem}.gcda")
        told = [report for note in notes for report in _gcov(place, note.stem)]
    lines = _lines(told, kernel.tree)
    if not lines:
        raise LabError("gcov tells of no line of ours", log=guest.console)
    return Coverage(tuple(lines))


def _pull(guest: Guest, stem: str, local: Path) -> None:
    """A file of debugfs has no size, so it is copied in the guest first."""
    copy = f"/tmp/{stem}.gcda"
    script = f'cat "$(find {COUNTERS} -name {stem}.gcda)" > {copy}'
    done = guest.run(["sh", "-c", script])
    if done.code != 0:
        said = done.stderr.decode(errors="replace").strip()[:300]
        raise LabError(f"the guest's kernel has no counters of {stem}: {said!r}", log=guest.console)
    guest.pull(copy, local, limit=MAX_COUNTERS)


def _gcov(place: Path, stem: str) -> list[dict[str, Any]]:
    said = proc.run(["gcov", "--json-format", "--stdout", f"{stem}.gcda"], cwd=place, timeout=60).stdout
    try:
        found: list[dict[str, Any]] = json.loads(said)["files"]
    except (ValueError, KeyError) as error:
        raise LabError(f"gcov's report on {stem} cannot be read: {error}") from error
    return found


def _lines(told: Sequence[dict[str, Any]], tree: Path) -> list[Line]:
    """Each line once: one of a header is told by every file that includes it."""
    counts: dict[tuple[str, int], tuple[str, int]] = {}
    for report in told:
        if not (name := OURS.search(report["file"])):
            continue
        for line in report["lines"]:
            place = (name[1], int(line["line_number"]))
            function, count = counts.get(place, (line.get("function_name", ""), 0))
            counts[place] = (function, max(count, int(line["count"])))
    texts = {file: (tree / file).read_text().splitlines() for file, _ in counts}
    return [
        Line(file, number, function, texts[file][number - 1], count)
        for (file, number), (function, count) in sorted(counts.items())
    ]
