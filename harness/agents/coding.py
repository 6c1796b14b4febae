"""Real coding agents from npm, unmodified, each in a home of its own and against an endpoint on loopback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import node

TASK = "Read the files, one after another."
OTHERS = ("ANTHROPIC", "CLAUDE", "PI_")  # variables of the user's own agents


@dataclass(frozen=True)
class Agent:
    """program: its first words, of installed packages. once: what has it do TASK and end. prepare: its settings, by its
    home and the endpoint's URL: written there, or variables of its environment."""

    name: str
    program: Callable[[], list[str]]
    once: tuple[str, ...]
    prepare: Callable[[Path, str], dict[str, str]]

    def environment(self, home: Path, url: str) -> dict[str, str]:
        """What it runs with; home is made."""
        home.mkdir(parents=True, mode=0o700)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
        return {**inherited, **node.node().environment, "HOME": str(home), **self.prepare(home, url)}


def _claude(_: Path, url: str) -> dict[str, str]:
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1"}
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", **quiet}


def _pi(home: Path, url: str) -> dict[str, str]:
    (settings := home / ".pi" / "agent").mkdir(parents=True)
    model = {"id": "m", "contextWindow": 2_000_000, "maxTokens": 8000}
    provider = {"baseUrl": url, "api": "anthropic-messages", "apiKey": "none", "models": [model]}
    (settings / "models.json").write_text(json.dumps({"providers": {"script": provider}}))
    return {"PI_OFFLINE": "1"}


# Claude Code is the one that the Claude Agent SDK brings.
CLAUDE = Agent(
    "claude",
    lambda: [
        str(node.agents() / "@anthropic-ai" / "claude-agent-sdk-linux-x64" / "claude"),
        *("--verbose", "--output-format", "stream-json", "--dangerously-skip-permissions"),
    ],
    ("-p", TASK),
    _claude,
)
PI = Agent(
    "pi",
    lambda: [
        str(node.node().program),
        str(node.agents() / "@mariozechner" / "pi-coding-agent" / "dist" / "cli.js"),
        *("--provider", "script", "--model", "m"),
    ],
    ("-p", "--mode", "json", TASK),
    _pi,
)
