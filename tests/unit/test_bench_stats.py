"""Quantiles, and the test that tells whether two samples are of one distribution."""

from __future__ import annotations

import random

import pytest

from harness.bench import stats


def test_quantiles_are_interpolated() -> None:
    assert stats.quantile([3, 1, 2], 0.5) == 2
    assert stats.quantile([1, 2], 0.5) == 1.5
    assert (stats.quantile([5], 0.01), stats.quantile([1, 9], 1.0)) == (5, 9)
    assert stats.quantiles(range(101)) == {"n": 101, "p1": 1, "p10": 10, "p50": 50, "p90": 90, "p99": 99}
    with pytest.raises(ValueError):
        stats.quantile([], 0.5)


def test_the_same_values_are_the_same() -> None:
    assert stats.compare([1, 2, 3] * 50, [3, 2, 1] * 50) == stats.Comparison(0.0, 1.0)


def test_distance_of_small_samples_by_hand() -> None:
    assert stats.compare([1, 2, 3, 4], [3, 4, 5, 6]).distance == 0.5
    assert stats.compare([1, 1, 2], [2, 2, 1]).distance == pytest.approx(1 / 3)  # equal values step together
    apart = stats.compare([1] * 100, [2] * 100)
    assert apart.distance == 1.0 and apart.p < 1e-12


@pytest.mark.parametrize(("x", "p"), [(1.2238, 0.10), (1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001), (0.1, 1.0)])
def test_kolmogorov_by_its_table(x: float, p: float) -> None:
    assert stats._kolmogorov(x) == pytest.approx(p, rel=2e-3)


def test_false_alarms_are_as_rare_as_they_say() -> None:
    source = random.Random(7)
    alarms = 0
    for _ in range(300):
        first, second = ([source.gauss(900, 30) for _ in range(200)] for _ in range(2))
        alarms += stats.compare(first, second).p < 0.05
    assert alarms < 300 * 0.10


def test_a_few_slower_calls_in_a_hundred_are_found() -> None:
    source = random.Random(8)
    levels = [910] * 80 + [939] * 15 + [997] * 5
    first = source.choices(levels, k=8000)
    second = [value + (29 if source.random() < 0.06 else 0) for value in source.choices(levels, k=8000)]
    assert stats.compare(first, second).p < 1e-3
    assert stats.compare(first, source.choices(levels, k=8000)).p > 1e-3


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError):
        stats.compare([], [1])
