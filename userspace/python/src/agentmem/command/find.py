# SPDX-License-Identifier: MIT
"""What a word of the command line names: an object, by its digest or the digest's beginning, or an agent."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import agentmem
from agentmem.command import holdings, process
from agentmem.command.trouble import Exit, Trouble

DIGEST = re.compile(r"[0-9a-f]{64}", re.I)
BEGINNING = re.compile(r"[0-9a-f]{6,63}", re.I)
PID = re.compile(r"[1-9]\d{0,9}")


def smu(word: str) -> agentmem.Smu:
    """The object that a digest names. Of a beginning (6 digits at least) one must be held that begins so."""
    if not DIGEST.fullmatch(word):
        word = _whole(word)
    try:
        return agentmem.attach(word)
    except FileNotFoundError:
        next = "an object lasts as long as somebody holds it; `agentmem explain` shows what is held"
        raise Trouble(f"{word[:12]}: nobody of this user holds it", next, Exit.NOT_FOUND) from None


def agent(word: str) -> int:
    """The process of an agent: its number, or the agent's name."""
    if PID.fullmatch(word):
        os.close(process.opened(int(word), "agentmem agents"))
        return int(word)
    shown = os.fsencode(word).decode(errors="replace")
    named = [pid for pid in agentmem.agents() if name(pid) == shown]
    if not named:
        raise Trouble(f"{word}: no agent has this name", "agentmem agents", Exit.NOT_FOUND)
    if len(named) > 1:
        pids = " ".join(map(str, named))
        raise Trouble(f"{word}: several processes have this name: {pids}", "say which by its number", Exit.USAGE)
    return named[0]


def is_object(word: str) -> bool:
    """Whether a word that may be either names an object: a whole digest, or the beginning of one that is held."""
    if DIGEST.fullmatch(word):
        return True
    if not BEGINNING.fullmatch(word) or (PID.fullmatch(word) and Path("/proc", word).exists()):
        return False
    return any(digest.startswith(word.lower()) for digest in holdings.look().objects)


def name(pid: int) -> str:
    """An agent's name; empty: it cannot be looked at, or is gone."""
    with contextlib.suppress(OSError):
        return agentmem.stats(pid=pid).name
    return ""


def _whole(word: str) -> str:
    if not BEGINNING.fullmatch(word):
        raise Trouble(f"{word}: not a digest: 64 hexadecimal digits, or the first 6 or more of them", code=Exit.USAGE)
    begun = [digest for digest in holdings.look().objects if digest.startswith(word.lower())]
    if len(begun) > 1:
        raise Trouble(f"{word}: {len(begun)} objects begin with this", "give more digits", Exit.USAGE)
    if not begun:
        raise Trouble(f"{word}: no object that agents hold begins with this", "agentmem explain", Exit.NOT_FOUND)
    return begun[0]
