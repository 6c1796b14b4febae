"""The demo's default input: a real agent framework, real tool definitions, real command output.

mini-swe-agent (its prompt, loop and environment) is run with its own deterministic model over the kernel
tree; the tools are what the reference MCP servers answer to `tools/list`. All come from PyPI, pinned and
hash-checked by agents/requirements.txt, apart from the laboratory's own packages. Servers published to npm
alone are left out: Debian's npm would bring some 300 packages for four of them.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import pinned
from harness.agents import plan
from harness.cache import cache_dir, digest, new_file
from harness.errors import LabError
from harness.mcp import list_tools
from harness.proc import run
from harness.progress import Update
from harness.sessions import Session, Source, compact

AGENTS = Path(__file__).parent / "agents"
REQUIREMENTS = AGENTS / "requirements.txt"
PROGRAM = AGENTS / "run_agent.py"
PER_AGENT = 4  # conversations that each agent holds
BATCH = 4  # conversations made by one process
SERVERS = (
    ("mcp_server_git",),
    ("mcp_server_fetch",),
    ("mcp_server_time", "--local-timezone=UTC"),  # else its answer names this machine's zone
)


@dataclass(frozen=True)
class Job:
    """One conversation to be made; `key` names everything that decides its content."""

    number: int
    part: str
    seed: int
    key: str


def load(tree: Path, agents: int, update: Update = lambda _: None) -> Source:
    """PER_AGENT conversations for each agent, about the kernel tree (a git tree); made, or from the cache."""
    packages = framework(update)
    tools = _tools(packages, update)
    jobs = _jobs(tree, agents * PER_AGENT)
    _make(tree, packages, [job for job in jobs if not _place(job).is_file()], update)
    sessions = tuple(_session(job, tools) for job in jobs)
    whole = digest(*(text for s in sessions for text in (s.system_prompt, *s.tools, s.conversation)))
    pins = dict(re.findall(r"^(mini-swe-agent|mcp-server-\w+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))
    name = ", ".join(f"{package} {version}" for package, version in pins.items())
    return Source("made here", name, whole, sessions)


# -- the packages --


def framework(update: Update) -> Path:
    return pinned.packages(REQUIREMENTS, "agents", update)


def python(module: Sequence[str]) -> list[str]:
    return [sys.executable, "-S", *module]  # -S: without the laboratory's own packages


def environment(packages: Path) -> dict[str, str]:
    """What the framework and its commands see: nothing of the user's settings, nothing that varies."""
    settings = cache_dir() / "agents" / "settings"
    return {
        "PYTHONPATH": str(packages),
        "MSWEA_GLOBAL_CONFIG_DIR": str(settings),
        "MSWEA_SILENT_STARTUP": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }


def _tools(packages: Path, update: Update) -> tuple[bytes, ...]:
    place = packages.with_suffix(".tools.json")
    if not place.is_file():
        update("asking the MCP servers for their tools")
        found = [tool for server in SERVERS for tool in list_tools(python(["-m", *server]), environment(packages))]
        with new_file(place) as aside:
            aside.write_bytes(b"[" + b",".join(found) + b"]")
    return tuple(map(compact, json.loads(place.read_bytes())))


# -- the conversations --


def _jobs(tree: Path, count: int) -> list[Job]:
    release = run(["git", "-C", str(tree), "show", "HEAD:Makefile"]).stdout.split("EXTRAVERSION")[0]
    parts = {part: run(["git", "-C", str(tree), "rev-parse", f"HEAD:{part}"]).stdout for part in plan.PARTS}
    common = digest(REQUIREMENTS.read_bytes(), PROGRAM.read_bytes(), Path(plan.__file__).read_bytes(), release.encode())
    jobs = []
    for number in range(count):
        seed, index = divmod(number, len(plan.PARTS))
        part = plan.PARTS[index]
        jobs.append(Job(number, part, seed, digest(common.encode(), f"{part} {parts[part]} {seed}".encode())))
    return jobs


def _place(job: Job) -> Path:
    return cache_dir() / "conversations" / f"{job.key}.json"


def _make(tree: Path, packages: Path, jobs: Sequence[Job], update: Update) -> None:
    done = 0
    batches = [jobs[at : at + BATCH] for at in range(0, len(jobs), BATCH)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in pool.map(lambda batch: _make_batch(tree, packages, batch), batches):
            done += batch
            update(f"{done} of {len(jobs)} conversations made over {tree.name}")


def _make_batch(tree: Path, packages: Path, jobs: Sequence[Job]) -> int:
    request = {"tree": str(tree), "jobs": [{"part": job.part, "seed": job.seed} for job in jobs]}
    made = run(python([str(PROGRAM)]), env=environment(packages), stdin=json.dumps(request), timeout=1800).stdout
    results = json.loads(made)
    if len(results) != len(jobs):
        raise LabError(f"{PROGRAM.name} made {len(results)} conversations, not {len(jobs)}")
    for job, result in zip(jobs, results, strict=True):
        with new_file(_place(job)) as aside:
            aside.write_bytes(compact(result))
    return len(jobs)


def _session(job: Job, tools: tuple[bytes, ...]) -> Session:
    made: dict[str, Any] = json.loads(_place(job).read_bytes())
    own = tuple(map(compact, made["tools"]))
    name = f"{job.part}#{job.seed}"
    return Session(name, made["system_prompt"].encode(), (*own, *tools), compact(made["messages"]))
