"""The offline limit: what the data itself allows.

Each distinct text once, in chunks of zstd level 3, against the best base. Nothing is counted but the compressed bytes:
no header of a frame, no table, no rounding, no metadata. Bases are searched for among the earlier texts of the same
type: the last one of the same agent, the same place of the agent before and of the first agent, and those that a sketch
finds alike. Each is tried on a few chunks, the best one taken for the text.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import zstandard

from harness.bench.density import sketch
from harness.cache import cache_dir, new_file, sha256_file
from harness.progress import Update

LEVEL = 3
CHUNK = 128 * 1024
ALIKE = 3  # texts that the sketch may propose
TRIED = 3  # chunks that a base is tried on
AROUND = 1  # chunks before and behind the chunk's own place in the base that it may refer to
EVERY = 64  # texts between two lines of progress


@dataclass(frozen=True)
class Held:
    """One text of one agent, in the order of the fleet. place: its number within the agent."""

    agent: int
    place: int
    kind: int
    key: int  # same key, same text
    length: int


@dataclass
class Limit:
    """Bytes. stored: with bases; plain: the same without any; distinct: as they are, each once."""

    stored: int = 0
    plain: int = 0
    distinct: int = 0
    texts: int = 0
    against_base: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


class Packer:
    """Compressed sizes, each computed once: fleets have conversations in common, versions of a history most chunks."""

    def __init__(self) -> None:
        self._sizes: dict[bytes, int] = {}
        self._same: dict[int, int] = {}

    def chunk(self, text: bytes, base: bytes, number: int, size: int) -> int:
        """Bytes of one chunk of the text against the base, which may be empty; never more than without it."""
        at = number * size
        part = text[at : at + size]
        plain = self._packed(part, b"")
        if not base:
            return plain
        if part == base[at : at + size]:  # all such chunks of a length take the same, but for a byte or two
            if len(part) not in self._same:
                self._same[len(part)] = _packed(part, _around(base, at, size))
            return min(plain, self._same[len(part)])
        return min(plain, self._packed(part, _around(base, at, size)))

    def _packed(self, part: bytes, prefix: bytes) -> int:
        key = hashlib.blake2b(prefix, digest_size=16, salt=len(part).to_bytes(8, "little"))
        key.update(part)
        name = key.digest()
        if name not in self._sizes:
            self._sizes[name] = _packed(part, prefix)
        return self._sizes[name]


def of(
    fleet: Sequence[Held],
    read: Callable[[int], bytes],
    chunk: int = CHUNK,
    update: Update = lambda _: None,
    packer: Packer | None = None,
) -> Limit:
    """The limit of a fleet; `read` gives a text by its key. At most a few texts are in memory at a time."""
    search, found, packer = _Search(), Limit(), packer or Packer()
    contents: set[bytes] = set()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for held in fleet:
            if held.key in search.known:
                search.pass_by(held)
                continue
            text = read(held.key)
            digest = hashlib.sha256(text).digest()
            sketched = sketch.numbers(text)
            candidates = search.candidates(held, sketched)
            search.add(held, sketched)
            if digest in contents:  # equal, although it is made of other pieces
                continue
            contents.add(digest)
            against = _Against(pool, packer, text, chunk)
            _account(found, held, against, [read(key) for key in candidates])
            if found.texts % EVERY == 0:
                update(f"{found.texts} texts, {found.distinct >> 20} MB")
    return found


def cached(key: str, chunk: int, compute: Callable[[], Limit]) -> Limit:
    """The limit by the content it is of; computed once."""
    recipe = [key, str(chunk), zstandard.__version__, *(sha256_file(Path(m)) for m in (__file__, sketch.__file__))]
    place = cache_dir() / "density" / f"{hashlib.sha256(' '.join(recipe).encode()).hexdigest()[:24]}.json"
    if place.is_file():
        return Limit(**json.loads(place.read_text()))
    found = compute()
    with new_file(place) as aside:
        aside.write_text(json.dumps(asdict(found)))
    return found


@dataclass(frozen=True)
class _Against:
    """A text in chunks, to be compressed against one base or another."""

    pool: ThreadPoolExecutor
    packer: Packer
    text: bytes
    size: int

    @property
    def count(self) -> int:
        return -(-len(self.text) // self.size)

    def bytes(self, base: bytes, numbers: Iterable[int] | None = None) -> int:
        """Of all chunks, or of those."""
        chosen = range(self.count) if numbers is None else numbers
        return sum(self.pool.map(lambda number: self.packer.chunk(self.text, base, number, self.size), chosen))


def _account(found: Limit, held: Held, against: _Against, bases: Sequence[bytes]) -> None:
    plain = against.bytes(b"")
    stored = against.bytes(_best(against, bases)) if bases else plain
    found.stored += stored
    found.plain += plain
    found.distinct += len(against.text)
    found.texts += 1
    found.against_base += stored < plain
    found.by_kind[str(held.kind)] = found.by_kind.get(str(held.kind), 0) + stored


def _best(against: _Against, bases: Sequence[bytes]) -> bytes:
    """The base that promises most, by a few chunks."""
    if len(bases) == 1:
        return bases[0]
    last = against.count - 1
    tried = sorted({number * last // (TRIED - 1) for number in range(TRIED)})
    return min(bases, key=lambda base: against.bytes(base, tried))


def _around(base: bytes, at: int, size: int) -> bytes:
    """The part of a base that a chunk at that place may refer to; the end of the base, if it is shorter."""
    begin, end = max(0, at - AROUND * size), at + (1 + AROUND) * size
    return base[begin:end] if end <= len(base) else base[max(0, len(base) - (1 + 2 * AROUND) * size) :]


def _packed(part: bytes, prefix: bytes) -> int:
    """Bytes of the part, compressed against the prefix if there is one; what does not compress is kept as it is."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=len(part),
        dict_size=len(prefix),
        write_content_size=0,
        write_dict_id=0,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
    )
    dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
    return min(len(part), len(compressor.compress(part)))


class _Search:
    """Which earlier texts may be a base of the next one."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self._index: dict[int, sketch.Index] = {}
        self._last: dict[tuple[int, int], int] = {}  # agent, kind
        self._place: dict[tuple[int, int, int], int] = {}  # agent, kind, place

    def candidates(self, held: Held, sketched: list[int]) -> list[int]:
        """Keys, each once and never the text's own."""
        proposed = [
            self._last.get((held.agent, held.kind)),
            self._place.get((held.agent - 1, held.kind, held.place)),
            self._place.get((0, held.kind, held.place)),
            *self._index.setdefault(held.kind, sketch.Index()).alike(sketched, ALIKE),
        ]
        return list(dict.fromkeys(key for key in proposed if isinstance(key, int) and key != held.key))

    def add(self, held: Held, sketched: list[int]) -> None:
        self.known.add(held.key)
        self._index.setdefault(held.kind, sketch.Index()).add(sketched, held.key)
        self.pass_by(held)

    def pass_by(self, held: Held) -> None:
        self._last[held.agent, held.kind] = held.key
        self._place[held.agent, held.kind, held.place] = held.key
