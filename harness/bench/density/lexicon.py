"""More texts of the same kind than there are: a recorded text with other words in it.

A fleet needs gigabytes, a corpus has megabytes. The same texts over again would be found by whoever looks for
repetition, and show a sharing that is not in the data. So each further round of the corpus has its words exchanged:
one permutation of the vocabulary for a round, among words of one length and shape. Within a text words repeat as
often and as far apart as before; to another round it is as alike as recordings are to one another, by what most of
them have in common (markup, short and frequent words), which stays. Lengths stay, so what lay where lies there
still. docs/bench.md has the figures.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import zstandard

TOKEN = re.compile(rb"\\u[0-9a-fA-F]{4}|\\.|([A-Za-z]{3,}|[1-9][0-9]+)", re.DOTALL)  # an escape is no word
# A word that more of the texts have stays; the first of these under which a round is not more alike to another round
# than a text is to the one beside it in the corpus, else the last.
COMMON = (0.2, 0.4, 0.8)
SAMPLES, LEAST, MOST = 48, 2_000, 128 * 1024  # texts that this is tried on, and their bytes
Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Bucket = tuple[int, str]


@dataclass(frozen=True)
class Words:
    """Where the words of one bucket stand in a text, and which of the bucket's they are."""

    bucket: Bucket
    places: Numbers
    numbers: Numbers


@dataclass(frozen=True)
class Template:
    text: Bytes
    words: tuple[Words, ...]


class Lexicon:
    """The exchangeable words of a corpus, by length and shape: those that at most `common` of its texts have."""

    def __init__(self, texts: Sequence[bytes], common: float, having: Counter[bytes] | None = None) -> None:
        counted = count(texts) if having is None else having
        sorts: dict[Bucket, list[bytes]] = {}
        for word in sorted(word for word, found in counted.items() if found <= max(1, len(texts) * common)):
            sorts.setdefault(_bucket(word), []).append(word)
        self.common = common
        self._number = {word: number for words in sorts.values() for number, word in enumerate(words)}
        self._tables = {
            bucket: np.frombuffer(b"".join(words), np.uint8).reshape(len(words), bucket[0])
            for bucket, words in sorts.items()
        }

    def template(self, text: bytes) -> Template:
        found: dict[Bucket, tuple[list[int], list[int]]] = {}
        for match in TOKEN.finditer(text):
            number = self._number.get(match[1]) if match[1] else None
            if number is not None:
                places, numbers = found.setdefault(_bucket(match[1]), ([], []))
                places.append(match.start())
                numbers.append(number)
        words = (
            Words(bucket, np.array(places, np.int64), np.array(numbers, np.int64))
            for bucket, (places, numbers) in sorted(found.items())
        )
        return Template(np.frombuffer(text, np.uint8), tuple(words))

    def variant(self, template: Template, seed: str) -> bytes:
        """The text as of the round that `seed` names; the same for every template and seed, everywhere."""
        out = template.text.copy()
        for words in template.words:
            table = self._tables[words.bucket]
            rows = table[_permutation(len(table), seed, words.bucket)[words.numbers]]
            for column in range(words.bucket[0]):
                out[words.places + column] = rows[:, column]
        return out.tobytes()


@dataclass(frozen=True)
class Likeness:
    """How many times less a text takes with another one as its base, over a sample of a corpus."""

    neighbours: float  # the text beside it in the corpus
    rounds: float  # the same text as of another round
    compressed: float  # bytes of a round / bytes of the recordings, both by themselves


def fitting(texts: Sequence[bytes]) -> tuple[Lexicon, Likeness]:
    """The lexicon under which further rounds of the corpus are like further recordings."""
    having = count(texts)
    for common in COMMON:
        lexicon = Lexicon(texts, common, having)
        found = likeness(lexicon, texts)
        if found.rounds <= found.neighbours:
            break
    return lexicon, found


def likeness(lexicon: Lexicon, texts: Sequence[bytes]) -> Likeness:
    pairs = [(before, text) for before, text in zip(texts, texts[1:], strict=False) if LEAST <= len(text) <= MOST]
    pairs = pairs[:: max(1, len(pairs) // SAMPLES)] or [(texts[0], texts[0])]
    made = [tuple(lexicon.variant(lexicon.template(text), seed) for seed in ("one", "two")) for _, text in pairs]
    alone, varied = (sum(map(_packed, found)) for found in ([text for _, text in pairs], [one for one, _ in made]))
    return Likeness(
        neighbours=alone / sum(_packed(text, before) for before, text in pairs),
        rounds=varied / sum(_packed(one, two) for one, two in made),
        compressed=varied / alone,
    )


def _packed(text: bytes, base: bytes = b"") -> int:
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
    return len(zstandard.ZstdCompressor(level=3, dict_data=prefix).compress(text))


def count(texts: Sequence[bytes]) -> Counter[bytes]:
    """Word -> how many of the texts have it."""
    having: Counter[bytes] = Counter()
    for text in texts:
        having.update(set(_words(text)))
    return having


def _words(text: bytes) -> Iterable[bytes]:
    return (match[1] for match in TOKEN.finditer(text) if match[1])


def _bucket(word: bytes) -> Bucket:
    shapes: Sequence[tuple[str, bool]] = (
        ("digits", word.isdigit()),
        ("lower", word.islower()),
        ("upper", word.isupper()),
        ("title", word.istitle()),
    )
    return len(word), next((name for name, fits in shapes if fits), "mixed")


@functools.lru_cache(maxsize=1024)  # buckets of a few rounds
def _permutation(count: int, seed: str, bucket: Bucket) -> Numbers:
    """By a generator whose stream is part of its definition, so that it does not change with a library's version."""
    key = hashlib.sha256(f"{seed} {bucket}".encode()).digest()
    return np.argsort(np.random.PCG64(int.from_bytes(key[:16], "little")).random_raw(count), kind="stable")
