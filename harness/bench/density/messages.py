"""Where the messages of a recorded conversation end: what a client has sent by each turn is a beginning of it."""

from __future__ import annotations

import json
import re

GAP = re.compile(r"[\s,]*")
ANSWER = "assistant"


def ends(text: bytes) -> list[int]:
    """Offset behind each message after which the model was asked: the one before each answer, and the last.

    Of what is no list of messages only the end is known.
    """
    try:
        found = _messages(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return [len(text)]
    asked = [end for (end, _), (_, answer) in zip(found, found[1:], strict=False) if answer]
    return [*asked, found[-1][0]] if found else [len(text)]


def _messages(text: str) -> list[tuple[int, bool]]:
    """For each message the offset in bytes behind it, and whether it is the model's."""
    decoder = json.JSONDecoder()
    start = GAP.match(text).end()  # type: ignore[union-attr]  # it matches the empty string
    if text[start : start + 1] != "[":
        raise ValueError("no list")
    found: list[tuple[int, bool]] = []
    place, passed, passed_bytes = start + 1, 0, 0
    while True:
        place = GAP.match(text, place).end()  # type: ignore[union-attr]
        if text[place : place + 1] == "]":
            return found
        message, place = decoder.raw_decode(text, place)
        passed_bytes += len(text[passed:place].encode("utf-8", "surrogatepass"))
        passed = place
        found.append((passed_bytes, isinstance(message, dict) and message.get("role") == ANSWER))
