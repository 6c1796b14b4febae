"""The fleets: which agent holds which texts.

A text is a list of pieces of the material's files, so that an own line in a prompt or one more version of a history
takes no room on the disk; the guest joins the pieces.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.bench.density.material import Material, Span
from harness.cache import new_file
from harness.fleet import TextType
from harness.progress import Update

PARTS = ("shared", "talk", "long")  # the guest's disks, in this order
ACTIVE_OF_TEN = 3  # agents of the mixed fleet that read while the others rest
MAGIC = b"AMDENS01"
HEADER = struct.Struct("<8sIIII")
TEXT = struct.Struct("<IIIIQ")
SEGMENT = struct.Struct("<IIQQ")
AGENT = struct.Struct("<IIII")


class Name(enum.StrEnum):
    IDENTICAL = "a"
    OWN_LINE = "b"
    HISTORY = "c"
    SESSIONS = "d"
    TOOLS = "e"
    MIXED = "f"


TITLES = {
    Name.IDENTICAL: "identical prompts",
    Name.OWN_LINE: "one own line in each prompt",
    Name.HISTORY: "whole history stored again after every turn",
    Name.SESSIONS: "long coding sessions",
    Name.TOOLS: "one object per tool",
    Name.MIXED: "mixed, 30 % of the agents reading",
}


@dataclass(frozen=True)
class Piece:
    part: int
    offset: int
    length: int


@dataclass(frozen=True)
class Text:
    kind: TextType
    pieces: tuple[Piece, ...]

    @property
    def length(self) -> int:
        return sum(piece.length for piece in self.pieces)


@dataclass(frozen=True)
class Agent:
    texts: tuple[Text, ...]
    active: bool = False

    @property
    def logical_bytes(self) -> int:
        return sum(text.length for text in self.texts)


@dataclass(frozen=True)
class Fleet:
    name: Name
    agents: tuple[Agent, ...]

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """Each text once, in the order in which it is first held."""
        return tuple(dict.fromkeys(text for agent in self.agents for text in agent.texts))

    @property
    def logical_bytes(self) -> int:
        return sum(agent.logical_bytes for agent in self.agents)

    @property
    def handles(self) -> int:
        return sum(len(agent.texts) for agent in self.agents)

    @cached_property
    def table(self) -> bytes:
        """What the guest is told (harness/bench/density/guest/table.h): little endian, naturally aligned."""
        numbers = {text: number for number, text in enumerate(self.texts)}
        holders = [0] * len(numbers)
        refs = [numbers[text] for agent in self.agents for text in agent.texts]
        for number in refs:
            holders[number] += 1
        pieces = [piece for text in self.texts for piece in text.pieces]
        out = bytearray(HEADER.pack(MAGIC, len(self.agents), len(refs), len(self.texts), len(pieces)))
        first = 0
        for number, text in enumerate(self.texts):
            out += TEXT.pack(first, len(text.pieces), text.kind, holders[number], text.length)
            first += len(text.pieces)
        for piece in pieces:
            out += SEGMENT.pack(piece.part, 0, piece.offset, piece.length)
        first = 0
        for agent in self.agents:
            out += AGENT.pack(first, len(agent.texts), agent.active, 0)
            first += len(agent.texts)
        out += np.array(refs, "<u4").tobytes()
        return bytes(out)

    def write(self, path: Path) -> None:
        with new_file(path) as aside:
            aside.write_bytes(self.table)

    def digest(self, material: Material) -> str:
        """Names the content: same digest, same bytes in every text."""
        return hashlib.sha256(f"{material.key} {self.name} ".encode() + self.table).hexdigest()


def make(name: Name, material: Material, update: Update = lambda _: None) -> Fleet:
    """The fleet of that name; files that it needs are written if they are not there."""
    return Fleet(name, tuple(MAKERS[name](material, update)))


# -- parts of an agent --


def _piece(part: str, span: Sequence[int]) -> Piece:
    return Piece(PARTS.index(part), span[0], span[1])


def _prompt(shared: dict[str, Any], agent: int | None = None) -> Text:
    """The common prompt; with the line of an agent a third into it."""
    offset, length = shared["prompt"]
    if agent is None:
        return Text(TextType.SYSTEM_PROMPT, (_piece("shared", (offset, length)),))
    split = shared["split"]
    spans: list[Span] = [(offset, split), tuple(shared["lines"][agent]), (offset + split, length - split)]
    return Text(TextType.SYSTEM_PROMPT, tuple(_piece("shared", span) for span in spans if span[1]))


def _tools(shared: dict[str, Any]) -> Text:
    return Text(TextType.TOOL_DEF, (_piece("shared", shared["tools"]),))


def _conversations(part: str, spans: Sequence[Sequence[int]]) -> Iterator[Text]:
    return (Text(TextType.CONVERSATION, (_piece(part, span),)) for span in spans)


def _versions(material: Material, shared: dict[str, Any], held: Sequence[Any]) -> Iterator[Text]:
    """Each session as it was before each question to the model, one session after the other, up to the agent's size."""
    left = material.size.whole
    close = _piece("shared", shared["close"])
    for offset, length, ends in held:
        for end in ends:
            beginning = _piece("long", (offset, min(end, length)))
            left -= beginning.length + close.length
            yield Text(TextType.CONVERSATION, (beginning, close))
            if left <= 0:
                return


# -- the fleets --


def _identical(material: Material, update: Update) -> Iterator[Agent]:
    shared, talk = material.index("shared", update), material.index("talk", update)
    for spans in talk["agents"]:
        yield Agent((_prompt(shared), _tools(shared), *_conversations("talk", spans)))


def _own_line(material: Material, update: Update) -> Iterator[Agent]:
    shared, talk = material.index("shared", update), material.index("talk", update)
    for number, spans in enumerate(talk["agents"]):
        yield Agent((_prompt(shared, number), _tools(shared), *_conversations("talk", spans)))


def _history(material: Material, update: Update) -> Iterator[Agent]:
    shared, sessions = material.index("shared", update), material.index("long", update)
    for held in sessions["agents"]:
        yield Agent(tuple(_versions(material, shared, held)))


def _sessions(material: Material, update: Update) -> Iterator[Agent]:
    shared, sessions = material.index("shared", update), material.index("long", update)
    for held in sessions["agents"]:
        yield Agent((_prompt(shared), _tools(shared), *_conversations("long", held)))


def _single_tools(material: Material, update: Update) -> Iterator[Agent]:
    """Half of the tools that there are, another half for each agent and in another order."""
    shared = material.index("shared", update)
    there = len(shared["single_tools"])
    for number in range(material.size.agents):
        order = np.argsort(np.random.PCG64(number).random_raw(there), kind="stable")[: material.size.single_tools]
        yield Agent(tuple(Text(TextType.TOOL_DEF, (_piece("shared", shared["single_tools"][at]),)) for at in order))


def _mixed(material: Material, update: Update) -> Iterator[Agent]:
    """One agent in four of each of the other kinds that hold conversations."""
    kinds = [list(maker(material, update)) for maker in (_identical, _own_line, _history, _sessions)]
    for number in range(material.size.agents):
        yield Agent(kinds[number % len(kinds)][number].texts, active=number % 10 < ACTIVE_OF_TEN)


MAKERS: dict[Name, Callable[[Material, Update], Iterator[Agent]]] = {
    Name.IDENTICAL: _identical,
    Name.OWN_LINE: _own_line,
    Name.HISTORY: _history,
    Name.SESSIONS: _sessions,
    Name.TOOLS: _single_tools,
    Name.MIXED: _mixed,
}
