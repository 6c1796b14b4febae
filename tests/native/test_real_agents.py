"""Real coding agents, unmodified, under agentmem-run with the shim: what their tools give is what they give without."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import userspace
from harness.agents import coding, endpoint
from harness.agents.coding import Agent

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
FILES = 25
SECONDS = 600


def largest_headers() -> list[Path]:
    found = (path for path in Path("/usr/include").rglob("*.h") if path.is_file())
    return sorted(found, key=lambda path: (-path.stat().st_size, path))[:FILES]


def session(agent: Agent, place: Path, *wrapper: str) -> list[str]:
    """What its tool gave for each file, as it told the model."""
    (work := place / "work").mkdir(parents=True)
    (runtime := place / "runtime").mkdir(mode=0o700)
    with endpoint.serve(largest_headers()) as model:
        env = agent.environment(place / "home", model.url)
        done = subprocess.run(
            [*wrapper, *agent.program(), *agent.once],
            cwd=work,
            env={**env, "XDG_RUNTIME_DIR": str(runtime), "AGENTMEM_BACKEND": "fallback"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    assert endpoint.FINAL in done.stdout
    return endpoint.results(model.fullest)


@pytest.mark.parametrize("agent", [coding.PI, coding.CLAUDE], ids=lambda agent: agent.name)
def test_an_agent_reads_and_ends_as_without_the_shim(agent: Agent, tmp_path: Path) -> None:
    runner = str(userspace.preload() / "agentmem-run")
    without = session(agent, tmp_path / "without")
    with_it = session(agent, tmp_path / "with", runner, agent.name, "--")
    assert len(without) == FILES and sum(map(len, without)) > 500_000
    assert with_it == without
