"""How conversations are dealt out."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.sessions import MAX_AGENTS, Session, compact, deal


def session(number: int, prompt: bytes = b"P", tools: tuple[bytes, ...] = (b"T",)) -> Session:
    return Session(f"s{number}", prompt, tools, b"c%d" % number)


@pytest.mark.parametrize("agents", [1, 2, 3, 7, 10])
def test_every_session_once_and_nobody_without(agents: int) -> None:
    sessions = [session(k) for k in range(10)]
    dealt = deal(sessions, agents)
    assert len(dealt) == agents
    assert [text for agent in dealt for text in agent.conversations] == [s.conversation for s in sessions]
    assert all(agent.conversations for agent in dealt)


def test_an_agent_holds_each_prompt_and_tool_once() -> None:
    (agent,) = deal([session(0), session(1), session(2, b"Q", (b"U", b"T")), session(3, b"", ())], 1)
    assert agent.prompts == (b"P", b"Q")
    assert agent.tools == (b"T", b"U")
    assert agent.logical_bytes == 2 + 2 + 8


@pytest.mark.parametrize("agents", [-1, 0, 3, MAX_AGENTS + 1])
def test_a_fleet_of_the_wrong_size(agents: int) -> None:
    with pytest.raises(UsageError):
        deal([session(0), session(1)], agents)


def test_compact_is_utf8_without_white_space() -> None:
    assert compact({"a": ["ä", 1]}) == '{"a":["ä",1]}'.encode()
