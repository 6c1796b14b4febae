# SPDX-License-Identifier: MIT
"""The verbs stat and agents: figures."""

from __future__ import annotations

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterable

import agentmem
from agentmem import AgentStats, Scope
from agentmem.command import find, show
from agentmem.command.columns import COLUMNS, Row
from agentmem.command.show import memory, ratio, size
from agentmem.command.trouble import Exit

BYTES = ("length", "resident_top", "resident_lower", "stored", "swapped_bytes")
SUM = ("importance", 0)  # of many agents: there is none
SHOWN = COLUMNS[:-1]  # without a rate, which takes two looks


def stat(args: Namespace) -> int:
    stats: object
    if args.target and find.is_object(args.target):
        with find.smu(args.target) as smu:
            stats = smu.stats()
    elif args.target:
        stats = agentmem.stats(pid=find.agent(args.target))
    else:
        stats = agentmem.stats(Scope.SYSTEM if args.system else Scope.DOMAIN)
    facts = show.facts(stats)
    if args.json:
        print(show.as_json({"backend": agentmem.backend(), **facts}))
        return Exit.DONE
    said = {name: value for name, value in facts.items() if value not in (None, "") and (name, value) != SUM}
    rows = [(name.replace("_", " "), _shown(name, value)) for name, value in said.items()]
    if isinstance(stats, AgentStats):
        rows.append(("ratio", ratio(stats.logical_bytes, memory(stats))))
    wide = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{wide}}  {show.plain(value)}" for name, value in rows))
    return Exit.DONE


def agents(args: Namespace) -> int:
    known = snapshot()
    if args.json:
        print(show.as_json([{"pid": pid, **show.facts(stats)} for pid, stats in known.items()]))
    else:
        print(_table(Row(pid, stats) for pid, stats in known.items()))
    return Exit.DONE


def snapshot() -> dict[int, AgentStats]:
    """The figures of each agent that may be looked at, but for this process."""
    found = {}
    for pid in sorted(set(agentmem.agents()) - {os.getpid()}):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            found[pid] = agentmem.stats(pid=pid)
    return found


def _table(rows: Iterable[Row]) -> str:
    cells = ([column.shown(row) for column in SHOWN] for row in rows)
    return show.table([column.name.upper() for column in SHOWN], cells)


def _shown(name: str, value: object) -> str:
    if isinstance(value, int) and (name in BYTES or name.endswith("_bytes") or name == "anon_store_used"):
        return size(value) if value < 1024 else f"{size(value)} ({value})"
    return str(value)
