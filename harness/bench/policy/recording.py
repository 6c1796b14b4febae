"""A recorded conversation as what an agent does: requests to a model, each with the whole history before it.

The history before a request is stored as an append to the one before. A tool's result is stored by itself, too, and
read once, when it goes into the history. Times are taken where messages carry them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from harness.errors import UsageError
from harness.sessions import Session, compact

TOOL_ROLES = ("tool", "toolResult", "function", "bashExecution")
TOOL_TYPES = ("function_call_output", "local_shell_call_output", "custom_tool_call_output")
MODEL_TYPES = ("function_call", "local_shell_call", "custom_tool_call", "reasoning")
OBSERVATION = "OBSERVATION"  # how SWE-smith begins what its tools say
TERMINAL = "terminal"  # Who&When: the name of what runs the agents' code ends so


class Kind(Enum):
    USER = auto()
    MODEL = auto()
    TOOL = auto()


@dataclass(frozen=True)
class Message:
    kind: Kind
    size: int  # bytes in the stored history
    time: float | None  # seconds, of a clock of the recording's own


@dataclass(frozen=True)
class Request:
    """One request to the model. `by_user`: it answers a user, else it goes on after a tool.

    appended: bytes the history has grown by since the last request. results: sizes of the tool results among them.
    seconds: until the next message was there (model and tool), think: until the user answered; None: not recorded.
    """

    by_user: bool
    appended: int
    results: tuple[int, ...]
    seconds: float | None
    think: float | None


@dataclass(frozen=True)
class Recording:
    name: str
    prompt: bytes
    tools: tuple[bytes, ...]
    requests: tuple[Request, ...]


def read(session: Session) -> Recording:
    """UsageError: the conversation is no list of messages."""
    try:
        messages = json.loads(session.conversation)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{session.name} is not JSON: {error}") from error
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise UsageError(f"{session.name} is not a list of messages", hint="docs/demo.md tells the layout of a corpus")
    return Recording(session.name, session.system_prompt, session.tools, tuple(_requests(list(_messages(messages)))))


def _messages(messages: Sequence[dict[str, Any]]) -> Iterator[Message]:
    before: dict[str, Any] = {}
    for message in messages:
        time = message.get("timestamp")
        seconds = time / 1000 if isinstance(time, int | float) else None
        yield Message(_kind(message, before), len(compact(message)) + 1, seconds)
        before = message


def _kind(message: dict[str, Any], before: dict[str, Any]) -> Kind:
    role, kind, content = message.get("role"), message.get("type"), message.get("content")
    if role in TOOL_ROLES or kind in TOOL_TYPES or str(message.get("name", "")).endswith(TERMINAL):
        return Kind.TOOL
    if role == "assistant" or kind in MODEL_TYPES or "name" in message:  # a name: another agent of the same group
        return Kind.MODEL
    if "action" in before or (isinstance(content, str) and content.startswith(OBSERVATION)):
        return Kind.TOOL
    parts = content if isinstance(content, list) else []
    if any(isinstance(part, dict) and part.get("type") == "tool_result" for part in parts):
        return Kind.TOOL
    return Kind.USER


def _requests(messages: Sequence[Message]) -> Iterator[Request]:
    pending: list[Message] = []
    for place, message in enumerate(messages):
        if message.kind is Kind.MODEL:
            after = messages[place + 1] if place + 1 < len(messages) else None
            gap = after.time - message.time if after and after.time is not None and message.time is not None else None
            ends = after is None or after.kind is Kind.USER
            yield Request(
                by_user=not pending or any(one.kind is Kind.USER for one in pending),
                appended=sum(one.size for one in pending),
                results=tuple(one.size for one in pending if one.kind is Kind.TOOL),
                seconds=gap if not ends and gap and gap > 0 else None,
                think=gap if ends and gap and gap > 0 else None,
            )
            pending = []
        pending.append(message)
