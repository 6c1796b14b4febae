"""Finds texts that are alike: a few numbers of each, and who had the same ones before."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable

import numpy as np

SHINGLE = 8  # bytes that are one feature
KEPT = 24  # numbers of a text
WINDOW = 32_768  # bytes looked at in each of PLACES places of a text
PLACES = 3
REMEMBERED = 4  # newest texts that a number leads to
MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


def numbers(text: bytes) -> list[int]:
    """The smallest hashes of the text's features: alike texts have many in common, wherever they differ."""
    found = [part for part in map(_hashes, _windows(text)) if len(part)]
    if not found:
        return []
    hashes = np.unique(np.concatenate(found))
    return [int(value) for value in hashes[:KEPT]]


def _windows(text: bytes) -> list[bytes]:
    if len(text) <= WINDOW * PLACES:
        return [text]
    step = (len(text) - WINDOW) // (PLACES - 1)
    return [text[place * step : place * step + WINDOW] for place in range(PLACES)]


def _hashes(window: bytes) -> np.typing.NDArray[np.uint64]:
    count = len(window) - SHINGLE + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    shingles = np.lib.stride_tricks.sliding_window_view(np.frombuffer(window, np.uint8), SHINGLE)
    words = np.ascontiguousarray(shingles).view("<u8").ravel()
    with np.errstate(over="ignore"):
        mixed = words * MULTIPLIERS[0]
        mixed = (mixed ^ (mixed >> np.uint64(29))) * MULTIPLIERS[1]
    smallest: np.typing.NDArray[np.uint64] = np.partition(mixed, min(KEPT * 4, count - 1))[: KEPT * 4]
    return smallest


class Index:
    """Keys of earlier texts by their numbers."""

    def __init__(self) -> None:
        self._keys: dict[int, deque[Hashable]] = {}

    def alike(self, found: list[int], most: int) -> list[Hashable]:
        """The keys that have most numbers in common, the best first."""
        votes: Counter[Hashable] = Counter(key for number in found for key in self._keys.get(number, ()))
        return [key for key, _ in votes.most_common(most)]

    def add(self, found: list[int], key: Hashable) -> None:
        for number in found:
            self._keys.setdefault(number, deque(maxlen=REMEMBERED)).append(key)
