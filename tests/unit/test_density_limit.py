"""The offline limit on texts whose limit can be worked out by hand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import zstandard

from harness.bench.density import limit, sketch
from harness.bench.density.limit import Held, Limit

KB = 1024
RANDOM = random.Random(1)


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def prose(size: int, seed: int = 1) -> bytes:
    words = [bytes(random.Random(word).choices(b"abcdefghijklmnopqrstuvwxyz", k=3 + word % 9)) for word in range(2000)]
    text = b" ".join(random.Random(seed).choices(words, k=size // 4))
    return text[:size]


def alone(part: bytes) -> int:
    """A frame of level 3 by itself, its magic number not counted."""
    packer = zstandard.ZstdCompressor(level=3, write_content_size=False)
    return len(packer.compress(part)) - 4


def of(*texts: bytes, chunk: int = 128 * KB, agents: list[int] | None = None, kinds: list[int] | None = None) -> Limit:
    owners, types = agents or [0] * len(texts), kinds or [0] * len(texts)
    held = [Held(owners[n], n, types[n], n, len(text)) for n, text in enumerate(texts)]
    return limit.of(held, texts.__getitem__, chunk)


def test_one_text_takes_what_its_chunks_take() -> None:
    text = prose(300 * KB)
    parts = [text[at : at + 128 * KB] for at in range(0, len(text), 128 * KB)]
    found = of(text)
    assert len(parts) == 3
    assert abs(found.stored - sum(map(alone, parts))) <= 3 * len(parts)
    assert (found.plain, found.distinct, found.texts) == (found.stored, len(text), 1)


def test_smaller_chunks_take_more() -> None:
    text = prose(256 * KB)
    assert of(text, chunk=4 * KB).stored > of(text, chunk=64 * KB).stored > of(text, chunk=256 * KB).stored


def test_equal_texts_are_kept_once_whoever_holds_them_and_whatever_they_are_made_of() -> None:
    text = prose(50 * KB)
    assert of(text, bytes(text), text, agents=[0, 1, 2]) == of(text)


def test_the_same_key_is_read_once() -> None:
    read: list[int] = []

    def once(key: int) -> bytes:
        read.append(key)
        return prose(10 * KB)

    limit.of([Held(agent, 0, 0, 7, 10 * KB) for agent in range(50)], once)
    assert read == [7]


def test_noise_is_kept_as_it_is() -> None:
    assert of(noise(200 * KB)).stored == 200 * KB


def test_a_text_with_one_more_line_takes_a_line() -> None:
    """Noise, so that only the base can help: 60 KB that are there, and a line of 100 bytes that is not."""
    base, line = noise(60 * KB), noise(100, seed=2)
    found = of(base, base[: 20 * KB] + line + base[20 * KB :], agents=[0, 1])
    assert len(base) + 100 <= found.stored < len(base) + 100 + 40
    assert found.against_base == 1 and found.plain == 2 * len(base) + 100


def test_a_line_within_the_first_of_many_chunks_costs_no_chunk() -> None:
    base, line = noise(900 * KB), noise(100, seed=2)
    found = of(base, line + base, chunk=64 * KB)
    assert found.stored < len(base) + 100 + 60 * 16


def test_versions_of_a_history_take_their_tails() -> None:
    whole = noise(400 * KB)
    versions = [whole[: 40 * KB * turn] for turn in range(1, 11)]
    found = of(*versions)
    assert len(whole) <= found.stored < len(whole) + 10 * 4 * 40
    assert found.distinct == sum(map(len, versions))


def test_the_best_base_is_found_among_many() -> None:
    """Neither the text before nor the same place of another agent: only a sketch leads there."""
    texts = [noise(30 * KB, seed) for seed in range(40)]
    late = texts[3][:-100] + noise(100, seed=99)
    found = of(*texts, late, agents=[*range(40), 77])
    assert found.stored < 40 * 30 * KB + 200


def test_a_base_is_of_the_same_type() -> None:
    text = noise(30 * KB)
    assert of(text, text + b"x", kinds=[0, 1]).stored == 2 * len(text) + 1


def test_a_base_never_makes_it_worse() -> None:
    texts = [prose(20 * KB, seed) for seed in range(5)] + [noise(20 * KB, seed) for seed in range(5)]
    found = of(*texts)
    assert found.stored <= found.plain


def test_a_limit_is_computed_once_for_a_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_MEM_CACHE", str(tmp_path))
    calls: list[int] = []

    def compute() -> Limit:
        calls.append(1)
        return Limit(stored=5, plain=6, distinct=7, texts=1, by_kind={"0": 5})

    first = limit.cached("key", 4096, compute)
    assert limit.cached("key", 4096, compute) == first and len(calls) == 1
    limit.cached("key", 8192, compute)
    limit.cached("other", 4096, compute)
    assert len(calls) == 3


# -- the sketch --


def test_alike_texts_have_numbers_in_common_and_others_have_none() -> None:
    one = prose(100 * KB)
    near, far = one[: 50 * KB] + b"another line" + one[50 * KB :], noise(100 * KB)
    assert len(set(sketch.numbers(one)) & set(sketch.numbers(near))) > sketch.KEPT // 2
    assert not set(sketch.numbers(noise(100 * KB, 5))) & set(sketch.numbers(far))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9])
def test_texts_of_any_length_have_a_sketch(size: int) -> None:
    assert len(sketch.numbers(noise(size))) == max(0, size - 7)
