"""agent_alloc_smu and agent_share_content."""

from __future__ import annotations

import errno

from harness.calls.ops import Alloc, Flag, Pointer, Share
from harness.calls.rules import EBADFD, expect, may_signal, succeeds, word
from harness.calls.wire import Answer
from harness.calls.world import Data, Object, Process, World, continued, data_of

TYPES, FLAGS = 4, 15
ATTR = 56  # bytes of struct agent_smu_attr
PAGE = 4096
MAX_SIZE = 1 << 30
MAX_IMPORTANCE = 1000
NODES = (-1, 0)
DEPTH = 256
DEDUP, DELTA = 1, 2
REVOKE = 1
GRANTS = 128


# -- what is wrong with a call --


def _early(call: Alloc) -> set[int]:
    """Wrong whatever there is in the world."""
    wrong = {errno.EINVAL} if call.type not in range(TYPES) else set()
    if call.attr in (Pointer.KERNEL, Pointer.UNMAPPED):
        return wrong | {errno.EFAULT}
    flags = _flags(call)
    if call.attr != Pointer.NULL:
        wrong |= _attr(call)
    if flags & Flag.ATTACH:
        if call.size or call.pointer != Pointer.NULL or flags & (Flag.APPEND | Flag.BASE):
            wrong.add(errno.EINVAL)
    elif call.size == 0:
        wrong.add(errno.EINVAL)
    elif not 0 < call.size <= MAX_SIZE:
        wrong.add(errno.E2BIG)
    return wrong


def _attr(call: Alloc) -> set[int]:
    wrong = set()
    if call.attr_size < ATTR:
        return {errno.EINVAL}
    if call.attr_size > PAGE or (call.attr_size > ATTR and call.tail):
        wrong.add(errno.E2BIG)
    if call.flags & ~FLAGS or call.flags & Flag.BASE and call.flags & Flag.APPEND:
        wrong.add(errno.EINVAL)
    if not 0 <= call.importance <= MAX_IMPORTANCE or call.node not in NODES:
        wrong.add(errno.EINVAL)
    return wrong


def _flags(call: Alloc) -> int:
    return 0 if call.attr == Pointer.NULL else call.flags


def _late(world: World, process: Process, call: Alloc) -> set[int]:
    wrong = set()
    flags = _flags(call)
    if flags & (Flag.APPEND | Flag.BASE):
        file = world.file(process, call.base)
        if file is None:
            wrong.add(errno.EBADF)
        elif file.object is None:
            wrong.add(EBADFD)
    if not flags & Flag.ATTACH and call.pointer != Pointer.VALID:
        wrong.add(errno.EFAULT)
    if call.attr == Pointer.READONLY:
        wrong.add(errno.EFAULT)
    if call.nofile:
        wrong.add(errno.EMFILE)
    return wrong


def _maybe(call: Alloc) -> set[int]:
    """An error that the contract leaves open: a descriptor is given that no flag asks for."""
    flags = _flags(call)
    unasked = call.attr != Pointer.NULL and call.base != -1 and not flags & (Flag.APPEND | Flag.BASE)
    return {errno.EINVAL} if unasked else set()


# -- agent_alloc_smu --


def alloc(world: World, process: Process, call: Alloc, got: Answer | None) -> None:
    early = _early(call)
    wrong = early | _late(world, process, call)
    if not early and not (got and got.ret == -errno.EINVAL):
        world.agent_of(process)  # made by a call that fails later, too
    if _flags(call) & Flag.ATTACH and not early:
        _attach(world, process, call, got, wrong)
        return
    file = world.file(process, call.base) if _flags(call) & (Flag.APPEND | Flag.BASE) else None
    base = file.object if file and not early else None
    good = succeeds(wrong, got, _maybe(call))
    if not good and not _failed_last(call, got):
        return
    data = data_of(world.pool, call.offset, call.length, call.patch)
    if base and _flags(call) & Flag.APPEND:
        data = continued(base, data)
    if good:
        _made(world, process, call, got, data, base)
    else:
        world.displace(world.agent_of(process).domain, data.digest)


def _failed_last(call: Alloc, got: Answer | None) -> bool:
    """Whether there was an object already, for which only the result could not be told."""
    told = call.attr == Pointer.READONLY and call.pointer == Pointer.VALID
    return told and got is not None and got.ret == -errno.EFAULT


def _made(world: World, process: Process, call: Alloc, got: Answer | None, data: Data, base: Object | None) -> None:
    agent = world.agent_of(process)
    digest = data.digest
    alone = _flags(call) & Flag.BASE and _flags(call) & Flag.NOCOMPRESS  # not compressed: no difference, either
    linked = base if base and base.home is agent.domain and base.depth < DEPTH and not alone else None
    found = world.find(agent.domain, digest)
    if found and got:
        expect("inode of equal content", found.inode, word(got, 4, 8))
    _check_result(call, got, digest, DEDUP if found else DELTA if linked else 0)
    if found:
        for counts in (agent.counts, agent.domain.counts):
            counts.dedup_hits += 1
            counts.dedup_bytes += found.length
    else:
        node = call.node if call.attr != Pointer.NULL and call.node != -1 else agent.node
        made = Object(agent.domain, data.content, digest, call.type, _flags(call), node, linked, data.source)
        found = world.new_object(made)
        found.inode = word(got, 4, 8) if got else None
        for counts in (agent.counts, agent.domain.counts) if linked else ():
            counts.delta_hits += 1
    world.place(process, call.slot, world.open(found, agent))


def _check_result(call: Alloc, got: Answer | None, digest: bytes, result: int) -> None:
    if got is None:
        return
    expect("close-on-exec", 1, word(got, 0))
    if call.attr == Pointer.VALID:
        expect("result", result, word(got, 12))
        expect("digest", digest, got.payload[16:48])


def _attach(world: World, process: Process, call: Alloc, got: Answer | None, wrong: set[int]) -> None:
    """Grants come first. Two of them may have equal content; which one is taken is open, and the inode tells."""
    agent = world.agent_of(process)
    granted = [one for one in agent.grants if one.digest == call.digest]
    at_home = world.find(agent.domain, call.digest)
    candidates = granted or ([at_home] if at_home else [])
    maybe = _maybe(call)
    if not candidates:
        wrong.add(errno.ENOENT)
    if not succeeds(wrong, got, maybe):
        return
    found = candidates[0]
    if got:
        found = next((one for one in candidates if one.inode == word(got, 4, 8)), found)
        expect("inode of what was attached", found.inode, word(got, 4, 8))
    _check_result(call, got, call.digest, DEDUP)
    for counts in (agent.counts, agent.domain.counts):
        counts.attach_hits += 1
    file = world.open(found, agent)
    if granted:
        agent.grants.remove(found)
        world.unpin(found)
    world.place(process, call.slot, file)


# -- agent_share_content --


def share(world: World, process: Process, call: Share, got: Answer | None) -> None:
    wrong = {errno.EINVAL} if call.flags & ~REVOKE else set()
    smu, pidfd = world.file(process, call.smu), world.file(process, call.pidfd)
    for file, kind in ((smu, "object"), (pidfd, "process")):
        if file is None:
            wrong.add(errno.EBADF)
        elif getattr(file, kind) is None:
            wrong.add(EBADFD)
    target = pidfd.process if pidfd else None
    shared = smu.object if smu else None
    if target:
        wrong |= _towards(world, process, target, call.flags)
    if target and shared and not wrong:
        wrong |= _bounded(world, target, shared, call.flags)
    if not succeeds(wrong, got) or target is None or shared is None:
        return
    if call.flags & REVOKE:
        granted = world.seen_agent(target)
        assert granted is not None
        granted.grants.remove(shared)
        world.unpin(shared)
        return
    agent = world.agent_of(target)
    if shared not in agent.grants:
        agent.grants.append(shared)
        shared.pins += 1


def _towards(world: World, process: Process, target: Process, flags: int) -> set[int]:
    if not target.alive:
        return {errno.ESRCH}
    allowed = target.effective == process.effective or may_signal(process, target)
    if not flags & REVOKE:
        allowed = allowed and not world.stays(target, process)
    return set() if allowed else {errno.EPERM}


def _bounded(world: World, target: Process, shared: Object, flags: int) -> set[int]:
    if flags & REVOKE:
        agent = world.seen_agent(target)
        return set() if agent and shared in agent.grants else {errno.ENOENT}
    grants = world.agent_of(target).grants
    return {errno.EDQUOT} if len(grants) >= GRANTS and shared not in grants else set()
