"""The user's own sessions: each format by its content, and what is said when nothing is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import transcripts
from harness.errors import UsageError
from harness.sessions import Session

DATA = Path(__file__).parent.parent / "data" / "transcripts"


def only(name: str) -> Session:
    (session,) = transcripts.load(DATA / name).sessions
    return session


def roles(session: Session) -> list[str]:
    return [message.get("role", message.get("type")) for message in json.loads(session.conversation)]


def test_claude_code_with_a_line_still_being_written() -> None:
    session = only("claude.jsonl")
    assert roles(session) == ["user", "assistant", "user"]
    assert (session.system_prompt, session.tools) == (b"", ())
    assert b"grep -n frob widget.c" in session.conversation
    assert b"trackedFileBackups" not in session.conversation


def test_codex() -> None:
    session = only("codex.jsonl")
    assert session.system_prompt == b"You are a coding agent."
    assert [json.loads(tool)["name"] for tool in session.tools] == ["shell"]
    assert [item["type"] for item in json.loads(session.conversation)] == [
        "message",
        "function_call",
        "function_call_output",
    ]


def test_codex_before_base_instructions(tmp_path: Path) -> None:
    lines = [
        {"type": "session_meta", "payload": {"id": "x", "instructions": "Old style."}},
        {"type": "response_item", "payload": {"type": "message", "role": "user", "content": []}},
    ]
    file = tmp_path / "rollout.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert transcripts.load(file).sessions[0].system_prompt == b"Old style."


def test_pi() -> None:
    session = only("pi.jsonl")
    assert roles(session) == ["user", "assistant", "toolResult"]
    assert "List the tests — all of them".encode() in session.conversation


def test_openai_object() -> None:
    session = only("openai.json")
    assert session.system_prompt == b"You answer questions about widgets."
    assert len(session.tools) == 1
    assert roles(session) == ["user", "assistant", "tool"]


def test_openai_list_with_a_prompt_in_parts() -> None:
    session = only("list.json")
    assert session.system_prompt == b"Be brief."
    assert roles(session) == ["user", "assistant"]


def test_one_conversation_a_line() -> None:
    found = transcripts.load(DATA / "many.jsonl").sessions
    assert [json.loads(session.conversation)[0]["content"] for session in found] == ["one", "two"]
    assert len({session.name for session in found}) == 2


def test_one_message_a_line(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text('{"role":"system","content":"S"}\n{"role":"user","content":"U"}\n')
    (session,) = transcripts.load(file).sessions
    assert (session.system_prompt, roles(session)) == (b"S", ["user"])


def test_directory_names_what_it_could_not_read() -> None:
    source = transcripts.load(DATA)
    assert len(source.sessions) == 7
    assert "1 Claude Code sessions" in source.notes
    assert "3 OpenAI-style sessions" not in source.notes and "4 OpenAI-style sessions" in source.notes
    assert any("unknown.json" in note for note in source.notes)


def test_digest_follows_the_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_bytes((DATA / "list.json").read_bytes())
    second.write_bytes((DATA / "list.json").read_bytes().replace(b"Hello", b"Howdy"))
    same = transcripts.load(DATA / "list.json").digest
    assert transcripts.load(first).digest == same
    assert transcripts.load(second).digest != same


def test_lone_surrogates_survive(tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    file.write_text('[{"role":"user","content":"\\ud83d"}]')
    assert transcripts.load(file).sessions[0].conversation == b'[{"role":"user","content":"\xed\xa0\xbd"}]'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON at all",
        b"\x00\xff" * 50,
        b"[" * 100_000,
        b'{"messages":[]}',
        b'{"messages":[1,2]}',
        b'{"type":"session"}\n',
        b'{"type":"user","sessionId":"x","message":"text"}',
        b'{"type":"session_meta","payload":{"id":"x"}}',
        b'{"role":"user","content":"x"}\nbroken\n{"role":"user","content":"y"}',
        b"[1]\n[2]\n",
        b"3",
    ],
)
def test_what_is_no_session(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        transcripts.load(tmp_path)
    assert "Claude Code" in (caught.value.hint or "")


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing at"):
        transcripts.load(tmp_path / "missing")
