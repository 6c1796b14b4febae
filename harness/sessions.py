"""Agent sessions as data: what one conversation carries, and how conversations are dealt out to a fleet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.errors import UsageError

MAX_AGENTS = 4096  # processes in one guest; more is a typing error, not a fleet


@dataclass(frozen=True)
class Session:
    """One conversation, and the system prompt and tools it was held under (either may be empty)."""

    name: str
    system_prompt: bytes
    tools: tuple[bytes, ...]
    conversation: bytes


@dataclass(frozen=True)
class Agent:
    """What one process of the fleet holds: each distinct prompt and tool once, all of its conversations."""

    name: str
    prompts: tuple[bytes, ...]
    tools: tuple[bytes, ...]
    conversations: tuple[bytes, ...]

    @property
    def logical_bytes(self) -> int:
        return sum(map(len, (*self.prompts, *self.tools, *self.conversations)))


@dataclass(frozen=True)
class Source:
    """Where sessions came from. `digest` (SHA-256, hex) names the input; `notes` say what was left out.

    `tools` are definitions that the input has, whether or not a session was held with them.
    """

    kind: str
    name: str
    digest: str
    sessions: tuple[Session, ...]
    notes: tuple[str, ...] = field(default=())
    tools: tuple[bytes, ...] = field(default=())


def compact(value: object) -> bytes:
    """JSON as clients send it: no white space, UTF-8. Lone surrogates, which JSON can spell, pass through."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def deal(sessions: Sequence[Session], agents: int) -> tuple[Agent, ...]:
    """Deals every session to exactly one of `agents` agents, neighbours together: an agent keeps its role.

    No session is used twice: a text held twice because the fleet was short of texts would count as shared.
    UsageError when there are fewer sessions than agents.
    """
    if not 1 <= agents <= MAX_AGENTS:
        raise UsageError(f"a fleet has 1 to {MAX_AGENTS} agents, not {agents}")
    if agents > len(sessions):
        raise UsageError(
            f"{agents} agents need as many conversations, the input has {len(sessions)}; none is used twice",
            hint=f"--agents {len(sessions)}, or a larger input",
        )
    bounds = [len(sessions) * k // agents for k in range(agents + 1)]
    return tuple(_agent(f"agent-{k:03}", sessions[bounds[k] : bounds[k + 1]]) for k in range(agents))


def _agent(name: str, sessions: Sequence[Session]) -> Agent:
    return Agent(
        name,
        _distinct(session.system_prompt for session in sessions),
        _distinct(tool for session in sessions for tool in session.tools),
        tuple(session.conversation for session in sessions),
    )


def _distinct(texts: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))
