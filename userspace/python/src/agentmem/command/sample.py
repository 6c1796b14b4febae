# SPDX-License-Identifier: MIT
"""Figures now, and what became of them since the last time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import agentmem
from agentmem import AgentStats, Scope
from agentmem.command import figures
from agentmem.command.columns import Row


@dataclass(frozen=True, slots=True)
class Sample:
    total: AgentStats
    rate: float
    rows: tuple[Row, ...]


class Sampler:
    """Each sample has the rates since the one before; the first has none."""

    def __init__(self) -> None:
        self._hits: dict[int, int] = {}
        self._all = 0
        self._when = 0.0

    def take(self) -> Sample:
        now, total, known = time.monotonic(), agentmem.stats(Scope.DOMAIN), figures.snapshot()
        span = now - self._when if self._when else 0.0
        rows = [Row(pid, it, _rate(it.dedup_hits, self._hits.get(pid), span)) for pid, it in known.items()]
        rate = _rate(total.dedup_hits, self._all, span)
        self._hits, self._all, self._when = {pid: it.dedup_hits for pid, it in known.items()}, total.dedup_hits, now
        return Sample(total, rate, tuple(rows))


def _rate(hits: int, before: int | None, seconds: float) -> float:
    return max(0, hits - before) / seconds if before is not None and seconds else 0.0
