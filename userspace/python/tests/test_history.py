# SPDX-License-Identifier: MIT
"""A history is a sequence of messages, and one object."""

from __future__ import annotations

import json
import random

import pytest

import agentmem
from agentmem import History, Smu, attach, put


def messages(count: int, seed: int = 1) -> list[dict[str, object]]:
    chance = random.Random(seed)
    texts = ("naïve", "two\nlines", "🐍", '"quoted"\\', "\ud800 alone", "\u2028", "")
    return [
        {"role": chance.choice(["user", "tool"]), "content": chance.choice(texts) * chance.randint(0, 99), "n": number}
        for number in range(count)
    ]


def test_messages_come_back_as_they_were() -> None:
    given, history = messages(300), History()
    for start in range(0, 300, 7):
        history.extend(given[start : start + 7])
        assert len(history) == min(300, start + 7) and history[-1] == given[: start + 7][-1]
    assert list(history) == given == history[:]
    assert history[17] == given[17] and history[-3] == given[-3] and history[5:200:13] == given[5:200:13]
    assert given[40] in history and list(reversed(history)) == given[::-1]
    for wrong in (300, -301):
        with pytest.raises(IndexError):
            history[wrong]


def test_it_is_one_object_of_lines() -> None:
    before = agentmem.stats().smus
    history = History()
    assert history.smu is None and list(history) == [] and len(history) == 0
    for message in messages(150, seed=2):
        history.append(message)
    assert agentmem.stats().smus == before + 1
    smu = history.smu
    assert isinstance(smu, Smu) and smu.type is agentmem.Type.CONVERSATION
    assert [json.loads(line) for line in bytes(smu).split(b"\n")[:-1]] == list(history)


def test_another_goes_on_from_its_digest() -> None:
    history = History()
    history.extend(messages(40, seed=3))
    assert history.smu
    other = History(attach(history.smu.digest))
    other.append({"role": "user", "content": "branch"})
    assert list(other) == [*history, {"role": "user", "content": "branch"}] and len(history) == 40


def test_a_state_that_was_kept_is_gone_back_to() -> None:
    history = History()
    history.extend(messages(10, seed=4))
    kept = history.smu
    history.extend(messages(10, seed=5))
    assert list(History(kept)) == messages(10, seed=4)


def test_what_is_not_json_is_refused_and_changes_nothing() -> None:
    history = History()
    history.append({"a": 1})
    smu = history.smu
    with pytest.raises(TypeError):
        history.extend([{"b": 2}, {"c": object()}])
    assert history.smu is smu and list(history) == [{"a": 1}]


def test_what_is_no_history_is_refused() -> None:
    with pytest.raises(ValueError, match="is no history"):
        History(put("not a line"))


def test_reading_goes_on_while_it_grows() -> None:
    history = History()
    history.extend(messages(50, seed=6))
    reader = iter(history)
    seen = [next(reader)]
    history.extend(messages(50, seed=7))
    assert [*seen, *reader] == messages(50, seed=6) and len(history) == 100
