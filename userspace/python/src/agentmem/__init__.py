# SPDX-License-Identifier: MIT
"""Texts of many agents, held once.

    import agentmem

    with agentmem.put("You are a careful reviewer.", agentmem.Type.SYSTEM_PROMPT) as prompt:
        print(agentmem.backend(), prompt.hexdigest, str(prompt, "utf-8"))

Whoever of the same user puts the same bytes gets the same object and the same memory. Every call may be made by many
threads at once, lets the others run meanwhile, and works on both sides of a fork; in asyncio, asyncio.to_thread is for
what is long.
Errors are OSError, of the subclass that errno stands for.
"""

from agentmem.agents import agent, agents, backend, mark, stats
from agentmem.figures import AgentStats, SmuStats
from agentmem.history import History
from agentmem.kinds import Algorithm, Scope, State, Temperature, Type
from agentmem.smu import Smu, append, attach, put, share

__all__ = [
    "AgentStats",
    "Algorithm",
    "History",
    "Scope",
    "Smu",
    "SmuStats",
    "State",
    "Temperature",
    "Type",
    "agent",
    "agents",
    "append",
    "attach",
    "backend",
    "mark",
    "put",
    "share",
    "stats",
]
