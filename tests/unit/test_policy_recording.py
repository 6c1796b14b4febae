"""Recorded conversations as requests to a model, in the forms that the corpus has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.bench.policy import recording
from harness.errors import UsageError
from harness.sessions import Session, compact


def read(*messages: dict[str, Any]) -> list[recording.Request]:
    return list(recording.read(Session("s", b"", (), compact(list(messages)))).requests)


def user(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def model(text: str = "yes", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


TOOLS: list[dict[str, Any]] = [
    {"role": "tool", "content": "result"},
    {"role": "toolResult", "content": [{"type": "text", "text": "result"}]},
    {"role": "user", "content": [{"type": "tool_result", "content": "result"}]},
    {"role": "user", "content": "OBSERVATION:\nresult"},
    {"role": "user", "name": "Computer_terminal", "content": "result"},
    {"type": "function_call_output", "output": "result"},
]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: json.dumps(tool)[:40])
def test_a_tools_result_goes_into_the_next_request_and_is_no_users_turn(tool: dict[str, Any]) -> None:
    first, second = read(user(), model(), tool, model())
    assert (first.by_user, first.results) == (True, ())
    assert (second.by_user, second.results) == (False, (len(compact(tool)) + 1,))
    assert second.appended == len(compact(model())) + 1 + second.results[0]


def test_an_observation_of_swe_agent_is_known_by_the_action_before_it() -> None:
    _, second = read(user(), model(action="ls"), user("a  b"), model())
    assert (second.by_user, len(second.results)) == (False, 1)


def test_another_agent_of_the_group_is_a_model() -> None:
    requests = read(user(), model(name="Expert_A"), {"role": "user", "name": "Expert_B", "content": "no"})
    assert [request.by_user for request in requests] == [True, False]


def test_times_are_of_the_answer_or_of_the_user_by_what_follows() -> None:
    requests = read(
        user(timestamp=1_000), model(timestamp=2_000), {**TOOLS[0], "timestamp": 5_500}, model(timestamp=5_600),
        user(timestamp=65_600), model(timestamp=65_700), user(timestamp=65_000), model(),
    )  # fmt: skip
    assert [(request.seconds, request.think) for request in requests] == [
        (3.5, None),
        (None, pytest.approx(60.0)),
        (None, None),  # a clock that went back tells nothing
        (None, None),
    ]


def test_what_is_no_conversation_is_refused() -> None:
    for content in (b"{}", b"[1]", b"no"):
        with pytest.raises(UsageError):
            recording.read(Session("s", b"", (), content))
