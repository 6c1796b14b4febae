"""The little statistics that measurements need."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
TERMS = 100  # of the Kolmogorov series; it converges long before, or its sum is 1
FLAT = 0.2  # below this the sum is 1 to the last digit, and the series converges slowly


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which that part of the values lies, interpolated. ValueError: there are none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a quantile of nothing")
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Iterable[float]) -> float:
    return quantile(list(values), 0.5)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Count and quantiles by name: n, p1, p10, p50, p90, p99."""
    told = {f"p{part * 100:g}": round(quantile(values, part), 1) for part in QUANTILES}
    return {"n": len(values), **told}


@dataclass(frozen=True)
class Comparison:
    """Two-sample Kolmogorov-Smirnov test. distance: the largest gap between the distribution functions, 0 to 1.

    p: how likely so large a gap is by chance if both samples are of one distribution. Equal values make it too large,
    never too small: what it calls different is.
    """

    distance: float
    p: float


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """ValueError: a sample is empty."""
    if not first or not second:
        raise ValueError("a comparison with nothing")
    ones, others = Counter(first), Counter(second)
    gap = one = other = 0.0
    for value in sorted(ones.keys() | others.keys()):
        one += ones[value] / len(first)
        other += others[value] / len(second)
        gap = max(gap, abs(one - other))
    size = math.sqrt(len(first) * len(second) / (len(first) + len(second)))
    return Comparison(gap, _kolmogorov((size + 0.12 + 0.11 / size) * gap))


def _kolmogorov(x: float) -> float:
    """The probability that Kolmogorov's statistic is larger."""
    if x < FLAT:
        return 1.0
    total = math.fsum((1 if k % 2 else -1) * math.exp(-2 * (k * x) ** 2) for k in range(1, TERMS + 1))
    return min(1.0, max(0.0, 2 * total))
