"""What fleets are made of: a few large files of texts, written once and read by the guest as disks.

Each file is streamed, so that gigabytes need no memory. Texts of the corpus come first, each once; then further
rounds of it with other words (lexicon.py). Three files: `shared` (prompt, tools, what all agents have), `talk`
(conversations of any kind) and `long` (coding sessions of 24 KB and more, each with the ends of its messages).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from harness.bench.density import lexicon, messages
from harness.bench.density.lexicon import Lexicon
from harness.cache import new_file, sha256_file, work_dir
from harness.errors import LabError, UsageError
from harness.progress import Update
from harness.sessions import Source

MB = 1_000_000
PROMPT, TOOLS = 50 * MB, 100 * MB  # of an agent at scale 1
TALK_SHARE = 2.0  # conversations, times prompt and tools
TALK_OBJECTS = 10  # an agent's conversations are so many objects, each of whole conversations
LONG = 24_576  # bytes: a long session
SOURCE_FILE = re.compile(rb"\w\.(?:c|cc|cpp|go|h|hpp|java|js|kt|py|rb|rs|sh|ts|tsx)\b")  # what coding sessions name
CODING = 2_500  # bytes for each time that one is named, at most
TOOL_OBJECTS = 2_000  # an agent's single tools at scale 1
LEAST_TOOLS, MOST_TOOLS = 128, 512
ENOUGH = 0.98  # of what an agent is to hold
BLOCK = 4096
CLOSE = b"]"  # ends the list of messages that a version of a history is
Span = tuple[int, int]  # offset, length


@dataclass(frozen=True)
class Size:
    """How large a fleet is; see the constants for scale 1."""

    agents: int
    scale: float
    talk_share: float = TALK_SHARE

    @property
    def prompt(self) -> int:
        return round(PROMPT * self.scale)

    @property
    def tools(self) -> int:
        return round(TOOLS * self.scale)

    @property
    def talk(self) -> int:
        return round((PROMPT + TOOLS) * self.scale * self.talk_share)

    @property
    def whole(self) -> int:
        return self.prompt + self.tools + self.talk

    @property
    def single_tools(self) -> int:
        return min(MOST_TOOLS, max(LEAST_TOOLS, round(TOOL_OBJECTS * self.scale)))


class Rounds:
    """A list of texts, again and again, each round but the first with words of its own."""

    def __init__(self, name: str, texts: Sequence[bytes], words: Lexicon) -> None:
        self._name, self._words = name, words
        self._whole = b"".join(texts)
        self._template = words.template(self._whole)
        self.lengths = [len(text) for text in texts]

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Number of the text, and the text as of the round; without end."""
        turn = 0
        while True:
            whole = self._words.variant(self._template, f"{self._name} {turn}") if turn else self._whole
            at = 0
            for number, length in enumerate(self.lengths):
                yield number, whole[at : at + length]
                at += length
            turn += 1


class Material:
    """The files of one corpus and size, below the work area, made as they are asked for.

    Those of another corpus or size are removed.
    """

    def __init__(self, source: Source, size: Size) -> None:
        self.size = size
        self._source = source
        self._words: Lexicon | None = None
        recipe = [sha256_file(Path(module.__file__ or "")) for module in (lexicon, messages)]
        recipe += [sha256_file(Path(__file__)), source.digest, repr(size)]
        self.key = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:24]
        self.place = work_dir("density") / self.key

    def image(self, part: str) -> Path:
        return self.place / f"{part}.img"

    def disk(self, part: str) -> Path:
        """The file for the guest; an empty one in the place of a file that no fleet has asked for."""
        if self.image(part).is_file():
            return self.image(part)
        nothing = self.place / "nothing.img"
        nothing.write_bytes(bytes(BLOCK))
        return nothing

    def index(self, part: str, update: Update = lambda _: None) -> dict[str, Any]:
        """What lies where in a file, which is there when this returns."""
        listing = self.place / f"{part}.json"
        if not listing.is_file():
            self._prune()
            self._room(part)
            with new_file(self.image(part)) as aside, aside.open("wb") as out:
                made = PARTS[part](self, out, update)
                out.write(bytes(-out.tell() % BLOCK))
            with new_file(listing) as aside:
                aside.write_text(json.dumps(made))
        found: dict[str, Any] = json.loads(listing.read_text())
        return found

    def read(self, part: str, span: Span) -> bytes:
        with self.image(part).open("rb") as stream:
            stream.seek(span[0])
            return stream.read(span[1])

    def words(self) -> Lexicon:
        if self._words is None:
            self._words, alike = lexicon.fitting([*self._talk(), *self._prompts(), *self._tools()])
            with new_file(self.place / "likeness.json") as aside:
                aside.write_text(json.dumps({"common": self._words.common, **asdict(alike)}))
        return self._words

    def likeness(self) -> dict[str, float]:
        """How alike the rounds are that the files are made of; empty where no file was made."""
        place = self.place / "likeness.json"
        found: dict[str, float] = json.loads(place.read_text()) if place.is_file() else {}
        return found

    def rounds(self, name: str, texts: Sequence[bytes]) -> Rounds:
        return Rounds(name, texts, self.words())

    # -- the corpus --

    def _talk(self) -> list[bytes]:
        return [session.conversation for session in self._source.sessions]

    def _long(self) -> list[bytes]:
        """The long coding sessions; the longest tenth of the conversations if there are none."""
        talk = self._talk()
        coding = [text for text in talk if len(text) >= LONG and len(SOURCE_FILE.findall(text)) * CODING >= len(text)]
        return coding or sorted(talk, key=len)[-max(1, len(talk) // 10) :]

    def _prompts(self) -> list[bytes]:
        found = dict.fromkeys(session.system_prompt for session in self._source.sessions if session.system_prompt)
        return self._some(list(found), "system prompts")

    def _tools(self) -> list[bytes]:
        found = dict.fromkeys([*(tool for session in self._source.sessions for tool in session.tools)])
        found.update(dict.fromkeys(self._source.tools))
        return self._some([tool for tool in found if tool], "tool definitions")

    def _some(self, texts: list[bytes], what: str) -> list[bytes]:
        if not texts:
            cause = f"{self._source.name} has no {what}, and these fleets need some"
            raise UsageError(cause, hint="another --corpus, or none: then the laboratory makes its own")
        return texts

    # -- the files --

    def _shared(self, out: IO[bytes], update: Update) -> dict[str, Any]:
        update("prompt and tools")
        out.write(CLOSE + bytes(BLOCK - 1))
        prompt = _upto(self.rounds("prompts", self._prompts()), self.size.prompt, b"\n\n")
        place = out.tell()
        out.write(prompt)
        tools = b"[" + _upto(self.rounds("tools", self._tools()), self.size.tools, b",") + CLOSE
        listed = (out.tell(), out.write(tools))
        singles, distinct = [], iter(self.rounds("single tools", self._tools()))
        for _ in range(2 * self.size.single_tools):
            singles.append((out.tell(), out.write(next(distinct)[1])))
        lines = [(out.tell(), out.write(own_line(agent))) for agent in range(self.size.agents)]
        split = prompt.find(b"\n", len(prompt) // 3) + 1
        return {
            "close": (0, len(CLOSE)),
            "prompt": (place, len(prompt)),
            "split": split,
            "tools": listed,
            "single_tools": singles,
            "lines": lines,
        }

    def _talk_file(self, out: IO[bytes], update: Update) -> dict[str, Any]:
        feed = iter(self.rounds("talk", self._talk()))
        agents = []
        for agent in range(self.size.agents):
            update(f"conversations of agent {agent + 1} of {self.size.agents}")
            spans: list[Span] = []
            begin = out.tell()
            for _, text in _dealt(feed, self.size.talk, len(self._source.sessions)):
                out.write(text + b"\n")
                if out.tell() - begin >= self.size.talk // TALK_OBJECTS:
                    spans.append((begin, out.tell() - begin))
                    begin = out.tell()
            if out.tell() > begin:
                spans.append((begin, out.tell() - begin))
            agents.append(spans)
        return {"agents": agents}

    def _long_file(self, out: IO[bytes], update: Update) -> dict[str, Any]:
        texts = self._long()
        ends = [messages.ends(text) for text in texts]
        feed = iter(self.rounds("long", texts))
        agents = []
        for agent in range(self.size.agents):
            update(f"long sessions of agent {agent + 1} of {self.size.agents}")
            held = [
                (out.tell(), out.write(text), ends[number]) for number, text in _dealt(feed, self.size.talk, len(texts))
            ]
            agents.append(held)
        return {"agents": agents}

    def _room(self, part: str) -> None:
        size, agents = self.size, self.size.agents
        needed = (size.prompt + size.tools) * 2 if part == "shared" else size.talk * agents
        free = shutil.disk_usage(self.place.parent).free
        if needed * 1.05 > free:
            cause = f"the texts of these fleets take {needed // MB} MB of disk, {free // MB} MB are free"
            raise LabError(cause, hint="harness clean, a smaller --scale, or one --fleet at a time")

    def _prune(self) -> None:
        """Texts of another corpus or size: they are made again from it in minutes, and are gigabytes."""
        for other in self.place.parent.iterdir():
            if other.is_dir() and other != self.place:
                shutil.rmtree(other, ignore_errors=True)


PARTS = {"shared": Material._shared, "talk": Material._talk_file, "long": Material._long_file}


def own_line(agent: int) -> bytes:
    """What a real prompt says of the one agent that it is given to: name, place, session, time; its length varies."""
    token = hashlib.sha256(f"agent {agent}".encode()).hexdigest()
    name = f"agent-{agent}"
    where = "/".join(token[at : at + 3 + int(token[at], 16) % 5] for at in (8, 16, 24))
    text = f"You are {name}. Working directory: /home/{name}/{where}. Session {token[:16]}, started {_moment(token)}.\n"
    return text.encode()


def _moment(token: str) -> str:
    seconds = int(token[32:40], 16) % 86400
    return f"2026-11-{1 + int(token[40:42], 16) % 28:02} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _upto(feed: Rounds, size: int, between: bytes) -> bytes:
    """Whole texts, joined, until there are `size` bytes."""
    taken: list[bytes] = []
    total = 0
    for _, text in feed:
        taken.append(text)
        total += len(text) + len(between)
        if total >= size:
            return between.join(taken)
    raise AssertionError("rounds have no end")


def _dealt(feed: Iterator[tuple[int, bytes]], size: int, distinct: int) -> Iterator[tuple[int, bytes]]:
    """The next texts until there are `size` bytes, or nothing fits any more. What is too long is passed over.

    A first text is taken whatever its length: an agent that holds nothing is none.
    """
    left, passed = size, 0
    for number, text in feed:
        if len(text) > left and (left < size or passed < distinct):
            passed += 1
            if passed > distinct and left < size:
                return
            continue
        passed = 0
        left -= len(text)
        yield number, text
        if left < size * (1 - ENOUGH):
            return
