# SPDX-License-Identifier: MIT
"""The verb explain: where the memory is, and what would save more."""

from __future__ import annotations

import contextlib
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import agentmem
from agentmem import AgentStats, Scope, State
from agentmem.command import figures, holdings, show
from agentmem.command.holdings import Held, Holdings
from agentmem.command.show import memory, size
from agentmem.command.trouble import Exit

RESTING = (State.IDLE, State.PAUSED)
SHIM = "libagentmem-preload.so"
LARGEST = 5
WORTH = 64 << 10  # bytes; what would save less is not said
OFTEN = 0.2  # of the accesses that find their content compressed: it is wanted


@dataclass
class Saving:
    """What would take less memory, or less time."""

    what: str
    bytes: int | None  # at most; None: not known
    command: str


def explain(args: Namespace) -> int:
    total, known, held = agentmem.stats(Scope.DOMAIN), figures.snapshot(), holdings.look()
    private = {pid: _private(pid) for pid in known}
    savings = [*_savings(known, held), *_of_pages(total), *_of_private(private), *_of_time(total)]
    if args.json:
        print(show.as_json(_facts(total, known, held, private, savings)))
    else:
        print("\n".join(_told(total, known, held, private, savings)))
    return Exit.DONE


# -- what would save more --


def _savings(known: dict[int, AgentStats], held: Holdings) -> Iterator[Saving]:
    resting = {pid for pid, stats in known.items() if stats.state in RESTING}
    plain = [each for each in held.objects.values() if not each.stored and each.pids <= resting]
    if (amount := sum(each.length for each in plain)) >= WORTH:
        pids = sorted(set().union(*(each.pids for each in plain)))
        what = f"{len(plain)} objects that only idle or paused agents hold are not compressed"
        if (rate := _rate(held.objects.values())) is not None:
            what += f" (what is compressed here takes {rate:.0%})"
        yield Saving(what, amount, _for_each(pids, "agentmem mark {} warm"))
    small = [each for each in held.objects.values() if each.length < 2048]
    if (amount := sum(4096 - each.length for each in small)) >= WORTH:
        what = f"{len(small)} objects are smaller than half a page, and take one each"
        yield Saving(what, amount, "agentmem append: texts that belong together in one object")


def _of_pages(total: AgentStats) -> Iterator[Saving]:
    if (amount := memory(total) - total.unique_bytes) >= WORTH:
        what = "objects, and the former states that later ones rest on, take more than their content: whole pages"
        yield Saving(what, amount, "append more at a time: an append takes whole pages, however short it is")


def _of_private(private: dict[int, Private]) -> Iterator[Saving]:
    bare = {pid: each.bytes for pid, each in private.items() if not each.shim}
    if (amount := sum(bare.values())) >= WORTH:
        who = "1 agent keeps" if len(bare) == 1 else f"{len(bare)} agents keep"
        what = f"{who} memory of their own, which is shared with nobody"
        yield Saving(what, amount, "AGENTMEM_MERGE=1 agentmem run NAME -- CMD, for equal pages; put() for texts")


def _of_time(total: AgentStats) -> Iterator[Saving]:
    compressed = total.fault_stored + total.fault_swapped
    found = compressed + total.fault_resident + total.fault_lower
    if found >= 100 and compressed > found * OFTEN:
        ms = total.decompress_ns / 1e6
        what = f"{compressed / found:.0%} of accesses found their content compressed, which took {ms:.0f} ms"
        yield Saving(what, None, "agentmem mark PID hot, for agents that are at work")


def _rate(objects: Iterable[Held]) -> float | None:
    """What compressed content takes of what it is, as far as that is known here."""
    stored = [each for each in objects if each.stored]
    length = sum(each.length for each in stored)
    return sum(each.stored for each in stored) / length if length >= WORTH else None


def _for_each(pids: list[int], command: str) -> str:
    if len(pids) == 1:
        return command.format(pids[0])
    return f"for pid in {' '.join(map(str, pids))}; do {command.format('$pid')}; done"


# -- private memory --


@dataclass
class Private:
    """Anonymous memory that a process has for itself."""

    bytes: int
    shim: bool  # placed so that equal texts are equal pages


def _private(pid: int) -> Private:
    with contextlib.suppress(OSError):
        place = Path("/proc", str(pid))
        anon = re.search(r"^RssAnon:\s+(\d+) kB", (place / "status").read_text(), re.M)
        return Private(int(anon[1]) << 10 if anon else 0, SHIM in (place / "maps").read_text(errors="replace"))
    return Private(0, False)


# -- telling --


def _told(
    total: AgentStats,
    known: dict[int, AgentStats],
    held: Holdings,
    private: dict[int, Private],
    savings: list[Saving],
) -> Iterator[str]:
    seen, taken = size(total.logical_bytes), size(memory(total))
    yield f"{len(known)} agents see {seen} of texts in {taken} of memory ({agentmem.backend()} backend)."
    yield ""
    rows = [
        ("what they see", size(total.logical_bytes)),
        ("  less what is there already", size(total.unique_bytes - total.logical_bytes)),
        ("each object once", size(total.unique_bytes)),
        ("  plain, top tier", size(total.resident_top)),
        ("  plain, lower tiers", size(total.resident_lower)),
        ("  compressed", size(total.stored_bytes)),
        ("memory of agents' own", size(sum(each.bytes for each in private.values()))),
    ]
    yield show.table(("WHERE", "BYTES"), rows)
    yield ""
    kinds = ((kind, n, size(length), size(stored)) for kind, (n, length, stored) in _types(held).items())
    yield show.table(("TYPE", "OBJECTS", "CONTENT", "COMPRESSED"), kinds)
    yield ""
    largest = ((each.digest[:12], each.type, size(each.length), len(each.pids)) for each in _largest(held))
    yield show.table(("LARGEST", "TYPE", "CONTENT", "HOLDERS"), largest)
    yield ""
    yield "What would save more:" if savings else "Nothing that would save more is known here."
    for saving in savings:
        yield f"- {saving.what}{f': at most {size(saving.bytes)}' if saving.bytes is not None else ''}"
        yield f"    {saving.command}"
    yield from _limits(held)


def _limits(held: Holdings) -> Iterator[str]:
    if held.unseen:
        yield f"{len(held.unseen)} agents may not be looked at; as root they may."
    if agentmem.backend() == "fallback":
        yield "The fallback compresses what is marked and nothing by itself; it knows no tiers, no swap, no pressure."


def _types(held: Holdings) -> dict[str, tuple[int, int, int]]:
    sums: dict[str, tuple[int, int, int]] = {}
    for each in held.objects.values():
        count, length, stored = sums.get(each.type, (0, 0, 0))
        sums[each.type] = (count + 1, length + each.length, stored + each.stored)
    return dict(sorted(sums.items(), key=lambda item: -item[1][1]))


def _largest(held: Holdings) -> list[Held]:
    return sorted(held.objects.values(), key=lambda each: -each.length)[:LARGEST]


def _facts(
    total: AgentStats,
    known: dict[int, AgentStats],
    held: Holdings,
    private: dict[int, Private],
    savings: list[Saving],
) -> dict[str, object]:
    names = ("objects", "length", "stored")
    return {
        "backend": agentmem.backend(),
        "agents": len(known),
        "unseen": held.unseen,
        "total": show.facts(total),
        "private_bytes": sum(each.bytes for each in private.values()),
        "types": {kind: dict(zip(names, sums, strict=True)) for kind, sums in _types(held).items()},
        "largest": [{**asdict(each), "pids": sorted(each.pids)} for each in _largest(held)],
        "savings": [asdict(saving) for saving in savings],
    }
