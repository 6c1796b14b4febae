"""What a person sees while waiting: one live line on a terminal, plain lines in a log. Always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status

stderr = Console(stderr=True, highlight=False)

PLAIN_EVERY = 30.0  # seconds between lines where there is no terminal


def plain() -> None:
    """From now on plain lines, on a terminal, too: others write to it."""
    global stderr
    stderr = Console(stderr=True, highlight=False, force_terminal=False)


def say(text: str) -> None:
    """One line for the person, never on stdout."""
    stderr.print(escape(text), soft_wrap=True)


class Step:
    """A wait under way: `update` tells how far it is."""

    def __init__(self, name: str, log: Path | None, status: Status | None) -> None:
        self._name, self._log, self._status = name, log, status
        self._started = self._said = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def update(self, detail: str) -> None:
        text = f"{self._name}: {detail[:100]} [{self.seconds:.0f} s]"
        if self._log:
            text += f" (log: {self._log})"
        if self._status:
            self._status.update(escape(text))
        elif time.monotonic() - self._said >= PLAIN_EVERY:
            self._said = time.monotonic()
            say(text)


@contextmanager
def step(name: str, log: Path | None = None) -> Iterator[Step]:
    """Shows `name` with the elapsed time and the log's place until the block ends."""
    where = f" (log: {log})" if log else ""
    if stderr.is_terminal:
        with stderr.status(escape(name + where)) as status:
            under_way = Step(name, log, status)
            yield under_way
    else:
        say(f"{name} ...{where}")
        under_way = Step(name, log, None)
        yield under_way
    say(f"{name}: done in {under_way.seconds:.1f} s")


Update = Callable[[str], None]
