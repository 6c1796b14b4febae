# mypy: disable-error-code="import-not-found,import-untyped"
"""Runs mini-swe-agent's own agent and environment with its deterministic model, over a kernel tree.

A program of its own: the laboratory starts it with the packages of requirements.txt and none of its own
(which is why mypy does not find its imports). Every tool result is what a command printed.

stdin:  {"tree": path, "jobs": [{"part": directory, "seed": number}]}
stdout: for each job {"system_prompt": text, "tools": [definition], "messages": [message]}
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import plan
import yaml
from minisweagent import package_dir
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.test_models import DeterministicToolcallModel, make_toolcall_output
from minisweagent.models.utils.actions_toolcall import BASH_TOOL

SUBMIT = plan.Step("I have what I need and report.", "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")
NOT_SENT = "extra"  # bookkeeping that the framework itself takes out before a message goes to a model


def outputs(steps: tuple[plan.Step, ...]) -> list[dict[str, Any]]:
    """The model's answers, one for each step: a thought and one call of the bash tool."""
    answers = []
    for number, step in enumerate((*steps, SUBMIT)):
        call = f"call_{number:04}"
        arguments = json.dumps({"command": step.command})
        function = {"name": "bash", "arguments": arguments}
        action = {"command": step.command, "tool_call_id": call}
        answers.append(
            make_toolcall_output(step.thought, [{"id": call, "type": "function", "function": function}], [action])
        )
    return answers


def machine(tree: Path) -> dict[str, str]:
    """What the prompt says about the machine: taken from the tree, so that it is the same everywhere."""
    makefile = dict(line.split(" = ", 1) for line in (tree / "Makefile").read_text().split("\n")[:6] if " = " in line)
    release = ".".join(makefile[key].strip() for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
    return {"system": "Linux", "release": release, "version": "#1 SMP PREEMPT_DYNAMIC", "machine": "x86_64"}


def run(tree: Path, part: str, seed: int) -> dict[str, Any]:
    config = yaml.safe_load((package_dir / "config" / "mini.yaml").read_text())
    made = plan.make(tree, part, seed)
    agent = DefaultAgent(
        DeterministicToolcallModel(
            outputs=outputs(made.steps), observation_template=config["model"]["observation_template"]
        ),
        LocalEnvironment(cwd=str(tree), env=config["environment"]["env"]),
        **{**config["agent"], "cost_limit": 0},
    )
    agent.run(made.task, **machine(tree))
    system, *messages = [
        {key: value for key, value in message.items() if key != NOT_SENT}
        for message in agent.messages
        if message["role"] != "exit"
    ]
    return {"system_prompt": system["content"], "tools": [BASH_TOOL], "messages": messages}


def main() -> None:
    request = json.load(sys.stdin)
    tree = Path(request["tree"])
    json.dump([run(tree, job["part"], job["seed"]) for job in request["jobs"]], sys.stdout)


if __name__ == "__main__":
    main()
