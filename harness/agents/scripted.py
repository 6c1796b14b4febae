"""Sessions of real agents as programs to compare: each with the same script for its model, in a home of its own.

Claude Code and pi (npm) read header files, told so by an endpoint on loopback; mini-swe-agent (PyPI) looks through this
repository, told so by its own deterministic model. The result is what their tools gave.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness import conversations
from harness.agents import coding, endpoint
from harness.agents.coding import Agent
from harness.cache import REPO
from harness.pin import read_pin
from harness.programs import Program, plain

FILES = 25
GIVEN = "given"
PARTS = ("userspace/libagentmem/src", "userspace/preload/src", "harness/bench/guest")
SEEDS = 4  # sessions over each part


def largest_headers() -> list[Path]:
    found = (path for path in Path("/usr/include").rglob("*.h") if path.is_file())
    return sorted(found, key=lambda path: (-path.stat().st_size, path))[:FILES]


def coder(agent: Agent) -> Program:
    """A line for each file, and the model's last word; else what it said instead."""

    @contextmanager
    def beside(place: Path) -> Iterator[Mapping[str, str]]:
        with endpoint.serve(largest_headers()) as model:
            yield {**agent.environment(place / "home", model.url), "LC_ALL": "C.UTF-8"}
            (place / GIVEN).write_text("\n".join(endpoint.results(model.fullest)))

    def result(place: Path, printed: str) -> str:
        end = endpoint.FINAL if endpoint.FINAL in printed else printed[-2000:]
        return f"{(place / GIVEN).read_text()}\n{end}"

    about = f"reads {FILES} files, the largest of /usr/include"
    argv = (*agent.program(), *agent.once)
    return Program(agent.name, argv, about, result=result, errors=True, beside=beside)


def pi() -> Program:
    return coder(coding.PI)


def claude() -> Program:
    return coder(coding.CLAUDE)


def mini() -> Program:
    """A line for each message of each session."""
    packages = conversations.framework(lambda _: None)

    def prepare(place: Path) -> None:
        tree = place / "tree"
        subprocess.run(["git", "clone", "--quiet", "--shared", str(REPO), str(tree)], check=True)
        numbers = zip(("VERSION", "PATCHLEVEL", "SUBLEVEL"), read_pin().version.split("."), strict=True)
        (tree / "Makefile").write_text("".join(f"{name} = {number}\n" for name, number in numbers))
        jobs = [{"part": part, "seed": seed} for part in PARTS for seed in range(SEEDS)]
        (place / "request.json").write_text(json.dumps({"tree": str(tree), "jobs": jobs}))

    def result(_: Path, printed: str) -> str:
        try:
            sessions = json.loads(printed.splitlines()[-1])
        except (ValueError, IndexError):
            return printed[-2000:]
        return "\n".join(json.dumps(message) for session in sessions for message in session["messages"])

    @contextmanager
    def beside(place: Path) -> Iterator[Mapping[str, str]]:
        with plain(place) as env:
            yield {**env, **conversations.environment(packages)}

    program = conversations.python([str(conversations.PROGRAM)])
    argv = ("sh", "-c", 'exec "$@" <request.json', "sh", *program)
    about = f"{len(PARTS) * SEEDS} sessions of shell commands over this repository"
    return Program("mini-swe-agent", argv, about, prepare, result, errors=True, beside=beside)


ALL = (pi, claude, mini)
