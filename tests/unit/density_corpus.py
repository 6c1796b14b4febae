"""A small corpus for the density benchmark's tests: real text (this project's own pages and code), in sessions."""

from __future__ import annotations

import json

from harness.cache import REPO
from harness.sessions import Session, Source, compact

PAGE = 900  # bytes of one message


def source(sessions: int = 12) -> Source:
    """Sessions of 8 to 12 messages about this project's files; every third one is a long coding session."""
    pages = _pages()
    made = tuple(_session(number, pages) for number in range(sessions))
    tools = tuple(_tool(number, pages) for number in range(40))
    return Source("test", "test corpus", "of this project", made, tools=tools)


def _pages() -> list[str]:
    files = [*sorted((REPO / "docs").glob("*.md")), *sorted((REPO / "harness").glob("*.py"))]
    text = "\n".join(path.read_text() for path in files)
    return [text[at : at + PAGE] for at in range(0, len(text) - PAGE, PAGE)]


def _session(number: int, pages: list[str]) -> Session:
    count = 40 if number % 3 == 0 else 8 + number % 5
    messages = []
    for turn in range(count):
        page = pages[(number * 41 + turn) % len(pages)]
        messages.append({"role": "user", "content": f"in file {number}.py: {page}"})
        messages.append({"role": "assistant", "content": f"see main.c and {turn}.py"})
    prompt = "\n".join(pages[(number % 4) * 3 : (number % 4) * 3 + 3]).encode()
    return Session(f"session {number}", prompt, (_tool(number % 7, pages),), compact(messages))


def _tool(number: int, pages: list[str]) -> bytes:
    return json.dumps({"name": f"tool_{number}", "description": pages[-1 - number][:500]}).encode()
