"""Texts with other words: as compressible as before, and nothing that is found again."""

from __future__ import annotations

import json

import pytest
import zstandard

from harness.bench.density import lexicon
from harness.bench.density.lexicon import Lexicon
from tests.unit import density_corpus

SOURCE = density_corpus.source()
TALK = [session.conversation for session in SOURCE.sessions]
LEXICON = Lexicon(TALK, 0.8)


def variant(text: bytes, seed: str) -> bytes:
    return LEXICON.variant(LEXICON.template(text), seed)


def packed(text: bytes, base: bytes = b"") -> int:
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None
    return len(zstandard.ZstdCompressor(level=3, dict_data=prefix).compress(text))


@pytest.mark.parametrize("text", TALK[:4])
def test_a_variant_has_the_length_and_the_structure_of_its_text(text: bytes) -> None:
    other = variant(text, "one")
    assert len(other) == len(text) and other != text
    before, after = json.loads(text), json.loads(other)
    assert [message.keys() for message in after] == [message.keys() for message in before]


def test_a_word_is_the_same_other_word_wherever_it_stands() -> None:
    words = Lexicon([b"alpha bravo", b"gamma delta", b"omega sigma", *[b"filler"] * 20], 0.2)
    first = words.variant(words.template(b"alpha bravo alpha"), "x").split()
    again = words.variant(words.template(b"bravo alpha"), "x").split()
    assert first[0] == first[2] != first[1] and again == [first[1], first[0]]


def test_variants_are_the_same_each_time_and_differ_by_seed() -> None:
    assert variant(TALK[0], "one") == Lexicon(TALK, 0.8).variant(LEXICON.template(TALK[0]), "one")
    assert variant(TALK[0], "one") != variant(TALK[0], "two")


def test_words_that_most_texts_have_stay() -> None:
    words = Lexicon([b"common rare%d" % number for number in range(10)] + [b"common other", b"common seven"], 0.2)
    made = words.variant(words.template(b"common other seven"), "x")
    assert made.startswith(b"common ") and sorted(made.split()[1:]) == [b"other", b"seven"]


def test_escapes_are_left_alone() -> None:
    words = Lexicon([b"\\nabc \\u00e4bcd", b"xyz", b"uvw", *[b""] * 10], 0.2)
    made = words.variant(words.template(b"\\nabc \\u00e4bcd"), "x")
    assert made.startswith(b"\\n") and b" \\u00e4" in made


@pytest.mark.parametrize("text", TALK[::3])
def test_a_variant_compresses_like_its_text_and_is_no_use_as_its_base(text: bytes) -> None:
    """Against itself a text takes next to nothing; against another round of it most of what it takes alone."""
    one, two = variant(text, "one"), variant(text, "two")
    assert packed(text) * 0.95 < packed(one) < packed(text) * 1.2
    assert packed(one, base=one) < packed(one) / 20
    assert packed(one, base=two) > packed(one) * 0.6


def test_the_lexicon_fits_the_corpus() -> None:
    """Of these recordings neighbours have little in common, so few words may stay."""
    found, alike = lexicon.fitting(TALK)
    assert found.common == max(lexicon.COMMON)
    assert alike.rounds < 1.6 and 1.0 < alike.neighbours < 1.2
    assert alike.rounds < lexicon.likeness(Lexicon(TALK, min(lexicon.COMMON)), TALK).rounds
