# SPDX-License-Identifier: MIT
"""Agents: who they are, how they are used, what they hold."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

from agentmem import _native, values
from agentmem.figures import AgentStats, agent_stats
from agentmem.kinds import Scope, State, Temperature

SELF = -1  # instead of a descriptor of a process
TEMPERATURE, STATE, IMPORTANCE, NODE, NAME = (1 << bit for bit in range(5))  # what a mark says


@contextlib.contextmanager
def process(pid: int | None, pidfd: int | None) -> Iterator[int]:
    """The descriptor of a process that is named one way or the other, or of neither: SELF."""
    if pid is not None and pidfd is not None:
        raise ValueError("give pid or pidfd, not both")
    if pid is None:
        yield SELF if pidfd is None else pidfd
        return
    opened = os.pidfd_open(pid)
    try:
        yield opened
    finally:
        os.close(opened)


def mark(
    temperature: Temperature | None = None,
    *,
    state: State | None = None,
    importance: int | None = None,
    node: int | None = None,
    name: str | None = None,
    pid: int | None = None,
    pidfd: int | None = None,
) -> None:
    """Says how an agent is used: this one, or the one that a process belongs to (`pid`, or `pidfd` from pidfd_open).

    A temperature goes for all objects that it holds; without any argument it is HOT. node -1: none is preferred. A name
    is cut after 255 bytes. ProcessLookupError: the process is gone. PermissionError: it may not be signalled.
    """
    given = {TEMPERATURE: temperature, STATE: state, IMPORTANCE: importance, NODE: node, NAME: name}
    valid = sum(bit for bit, value in given.items() if value is not None)
    if not valid:
        valid, temperature = TEMPERATURE, Temperature.HOT
    heat = 0 if temperature is None else values.member(Temperature, temperature, "temperature")
    doing = 0 if state is None else values.member(State, state, "state")
    weight = 0 if importance is None else values.importance(importance)
    told = b"" if name is None else values.name(name)
    with process(pid, pidfd) as target:
        _native.mark(target, valid, heat, doing, weight, values.node(node), told)


def agent(name: str | None = None, *, importance: int | None = None, state: State | None = None) -> None:
    """Describes the agent that this process is; what is not said stays as it was.

    importance: 1 to 1000, in the beginning 500. One process is one agent, with the children that it forks: until they
    name themselves.
    """
    if name is None and importance is None and state is None:
        raise ValueError("nothing to say: give a name, an importance or a state")
    mark(name=name, importance=importance, state=state)


def agents() -> list[int]:
    """The processes of this user that are agents (with CAP_SYS_ADMIN and the kernel's backend: of all)."""
    return _native.agents()


def stats(scope: Scope = Scope.AGENT, *, pid: int | None = None, pidfd: int | None = None) -> AgentStats:
    """Figures of this agent, of another one (`pid` or `pidfd`), of all of this user's, or of the system.

    PermissionError: not allowed to look. OSError EOPNOTSUPP: SYSTEM with the fallback.
    """
    whose = values.member(Scope, scope, "scope")
    with process(pid, pidfd) as target:
        return agent_stats(_native.figures(whose, target))


def backend() -> Literal["kernel", "fallback"]:
    """Which backend this process uses; AGENTMEM_BACKEND in the environment decides before the first call."""
    return _native.backend()
