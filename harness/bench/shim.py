"""What the shim costs and gives: programs with and without it, and how much of their memory processes have alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import anonymous, programs, userspace
from harness.anonymous import Alike
from harness.bench import stats
from harness.errors import LabError
from harness.programs import Program, Run
from harness.progress import Update

TEXTS = 60  # header files, the largest: what an agent reads
LEAST = 20_000  # bytes, and most: what one call of a tool gives
MOST = 200_000
HOLDS = """
import random, signal, sys
chance = random.Random(sys.argv[1])
litter = [bytes(chance.randrange(100, 30000)) for _ in range(chance.randrange(200, 400))]
texts = [open(name, encoding="latin-1").read({most}) for name in sys.argv[2:]]
print("ready", flush=True)
signal.pause()
"""


@dataclass(frozen=True)
class Scale:
    """rounds: of each program, with and without. processes: that hold texts at the same time."""

    rounds: int
    processes: int


FULL = Scale(rounds=7, processes=8)
QUICK = Scale(rounds=1, processes=2)


@dataclass(frozen=True)
class Side:
    """Medians: seconds by the clock and on processors, bytes resident at most."""

    seconds: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Line:
    program: str
    about: str
    same: bool  # the results
    without: Side
    shim: Side


@dataclass(frozen=True)
class Shim:
    """texts: bytes that each of `processes` holds, as all the others do; then their private memory, both ways."""

    lines: tuple[Line, ...]
    processes: int
    texts: int
    without: Alike
    shim: Alike

    def as_json(self) -> dict[str, Any]:
        sides = {"without": self.without, "shim": self.shim}
        return {
            "programs": [asdict(line) for line in self.lines],
            "alike": {
                "processes": self.processes,
                "text_bytes": self.texts,
                **{name: {"bytes": one.bytes, "merged_bytes": one.merged_bytes} for name, one in sides.items()},
            },
        }


def measure(scale: Scale, update: Update = lambda _: None) -> Shim:
    """LabError: a program's result is another one with the shim, or it fails."""
    env = {"LD_PRELOAD": str(userspace.preload() / "libagentmem-preload.so")}
    lines = tuple(_compare(make, env, scale.rounds, update) for make in programs.ALL)
    update("processes that hold the same texts")
    texts = _texts()
    without, shim = (_held(scale.processes, texts, one) for one in ({}, env))
    size = sum(min(path.stat().st_size, MOST) for path in texts)
    return Shim(lines, scale.processes, size, without, shim)


def _compare(make: Callable[[], Program], env: Mapping[str, str], rounds: int, update: Update) -> Line:
    program = make()
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for number in range(rounds):
        update(f"{program.name}, {number + 1} of {rounds}")
        for with_it in (number % 2 == 0, number % 2 != 0):  # who is first finds colder caches
            runs[with_it].append(programs.run(program, env if with_it else {}))
    results = {(run.code, run.result) for both in runs.values() for run in both}
    if len(results) != 1 or next(iter(results))[0] != 0:
        raise LabError(f"{program.name} does not give the same with the shim", hint="harness test tests/native")
    return Line(program.name, program.about, True, _side(runs[False]), _side(runs[True]))


def _side(runs: Sequence[Run]) -> Side:
    return Side(*(stats.median(getattr(run, name) for run in runs) for name in ("seconds", "cpu", "peak")))


# -- alike -------------------------------------------------------------------------------------------------------------


def _texts() -> list[Path]:
    found = ((path.stat().st_size, path) for path in Path("/usr/include").rglob("*.h") if path.is_file())
    return [path for size, path in sorted(found, reverse=True) if size >= LEAST][:TEXTS]


def _held(count: int, texts: Sequence[Path], env: Mapping[str, str]) -> Alike:
    with ExitStack() as stack:
        return anonymous.alike([stack.enter_context(_holder(number, texts, env)) for number in range(count)])


@contextmanager
def _holder(number: int, texts: Sequence[Path], env: Mapping[str, str]) -> Iterator[int]:
    """A process that has done other things before, as each has, and now holds the texts."""
    argv = [sys.executable, "-c", HOLDS.format(most=MOST), str(number), *map(str, texts)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, **env})
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise LabError("a process that was to hold texts did not start")
        yield process.pid
    finally:
        process.kill()
        process.communicate()
