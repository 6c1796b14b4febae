"""More texts of the same kind than there are: a recorded text with other words in it.

A fleet needs gigabytes, a corpus has megabytes. The same texts over again would be found by whoever looks for
repetition, and show a sharing that is not in the data. So each further round of the corpus has its words exchanged:
one permutation of the vocabulary for a round, among words of one length and shape. Within a text words repeat as
often and as far apart as before; to another round it is as alike as recordings are to one another, by what most of
them have in common (markup, short and frequent words), which stays. Lengths stay, so what lay where lies there
still. docs/bench.md has the figures.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TOKEN = re.compile(rb"\\u[0-9a-fA-F]{4}|\\.|([A-Za-z]{3,}|[1-9][0-9]+)", re.DOTALL)  # an escape is no word
COMMON = 0.2  # of the texts have it: a word that stays. So a round is to another one what neighbours are (likeness.py)
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
    """The exchangeable words of a corpus, by length and shape."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        having: Counter[bytes] = Counter()
        count = 0
        for text in texts:
            having.update(set(_words(text)))
            count += 1
        sorts: dict[Bucket, list[bytes]] = {}
        for word in sorted(word for word, texts_with in having.items() if texts_with <= max(1, count * COMMON)):
            sorts.setdefault(_bucket(word), []).append(word)
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


def _permutation(count: int, seed: str, bucket: Bucket) -> Numbers:
    """By a generator whose stream is part of its definition, so that it does not change with a library's version."""
    key = hashlib.sha256(f"{seed} {bucket}".encode()).digest()
    return np.argsort(np.random.PCG64(int.from_bytes(key[:16], "little")).random_raw(count), kind="stable")
