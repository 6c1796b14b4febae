"""The scripted model: it has an agent read each file once, in order, and says so at the end."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from harness.agents import endpoint

FILES = [Path("/one"), Path("/two")]


def request(done: int, tool: str = "Read") -> dict[str, Any]:
    given = [{"role": "user", "content": [{"type": "tool_result", "content": f"file {n}"}]} for n in range(done)]
    return {"tools": [{"name": "Other"}, {"name": tool}], "messages": [{"role": "user", "content": "go"}, *given]}


@pytest.mark.parametrize(("tool", "key"), [("Read", "file_path"), ("read", "path")])
def test_the_next_file_is_the_one_that_was_not_read(tool: str, key: str) -> None:
    for done, file in enumerate(FILES):
        message = endpoint.answer(request(done, tool), FILES)
        assert message["stop_reason"] == "tool_use"
        assert message["content"][0]["input"][key] == str(file)
    message = endpoint.answer(request(len(FILES), tool), FILES)
    assert (message["stop_reason"], message["content"][0]["text"]) == ("end_turn", endpoint.FINAL)


def test_without_a_tool_to_read_with_it_ends() -> None:
    assert endpoint.answer({"messages": []}, FILES)["stop_reason"] == "end_turn"


def test_what_is_streamed_is_the_message() -> None:
    message = endpoint.answer(request(1), FILES)
    parts = dict(endpoint.events(message))
    assert json.loads(parts["content_block_delta"]["delta"]["partial_json"]) == message["content"][0]["input"]
    assert parts["message_delta"]["delta"]["stop_reason"] == "tool_use"


def test_over_http_it_answers_and_remembers_what_the_tool_gave() -> None:
    with endpoint.serve(FILES) as model:

        def post(body: dict[str, Any], path: str = "/v1/messages") -> bytes:
            asked = urllib.request.Request(model.url + path, json.dumps(body).encode())
            with urllib.request.urlopen(asked, timeout=10) as answered:
                return bytes(answered.read())

        assert json.loads(post(request(0)))["content"][0]["id"] == "toolu_0000"
        streamed = post({**request(2), "stream": True}).decode()
        assert streamed.startswith("event: message_start\ndata: ") and endpoint.FINAL in streamed
        assert "input_tokens" in json.loads(post(request(1), "/v1/messages/count_tokens"))
        post(request(1))
    assert endpoint.results(model.fullest) == ['"file 0"', '"file 1"']
