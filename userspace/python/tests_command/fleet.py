# SPDX-License-Identifier: MIT
"""Agents at work: python fleet.py DIRECTORY [TURNS].

Five processes that hold texts of a directory as agents do. It prints "ready" when each has done half of its turns;
they go on, and end with its standard input.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

import agentmem
from agentmem import History, State, Temperature, Type

ROLES = {"planner": 900, "coder": 800, "reviewer": 500, "tester": 500, "archivist": 100}
RESTS = "archivist"  # has done its work after half of the turns, and is idle then with all that it holds compressed
PAUSE = 0.15  # seconds of a turn


def work(role: str, texts: list[str], turns: int, ready: int, ends: int) -> None:
    agentmem.agent(role, importance=ROLES[role], state=State.ACTIVE)
    instructions, tools = texts[0], texts[1:4]
    held = [agentmem.put(instructions + f"\nYou are the {role}.\n", Type.SYSTEM_PROMPT)]
    held += [agentmem.put(instructions, Type.SYSTEM_PROMPT), *(agentmem.put(tool, Type.TOOL_DEF) for tool in tools)]
    history = History()
    for turn in range(turns):
        text = texts[(turn * 7 + len(role) % 3) % len(texts)]
        held.append(agentmem.put(text, Type.TOOL_RESULT))
        history.append({"role": "assistant", "content": f"{role}, turn {turn}: {text[:8000]}"})
        if turn == turns // 2:
            if role == RESTS:
                agentmem.mark(Temperature.COLD, state=State.IDLE)
            os.write(ready, b".")
            if role == RESTS:
                break
        if select.select([ends], [], [], PAUSE)[0]:
            return
    select.select([ends], [], [])


def main() -> None:
    texts = [path.read_text() for path in sorted(Path(sys.argv[1]).rglob("*")) if path.suffix in (".md", ".h", ".c")]
    turns = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    ready, tell = os.pipe()
    ended, ends = os.pipe()
    for role in ROLES:
        if not os.fork():
            os.close(ends)
            work(role, texts, turns, tell, ended)
            os._exit(0)
    told = 0
    while told < len(ROLES):
        told += len(os.read(ready, len(ROLES)))
    print("ready", flush=True)
    sys.stdin.read()
    os.close(ends)


if __name__ == "__main__":
    main()
