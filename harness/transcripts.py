"""The user's own agent sessions, told by their content and read where they lie. Nothing leaves the machine.

Known: Claude Code (JSONL, a `sessionId` on each line), Codex (rollout JSONL), pi (JSONL that starts with a
`session` line), and OpenAI-style messages (a JSON list, an object with `messages`, or either as JSONL).
What a format does not record (Claude Code and pi keep neither prompt nor tools) is absent, not invented.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.progress import Update
from harness.sessions import Session, Source, compact

MAX_FILE = 1 << 30  # bytes; a larger file is named in a note, not read
EXPECTED = (
    "Claude Code JSONL (~/.claude/projects), Codex rollout JSONL (~/.codex/sessions), "
    "pi JSONL (~/.pi/agent/sessions), or OpenAI-style message JSON"
)
NAMED_IN_NOTE = 5

Record = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """One kind of session file: how its records are recognised, and what they hold."""

    name: str
    matches: Callable[[list[Record]], bool]
    read: Callable[[list[Record]], Iterator[tuple[bytes, tuple[bytes, ...], list[Any]]]]


def load(path: Path, update: Update = lambda _: None) -> Source:
    """Every session found at `path`, a file or a directory; UsageError if there is none."""
    if not path.exists():
        raise UsageError(f"there is nothing at {path}", hint=f"--transcripts takes {EXPECTED}")
    files = sorted(_files(path))
    sessions: list[Session] = []
    kinds: dict[str, int] = {}
    unknown: list[Path] = []
    digest = hashlib.sha256()
    for number, file in enumerate(files):
        update(f"{number} of {len(files)} files, {len(sessions)} sessions")
        found = _read(file, path)
        if found is None:
            unknown.append(file)
            continue
        kind, read = found
        kinds[kind] = kinds.get(kind, 0) + len(read)
        for session in read:
            sessions.append(session)
            digest.update(hashlib.sha256(session.conversation).digest())
    if not sessions:
        raise UsageError(f"no agent session in {path} ({len(files)} files looked at)", hint=f"expected: {EXPECTED}")
    notes = [f"{count} {kind} sessions" for kind, count in sorted(kinds.items())]
    if unknown:
        notes.append(_unknown_note(unknown))
    return Source("transcripts", str(path), digest.hexdigest(), tuple(sessions), tuple(notes))


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in path.rglob("*"):
        if file.is_file() and not file.is_symlink():
            yield file


def _unknown_note(unknown: list[Path]) -> str:
    names = ", ".join(file.name for file in unknown[:NAMED_IN_NOTE])
    more = len(unknown) - NAMED_IN_NOTE
    return f"{len(unknown)} files are no agent session: {names}" + (f" and {more} more" if more > 0 else "")


def _read(file: Path, top: Path) -> tuple[str, list[Session]] | None:
    """The kind and the sessions of one file; None for a file of no known kind or without a message."""
    try:
        if file.stat().st_size > MAX_FILE:
            return None
        records = _records(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    name = str(file.relative_to(top)) if file != top else file.name
    for form in FORMATS:
        if records and form.matches(records):
            sessions = [
                Session(f"{name}#{index}", prompt, tools, compact(messages))
                for index, (prompt, tools, messages) in enumerate(form.read(records))
                if messages
            ]
            return (form.name, sessions) if sessions else None
    return None


def _records(content: bytes) -> list[Record]:
    """The objects of a JSON or JSONL file; a list of messages becomes one object. Empty: neither of the two.

    The last line of a JSONL file may be cut off: a session may be going on while we read.
    """
    text = content.decode("utf-8", "replace")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return _lines(text)
    if isinstance(whole, list):
        return [{"messages": whole}]
    return [whole] if isinstance(whole, dict) else []


def _lines(text: str) -> list[Record]:
    lines = [line for line in text.split("\n") if line.strip()]
    records: list[Record] = []
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) - 1:
                break
            return []
        if not isinstance(record, dict):
            return []
        records.append(record)
    return records


# -- the formats --


def _is_claude(records: list[Record]) -> bool:
    return any("sessionId" in r and r.get("type") in ("user", "assistant") and _dict(r, "message") for r in records)


def _read_claude(records: list[Record]) -> Iterator[tuple[bytes, tuple[bytes, ...], list[Any]]]:
    yield (
        b"",
        (),
        [r["message"] for r in records if r.get("type") in ("user", "assistant") and _dict(r, "message")],
    )


def _is_codex(records: list[Record]) -> bool:
    return any(r.get("type") in ("session_meta", "response_item") and _dict(r, "payload") for r in records)


def _read_codex(records: list[Record]) -> Iterator[tuple[bytes, tuple[bytes, ...], list[Any]]]:
    meta: Record = next((r["payload"] for r in records if r.get("type") == "session_meta" and _dict(r, "payload")), {})
    base = meta.get("base_instructions")  # since 0.60: {"text": ...}; before: `instructions`, a string or null
    prompt = base.get("text") if isinstance(base, dict) else base or meta.get("instructions")
    items = [r["payload"] for r in records if r.get("type") == "response_item" and _dict(r, "payload")]
    yield _text(prompt), _definitions(meta.get("dynamic_tools")), items


def _is_pi(records: list[Record]) -> bool:
    return records[0].get("type") == "session" and any(_dict(r, "message") for r in records[1:])


def _read_pi(records: list[Record]) -> Iterator[tuple[bytes, tuple[bytes, ...], list[Any]]]:
    messages = [r["message"] for r in records[1:] if r.get("type") == "message" and _dict(r, "message")]
    yield _text(records[0].get("systemPrompt")), _definitions(records[0].get("tools")), messages


def _is_openai(records: list[Record]) -> bool:
    return all(_is_message(r) for r in records) or all(
        isinstance(r.get("messages"), list) and r["messages"] and all(map(_is_message, r["messages"])) for r in records
    )


def _read_openai(records: list[Record]) -> Iterator[tuple[bytes, tuple[bytes, ...], list[Any]]]:
    if "messages" not in records[0]:
        records = [{"messages": records}]  # JSONL with one message a line
    for record in records:
        messages: list[Record] = record["messages"]
        start = next((i for i, m in enumerate(messages) if m["role"] not in ("system", "developer")), len(messages))
        prompts = [_text(record.get("system")), *(_text(m.get("content")) for m in messages[:start])]
        tools = _definitions(record.get("tools") or record.get("functions"))
        yield b"\n".join(filter(None, prompts)), tools, messages[start:]


FORMATS = (
    Format("Claude Code", _is_claude, _read_claude),
    Format("Codex", _is_codex, _read_codex),
    Format("pi", _is_pi, _read_pi),
    Format("OpenAI-style", _is_openai, _read_openai),
)


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict) and isinstance(value.get("role"), str) and ("content" in value or "tool_calls" in value)
    )


def _dict(record: Record, key: str) -> bool:
    return isinstance(record.get(key), dict)


def _definitions(value: object) -> tuple[bytes, ...]:
    return tuple(map(compact, value)) if isinstance(value, list) else ()


def _text(value: object) -> bytes:
    """A prompt as bytes: a string, or the text parts of a list of content blocks."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list):
        return b"".join(_text(part.get("text")) for part in value if isinstance(part, dict))
    return b""
