"""What the shim costs and gives: programs with and without it, and how much of their memory processes have alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import anonymous, node, programs, userspace
from harness.agents import scripted
from harness.anonymous import Alike
from harness.bench import stats
from harness.errors import LabError, UsageError
from harness.programs import Program, Run
from harness.progress import Update

TEXTS = 60  # header files, the largest: what an agent reads
LEAST = 20_000  # bytes, and most: what one call of a tool gives
MOST = 200_000
PYTHON = """
import random, signal, sys
chance = random.Random(sys.argv[1])
litter = [bytes(chance.randrange(100, 30000)) for _ in range(chance.randrange(200, 400))]
texts = [open(name, encoding="latin-1").read({most}) for name in sys.argv[2:]]
print("ready", flush=True)
signal.pause()
"""
NODE = """
const [, number, ...names] = process.argv.map((word, i) => i === 1 ? Number(word) : word);
const litter = Array.from({{ length: 200 + number * 37 }}, (_, i) => 'x'.repeat(i * 7919 * (number + 1) % 30000) + i);
const texts = names.map((name) => require('fs').readFileSync(name, 'latin1').slice(0, {most}));
console.log('ready');
setInterval(() => texts.length + litter.length, 1e6);
"""
HOLDERS = {
    "python": lambda: [sys.executable, "-c", PYTHON],
    "node": lambda: [str(node.node().program), "-e", NODE],
}


@dataclass(frozen=True)
class Scale:
    """rounds: of each program, with and without. processes: that hold texts at the same time."""

    rounds: int
    processes: int


FULL = Scale(rounds=7, processes=8)
QUICK = Scale(rounds=1, processes=2)
LONG_ROUNDS = 1  # of what takes minutes


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
    rounds: int
    without: Side
    shim: Side


@dataclass(frozen=True)
class Held:
    """texts: bytes that each of `processes` holds, as all the others do; then their private memory, both ways."""

    language: str
    processes: int
    texts: int
    without: Alike
    shim: Alike

    def as_json(self) -> dict[str, Any]:
        sides = {"without": self.without, "shim": self.shim}
        told = {name: {"bytes": one.bytes, "merged_bytes": one.merged_bytes} for name, one in sides.items()}
        return {"language": self.language, "processes": self.processes, "text_bytes": self.texts, **told}


@dataclass(frozen=True)
class Shim:
    lines: tuple[Line, ...]
    held: tuple[Held, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "programs": [asdict(line) for line in self.lines],
            "alike": [held.as_json() for held in self.held],
        }


def measure(
    scale: Scale, update: Update = lambda _: None, *, everything: bool = False, only: Sequence[str] = ()
) -> Shim:
    """everything: real agents and what takes minutes, too. only: of all programs those of these names.

    LabError: a program's result is another one with the shim, or it fails.
    """
    env = {"LD_PRELOAD": str(userspace.preload() / "libagentmem-preload.so")}
    wanted = [(make(), scale.rounds) for make in programs.ALL]
    if everything or only:  # not made else: making gets what is not there
        wanted += [(make(), scale.rounds) for make in scripted.ALL] + [(make(), LONG_ROUNDS) for make in programs.LONG]
    if only:
        wanted = _chosen(wanted, only)
    lines = tuple(_compare(program, env, rounds, update) for program, rounds in wanted)
    languages = () if only else tuple(HOLDERS)
    return Shim(lines, tuple(alike(language, scale.processes, env, update) for language in languages))


def _chosen(known: Sequence[tuple[Program, int]], only: Sequence[str]) -> list[tuple[Program, int]]:
    names = [program.name for program, _ in known]
    if unknown := sorted(set(only).difference(names)):
        raise UsageError(f"--only {' '.join(unknown)}: there is no such program", hint=f"they are {', '.join(names)}")
    return [one for one in known if one[0].name in only]


def _compare(program: Program, env: Mapping[str, str], rounds: int, update: Update) -> Line:
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for number in range(rounds):
        update(f"{program.name}, {number + 1} of {rounds}")
        for with_it in (number % 2 == 0, number % 2 != 0):  # who is first finds colder caches
            runs[with_it].append(programs.run(program, env if with_it else {}))
    failed = any(run.code or not run.result for both in runs.values() for run in both)
    if failed or not all(program.same(one.result, other.result) for one in runs[False] for other in runs[True]):
        raise LabError(f"{program.name} does not give the same with the shim", hint="harness test tests/native")
    return Line(program.name, program.about, True, rounds, _side(runs[False]), _side(runs[True]))


def _side(runs: Sequence[Run]) -> Side:
    return Side(*(stats.median(getattr(run, name) for run in runs) for name in ("seconds", "cpu", "peak")))


# -- alike -------------------------------------------------------------------------------------------------------------


def alike(language: str, processes: int, env: Mapping[str, str], update: Update = lambda _: None) -> Held:
    """The same processes twice, the second time with `env`."""
    update(f"{processes} processes that hold the same texts, {language}")
    texts = _texts()
    without, shim = (_held(language, processes, texts, one) for one in ({}, env))
    return Held(language, processes, sum(min(path.stat().st_size, MOST) for path in texts), without, shim)


def _texts() -> list[Path]:
    found = ((path.stat().st_size, path) for path in Path("/usr/include").rglob("*.h") if path.is_file())
    return [path for size, path in sorted(found, reverse=True) if size >= LEAST][:TEXTS]


def _held(language: str, count: int, texts: Sequence[Path], env: Mapping[str, str]) -> Alike:
    with ExitStack() as stack:
        held = [stack.enter_context(_holder(language, number, texts, env)) for number in range(count)]
        return anonymous.alike(held)


@contextmanager
def _holder(language: str, number: int, texts: Sequence[Path], env: Mapping[str, str]) -> Iterator[int]:
    """A process that has done other things before, as each has, and now holds the texts."""
    *interpreter, script = HOLDERS[language]()
    argv = [*interpreter, script.format(most=MOST), str(number), *map(str, texts)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, **env})
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise LabError(f"a process that was to hold texts did not start ({language})")
        yield process.pid
    finally:
        process.kill()
        process.communicate()
