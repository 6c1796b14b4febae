# SPDX-License-Identifier: MIT
"""The columns of a table of agents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentmem import AgentStats
from agentmem.command.show import memory, plain, ratio, size, word


@dataclass(frozen=True, slots=True)
class Row:
    """An agent. rate: puts a second that found their content there."""

    pid: int
    stats: AgentStats
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Column:
    """key: what it is sorted by."""

    name: str
    shown: Callable[[Row], str]
    key: Callable[[Row], float | str]


def _bytes(name: str, of: Callable[[AgentStats], int]) -> Column:
    return Column(name, lambda row: size(of(row.stats)), lambda row: of(row.stats))


def _saved(row: Row) -> float:
    taken = memory(row.stats)
    return row.stats.logical_bytes / taken if taken else 0.0


COLUMNS = (
    Column("pid", lambda row: str(row.pid), lambda row: row.pid),
    Column("agent", lambda row: plain(row.stats.name) or "-", lambda row: row.stats.name),
    Column("state", lambda row: word(row.stats.state), lambda row: word(row.stats.state)),
    Column("importance", lambda row: str(row.stats.importance), lambda row: row.stats.importance),
    Column("smus", lambda row: str(row.stats.smus), lambda row: row.stats.smus),
    _bytes("logical", lambda stats: stats.logical_bytes),
    _bytes("unique", lambda stats: stats.unique_bytes),
    _bytes("top", lambda stats: stats.resident_top),
    _bytes("lower", lambda stats: stats.resident_lower),
    _bytes("stored", lambda stats: stats.stored_bytes),
    Column("ratio", lambda row: ratio(row.stats.logical_bytes, memory(row.stats)), _saved),
    Column("hits/s", lambda row: f"{row.rate:.1f}", lambda row: row.rate),
)
NAMES = tuple(column.name for column in COLUMNS)
WORDS = ("agent", "state")  # to the left, and sorted from A
