"""agent_get_stats and /proc/agent_stats: exact where the contract fixes a figure, else bounds."""

from __future__ import annotations

import errno

from harness.calls.ops import Pointer, Proc, Scope, Stats, Temperature
from harness.calls.rules import EBADFD, Mismatch, expect, expect_in, expect_range, may_read, succeeds
from harness.calls.wire import Answer
from harness.calls.world import ACTIVE, IMPORTANCE, Agent, Counts, Domain, Object, Process, World, holds_of

Figures = dict[str, int | range | bytes]
U32 = ("size", "state", "importance", "node")
U64 = (
    *("smus", "logical_bytes", "unique_bytes", "resident_top", "resident_lower", "stored_bytes", "swapped_bytes"),
    *("dedup_hits", "dedup_bytes", "attach_hits", "delta_hits", "compressions", "decompressions", "decompress_ns"),
    *("evict_age", "evict_pressure", "evict_mark", "fault_resident", "fault_lower", "fault_stored", "fault_swapped"),
    *("anon_bytes", "anon_stored_bytes", "anon_store_used"),
)
GAUGES = U64[:7]
# field -> offset, bytes
AGENT_FIELDS = {
    **{name: (4 * place, 4) for place, name in enumerate(U32)},
    **{name: (16 + 8 * place, 8) for place, name in enumerate(U64)},
    "name": (208, 256),
}
SMU_FIELDS = {
    **{name: (4 * place, 4) for place, name in enumerate(("size", "type", "flags", "temperature"))},
    **{name: (16 + 8 * p, 8) for p, name in enumerate(("length", "resident_top", "resident_lower", "stored", "idle"))},
    **{name: (56 + 4 * p, 4) for p, name in enumerate(("holders", "base_depth", "algorithm", "node"))},
    "digest": (72, 32),
}
AGENT_SIZE, SMU_SIZE = 464, 104
FILLER = 0xAA  # of the buffer, before the call
MAX_IDLE = 24 * 3600 * 1000
NO_NODE = 0xFFFFFFFF


def stats(world: World, process: Process, call: Stats, got: Answer | None) -> None:
    early = {errno.EINVAL} if call.scope not in range(4) or call.size < 4 else set()
    wrong = early | ({errno.EFAULT} if call.pointer != Pointer.VALID else set())
    if call.scope == Scope.AGENT and call.fd == -1 and not early:
        world.agent_of(process)
    file = world.file(process, call.fd)
    if call.scope == Scope.SYSTEM and not process.admin:
        wrong.add(errno.EPERM)
    elif call.scope == Scope.SMU and (file is None or file.object is None):
        wrong.add(errno.EBADF if file is None else EBADFD)
    elif call.scope == Scope.AGENT and call.fd != -1:
        wrong |= _target(process, file.process if file else None, errno.EBADF if file is None else EBADFD)
    if not succeeds(wrong, got) or got is None:
        return
    if call.scope == Scope.SMU:
        assert file is not None and file.object is not None
        _compare(got, call.size, SMU_SIZE, SMU_FIELDS, _of_object(world, process, file.object))
        return
    target = file.process if file and file.process and call.fd != -1 else process
    _compare(got, call.size, AGENT_SIZE, AGENT_FIELDS, _asked(world, call.scope, process, target))


def _target(process: Process, target: Process | None, none: int) -> set[int]:
    if target is None:
        return {none}
    if not target.alive:
        return {errno.ESRCH}
    return set() if may_read(process, target) else {errno.EPERM, errno.EACCES}


def _asked(world: World, scope: int, process: Process, target: Process) -> Figures:
    if scope == Scope.AGENT:
        return _of_agent(world.seen_agent(target))
    figures: Figures = {"size": AGENT_SIZE, "state": 0, "importance": 0, "node": NO_NODE, "name": b""}
    if scope == Scope.DOMAIN:
        figures |= of_domain(world.domains[process.effective])
    return figures  # others change the system's meanwhile


def _of_agent(agent: Agent | None) -> Figures:
    held = list(agent.holds) if agent else []
    length = sum(one.length for one in held)
    figures: Figures = {
        "size": AGENT_SIZE,
        "state": agent.state if agent else ACTIVE,
        "importance": agent.importance if agent else IMPORTANCE,
        "node": (agent.node if agent else -1) & NO_NODE,
        "smus": len(held),
        "logical_bytes": length,
        "unique_bytes": length,
        **_resident(held),
    }
    if agent:
        figures |= {**_counts(agent.counts), "name": agent.name}
    return figures


def of_domain(domain: Domain) -> Figures:
    holds = list(holds_of(domain))
    distinct = {held for _, held in holds}
    return {
        "smus": len(holds),
        "logical_bytes": sum(held.length for _, held in holds),
        "unique_bytes": sum(held.length for held in distinct),
        **_resident(distinct | set(domain.objects.values())),
        **_counts(domain.counts),
    }


def _counts(counts: Counts) -> Figures:
    return {name: getattr(counts, name) for name in Counts.__dataclass_fields__}


def _resident(objects: list[Object] | set[Object]) -> Figures:
    """Not more than there is; where it lies and how much of it is uncompressed is the kernel's choice."""
    most = range(sum(one.whole_pages for one in objects) + 1)
    return {"resident_top": most, "resident_lower": most}


def _of_object(world: World, process: Process, of: Object) -> Figures:
    domain = world.domains[process.effective]
    ours = [agent.holds[of].temperature for agent in of.holders if agent.domain is domain]
    holders = len(ours)
    figures: Figures = {
        "size": SMU_SIZE,
        "type": of.type,
        "flags": of.flags,
        "temperature": min(ours, default=Temperature.HOT),
        "length": of.length,
        **_resident([of]),
        "idle": range(MAX_IDLE),
        "holders": holders,
        "base_depth": of.depth if of.home is domain else 0,
        "node": of.node & NO_NODE,
        "digest": of.digest,
    }
    if of.hot:
        figures["resident_top"] = range(of.whole_pages, of.whole_pages + 1)
    return figures


def _compare(got: Answer, size: int, known: int, fields: dict[str, tuple[int, int]], wanted: Figures) -> None:
    """As many fields as the buffer had room for; zeros behind them, and behind the buffer nothing was touched."""
    expect("size that the kernel knows", known, got.ret)
    seen = min(size, 4096)
    expect("bytes of the buffer", seen + 1, len(got.payload))
    expect("the byte behind the buffer", FILLER, got.payload[seen])
    expect("the rest of the buffer", bytes(max(0, seen - known)), got.payload[known:seen])
    for name, (at, length) in fields.items():
        if at + length <= seen and name in wanted:
            _check(name, wanted[name], got.payload[at : at + length])


def _check(name: str, wanted: int | range | bytes, found: bytes) -> None:
    value = int.from_bytes(found, "little")
    if isinstance(wanted, bytes):
        expect(name, wanted.ljust(len(found), b"\0"), found)
    elif isinstance(wanted, range):
        expect_range(name, wanted.start, wanted.stop - 1, value)
    else:
        expect(name, wanted, value)


# -- /proc --


def proc(world: World, process: Process, call: Proc, got: Answer | None) -> None:
    if not succeeds(set(), got) or got is None:
        return
    lines = [line.split(" ") for line in got.payload.decode(errors="replace").splitlines()]
    if any(len(line) != 2 or not line[1].isdecimal() for line in lines):
        raise Mismatch("lines of a key and a value", got.payload[:200].decode(errors="replace"))
    told = {key: int(value) for key, value in lines}
    expect_in("keys", [", ".join(U64)], ", ".join(told))
    if process.admin:
        return  # the system's
    for name, wanted in of_domain(world.domains[process.effective]).items():
        found = told[name]
        if isinstance(wanted, range):
            expect_range(name, wanted.start, wanted.stop - 1, found)
        else:
            expect(name, wanted, found)


# -- the end --


def figure(stats: bytes, name: str) -> int:
    at, length = AGENT_FIELDS[name]
    return int.from_bytes(stats[at : at + length], "little")


def given_back(before: bytes, after: bytes) -> None:
    """All that was held is free again."""
    for name in GAUGES:
        expect(f"{name} at the end", figure(before, name), figure(after, name))


def counted(before: bytes, after: bytes, counts: Counts) -> None:
    for name in Counts.__dataclass_fields__:
        expect(f"{name} counted", getattr(counts, name), figure(after, name) - figure(before, name))
