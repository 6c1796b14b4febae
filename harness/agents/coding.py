"""Real coding agents from npm, unmodified, each in a home of its own and against an endpoint on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import proc
from harness.cache import cache_dir, locked, new_dir

TASK = "Read the header files, one after another."
INSTALL = 900.0  # seconds


@dataclass(frozen=True)
class Agent:
    """prepare: its settings, written to its home; the environment that it is to have. argv: after its program."""

    name: str
    package: str
    version: str
    program: str
    argv: tuple[str, ...]
    prepare: Callable[[Path, str], dict[str, str]]


def _claude(_: Path, url: str) -> dict[str, str]:
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1"}
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", **quiet}


def _pi(home: Path, url: str) -> dict[str, str]:
    (settings := home / ".pi" / "agent").mkdir(parents=True)
    model = {"id": "m", "contextWindow": 2_000_000, "maxTokens": 8000}
    provider = {"baseUrl": url, "api": "anthropic-messages", "apiKey": "none", "models": [model]}
    (settings / "models.json").write_text(json.dumps({"providers": {"script": provider}}))
    return {"PI_OFFLINE": "1"}


CLAUDE = Agent(
    "claude",
    "@anthropic-ai/claude-code",
    "2.1.197",
    "claude",
    ("-p", "--verbose", "--output-format", "stream-json", "--dangerously-skip-permissions", TASK),
    _claude,
)
PI = Agent(
    "pi",
    "@mariozechner/pi-coding-agent",
    "0.73.1",
    "pi",
    ("-p", "--mode", "json", "--provider", "script", "--model", "m", TASK),
    _pi,
)


def installed(agent: Agent) -> Path:
    """Its program, from the cache or by npm. ToolError: npm cannot give it."""
    place = cache_dir() / "agents" / f"{agent.name}-{agent.version}"
    with locked(f"agent-{agent.name}"):
        if not place.exists():
            with new_dir(place) as aside:
                fetch = [
                    "npm",
                    "install",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    f"{agent.package}@{agent.version}",
                ]
                proc.run([*fetch, "--prefix", str(aside)], timeout=INSTALL)
                # The one step of its own that is left out above: it puts its binary in place, which npm has brought.
                script = aside / "node_modules" / agent.package / "install.cjs"
                if script.exists():
                    proc.run(["node", str(script)], timeout=INSTALL)
    return place / "node_modules" / ".bin" / agent.program
