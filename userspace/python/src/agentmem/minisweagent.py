# SPDX-License-Identifier: MIT
"""mini-swe-agent with its history as an SMU: use AgentmemAgent instead of DefaultAgent.

The mixin does it for its other agents: class Mine(AgentmemMessages, InteractiveAgent): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minisweagent.agents.default import DefaultAgent

from agentmem.history import History, Message

if TYPE_CHECKING:
    Base = DefaultAgent
else:
    Base = object


class AgentmemMessages(Base):
    """`messages` is made from `history` where it is asked for, and lives as long as whoever asked has it."""

    history: History

    @property
    def messages(self) -> list[Message]:
        return list(self.history)

    @messages.setter
    def messages(self, messages: list[Message]) -> None:
        self.history = History()
        self.history.extend(messages)

    def add_messages(self, *messages: Message) -> list[Message]:
        self.history.extend(messages)
        return list(messages)


class AgentmemAgent(AgentmemMessages, DefaultAgent):
    """DefaultAgent whose `history.smu` is the conversation so far."""
