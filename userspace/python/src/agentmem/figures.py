# SPDX-License-Identifier: MIT
"""Figures, as libagentmem gives them: bytes in bytes, times in the unit that the name ends in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentmem.kinds import Algorithm, State, Temperature, Type


@dataclass(frozen=True, slots=True)
class SmuStats:
    """One object."""

    type: Type
    flags: int
    temperature: Temperature
    length: int  # bytes of content
    resident_top: int  # bytes not compressed, in the top tier of memory
    resident_lower: int  # the same in lower tiers (CXL)
    stored: int  # bytes of the compressed copy
    idle_ms: int  # since the last access
    holders: int  # agents of this user that hold it
    base_depth: int  # bases below it; 0: it stands alone
    algorithm: Algorithm
    node: int | None  # preferred NUMA node
    digest: bytes


@dataclass(frozen=True, slots=True)
class AgentStats:
    """One agent, or the sum of many (then state, importance, node and name are None, 0, None and empty)."""

    state: State | None
    importance: int
    node: int | None  # preferred NUMA node
    smus: int  # objects held, once per holder
    logical_bytes: int  # what the holders see, once per holder
    unique_bytes: int  # the same, once per object
    resident_top: int  # bytes not compressed, in the top tier of memory
    resident_lower: int  # the same in lower tiers (CXL)
    stored_bytes: int  # bytes of compressed copies
    swapped_bytes: int  # of these, swapped out; an estimate
    dedup_hits: int  # puts that found their content there
    dedup_bytes: int  # content that these did not add
    attach_hits: int  # contents found by digest
    delta_hits: int  # contents held as a difference to a base
    compressions: int
    decompressions: int
    decompress_ns: int
    evict_age: int  # plain copies dropped because they were idle,
    evict_pressure: int  # because memory was short,
    evict_mark: int  # because of a mark
    fault_resident: int  # accesses that found the content in place,
    fault_lower: int  # in a lower tier,
    fault_stored: int  # compressed,
    fault_swapped: int  # in swap
    anon_bytes: int  # private anonymous memory of the processes
    anon_stored_bytes: int  # of it, held by the store
    anon_store_used: int  # bytes that takes
    name: str


def smu_stats(given: tuple[Any, ...]) -> SmuStats:
    told = dict(zip(SmuStats.__dataclass_fields__, given, strict=True))
    told |= {"type": Type(told["type"]), "temperature": Temperature(told["temperature"])}
    told |= {"algorithm": Algorithm(told["algorithm"]), "node": _node(told["node"])}
    return SmuStats(**told)


def agent_stats(given: tuple[Any, ...]) -> AgentStats:
    told = dict(zip(AgentStats.__dataclass_fields__, given, strict=True))
    told |= {"state": State(told["state"]) if told["state"] else None, "node": _node(told["node"])}
    told["name"] = told["name"].decode(errors="replace")
    return AgentStats(**told)


def _node(node: int) -> int | None:
    return None if node < 0 else node
