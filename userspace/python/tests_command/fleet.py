# SPDX-License-Identifier: MIT
"""Agents at work: python fleet.py DIRECTORY [TURNS [PAUSE]].

Five processes work on the texts of a directory. They have one system prompt and one set of tool definitions, of the
sizes that coding agents send. Each reads files and has a conversation that grows turn by turn; the first turns are the
planner's, which the others continue. It prints "ready" when each has done half of its turns; they go on, and exit when
its standard input is closed.
"""

from __future__ import annotations

import json
import os
import select
import sys
from dataclasses import dataclass
from pathlib import Path

import agentmem
from agentmem import History, State, Temperature, Type

PLANNER = "planner"
ROLES = {PLANNER: 900, "coder": 800, "reviewer": 500, "tester": 500, "archivist": 100}
IDLE = {"reviewer": Temperature.WARM, "archivist": Temperature.COLD}  # idle after half of the turns, and marked so
PROMPT, TOOLS, DESCRIPTION = 16_000, 24, 2_000  # bytes of the prompt; tools, and bytes of the description of each
ANSWER, RESULT = 1_500, 8_000  # bytes of a turn, at most


@dataclass(frozen=True)
class Context:
    """What all agents start with, and the files that they read."""

    prompt: str
    tools: str
    files: list[str]


def context(files: list[str]) -> Context:
    text = "\n".join(files)
    schema = {"type": "object", "properties": {"path": {"type": "string"}, "line": {"type": "integer"}}}
    described = (text[number * DESCRIPTION :][:DESCRIPTION] for number in range(TOOLS))
    tools = [{"name": f"tool_{n}", "description": words, "input_schema": schema} for n, words in enumerate(described)]
    return Context(text[:PROMPT], json.dumps(tools), files)


def work(role: str, given: Context, turns: int, pause: float, ready: int, ends: int) -> None:
    agentmem.agent(role, importance=ROLES[role], state=State.ACTIVE)
    held = [agentmem.put(given.prompt, Type.SYSTEM_PROMPT), agentmem.put(given.tools, Type.TOOL_DEF)]
    history = History()
    for turn in range(turns):
        author = role if turn >= turns // 4 else PLANNER
        text = given.files[(turn * 7 + len(author) % 3) % len(given.files)]
        held.append(agentmem.put(text, Type.TOOL_RESULT))
        answer = {"role": "assistant", "content": f"{author}, turn {turn}: {text[-ANSWER:]}"}
        history.extend([answer, {"role": "tool", "content": text[:RESULT]}])
        if turn == turns // 2:
            if role in IDLE:
                agentmem.mark(IDLE[role], state=State.IDLE)
            os.write(ready, b".")
            if role in IDLE:
                break
        if select.select([ends], [], [], pause)[0]:
            return
    select.select([ends], [], [])


def main() -> None:
    found = (path for path in sorted(Path(sys.argv[1]).rglob("*")) if path.suffix in (".md", ".h", ".c"))
    given = context([path.read_text() for path in found])
    turns = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0.15  # seconds of a turn
    ready, tell = os.pipe()
    ended, ends = os.pipe()
    for role in ROLES:
        if not os.fork():
            os.close(ends)
            work(role, given, turns, pause, tell, ended)
            os._exit(0)
    told = 0
    while told < len(ROLES):
        told += len(os.read(ready, len(ROLES)))
    print("ready", flush=True)
    sys.stdin.read()
    os.close(ends)


if __name__ == "__main__":
    main()
