"""ci/splats.toml: which splats do not fail a run, why, and until when."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.cache import REPO
from harness.errors import UsageError

FILE = REPO / "ci" / "splats.toml"


@dataclass(frozen=True)
class Allowance:
    """One entry: splats with a line that matches `pattern` are let pass until the end of the day `expires`."""

    pattern: str
    reason: str
    expires: datetime.date

    def expired(self, today: datetime.date | None = None) -> bool:
        return (today or datetime.date.today()) > self.expires

    def covers(self, lines: Iterable[str]) -> bool:
        return not self.expired() and any(re.search(self.pattern, line) for line in lines)


def read(path: Path = FILE) -> list[Allowance]:
    """The entries of the file; UsageError for one that has no pattern, reason or date."""
    try:
        with path.open("rb") as stream:
            table = tomllib.load(stream)
        return [_entry(fields) for fields in table.get("allow", [])]
    except (OSError, tomllib.TOMLDecodeError, TypeError, ValueError, re.error) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _entry(fields: dict[str, object]) -> Allowance:
    entry = Allowance(**fields)  # type: ignore[arg-type]
    re.compile(entry.pattern)
    if not entry.reason.strip():
        raise ValueError(f"no reason is given for {entry.pattern!r}")
    if type(entry.expires) is not datetime.date:
        raise ValueError(f"expires of {entry.pattern!r} is no date (2027-01-31)")
    return entry
