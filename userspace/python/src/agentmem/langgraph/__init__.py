# SPDX-License-Identifier: MIT
"""LangGraph's memory as SMUs: a checkpoint saver and a store. Needs the extra: pip install agentmem[langgraph].

    from agentmem.langgraph import AgentmemSaver, AgentmemStore

    graph = builder.compile(checkpointer=AgentmemSaver(), store=AgentmemStore())

Both are LangGraph's in-memory ones with the large values held as SMUs: they last as long as the process.
"""

from agentmem.langgraph.saver import AgentmemSaver
from agentmem.langgraph.store import AgentmemStore

__all__ = ["AgentmemSaver", "AgentmemStore"]
