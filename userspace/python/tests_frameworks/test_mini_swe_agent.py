# SPDX-License-Identifier: MIT
"""mini-swe-agent from end to end: its prompt, its loop, real commands; what its model answers is scripted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import agentmem

os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")

import yaml  # noqa: E402
from minisweagent import package_dir  # noqa: E402
from minisweagent.agents.default import DefaultAgent  # noqa: E402
from minisweagent.environments.local import LocalEnvironment  # noqa: E402
from minisweagent.models.test_models import DeterministicToolcallModel, make_toolcall_output  # noqa: E402

from agentmem.minisweagent import AgentmemAgent  # noqa: E402

COMMANDS = (
    "ls",
    "cat notes.txt | wc -l",
    "sed -i s/teh/the/ notes.txt && grep -c the notes.txt",
    "exit 3",
    "seq 1 3000",
    "python3 -c 'print(1 / 0)'",
    "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && cat notes.txt",
)
MACHINE = {"system": "Linux", "release": "1", "version": "1", "machine": "x86_64"}


def answers() -> list[dict[str, Any]]:
    made = []
    for number, command in enumerate(COMMANDS):
        call = f"call_{number}"
        function = {"name": "bash", "arguments": json.dumps({"command": command})}
        action = {"command": command, "tool_call_id": call}
        made.append(make_toolcall_output("Next.", [{"id": call, "type": "function", "function": function}], [action]))
    return made


def run(kind: type[DefaultAgent], place: Path) -> tuple[DefaultAgent, dict[str, Any]]:
    place.mkdir()
    (place / "notes.txt").write_text("teh first line\nteh second line\n")
    config = yaml.safe_load((package_dir / "config" / "mini.yaml").read_text())
    model = DeterministicToolcallModel(outputs=answers(), observation_template=config["model"]["observation_template"])
    kept = {**config["agent"], "cost_limit": 0, "output_path": place.parent / f"{kind.__name__}.json"}
    agent = kind(model, LocalEnvironment(cwd=str(place), env=config["environment"]["env"]), **kept)
    return agent, agent.run("Correct the spelling of notes.txt.", **MACHINE)


def told(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what differs from run to run."""
    text = json.dumps([{**message, "extra": {**message.get("extra", {}), "timestamp": 0}} for message in messages])
    plain: list[dict[str, Any]] = json.loads(text)
    return plain


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[AgentmemAgent, dict[str, Any], int, Path]:
    place, before = tmp_path_factory.mktemp("ours"), agentmem.stats().smus
    agent, result = run(AgentmemAgent, place / "work")
    assert isinstance(agent, AgentmemAgent)
    return agent, result, agentmem.stats().smus - before, place


def test_it_does_what_it_does_without(ours: tuple[AgentmemAgent, dict[str, Any], int, Path], tmp_path: Path) -> None:
    agent, result, _, place = ours
    plain, expected = run(DefaultAgent, tmp_path / "work")
    assert result == expected and result["exit_status"] == "Submitted"
    assert result["submission"] == "the first line\nthe second line\n"
    assert told(agent.messages) == told(plain.messages)
    saved = json.loads((place / "AgentmemAgent.json").read_text())
    assert told(saved["messages"]) == told(plain.messages) and saved["info"]["exit_status"] == "Submitted"


def test_its_history_is_one_object(ours: tuple[AgentmemAgent, dict[str, Any], int, Path]) -> None:
    agent, _, objects, _ = ours
    assert objects == 1
    assert len(agent.history) == 2 + 2 * len(COMMANDS) and "messages" not in vars(agent)


def test_another_process_reads_it_by_its_digest(ours: tuple[AgentmemAgent, dict[str, Any], int, Path]) -> None:
    agent = ours[0]
    assert agent.history.smu
    code = "import agentmem, json, sys; print(json.dumps(agentmem.History(agentmem.attach(sys.argv[1]))[:]))"
    argv = [sys.executable, "-c", code, agent.history.smu.hexdigest]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == agent.messages
