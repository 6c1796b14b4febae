"""What is done with descriptors and mappings, and to processes."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Collection

from harness.calls.ops import (
    SKIPPED,
    Become,
    Change,
    Close,
    Dup,
    Fdinfo,
    Fork,
    Kill,
    Map,
    MapRead,
    Other,
    Pidfd,
    Pread,
    Protect,
    Read,
    Reopen,
    Seals,
    Seek,
    Send,
    Spawn,
    Stat,
    Take,
    Unmap,
)
from harness.calls.rules import SEALED, expect, expect_range, named, succeeds, word
from harness.calls.wire import Answer
from harness.calls.world import File, Object, Process, World

SEALS = 0xF  # WRITE | GROW | SHRINK | SEAL
MODE = 0o100444
MAX_READ = 512 << 10
TYPE_NAMES = (b"conversation", b"system-prompt", b"tool-def", b"tool-result")
FEW_MESSAGES = 8  # on their way: so many a socket takes at least
SET, CUR, END = 0, 1, 2


def answers(got: Answer | None, ret: int) -> None:
    if got:
        expect("answer", named(ret), named(got.ret))


def sums(got: Answer | None, content: bytes) -> None:
    """What was read, by its length and its sum."""
    if got:
        expect("bytes read", len(content), got.ret)
        expect("sum of what was read", zlib.crc32(content), word(got, 0))


# -- processes --


def spawn(world: World, index: int, call: Spawn, got: Answer | None) -> None:
    there = index in world.processes
    answers(got, SKIPPED if there else 0)
    if not there:
        world.spawn(index, call.domain, call.kind)


def kill(world: World, process: Process, call: Kill, got: Answer | None) -> None:
    answers(got, 0)
    world.end(process)


def fork(world: World, process: Process, call: Fork, got: Answer | None) -> None:
    there = call.child in world.processes
    answers(got, SKIPPED if there else 0)
    if not there:
        world.fork(process, call.child)


def become(world: World, process: Process, call: Become, got: Answer | None) -> None:
    mine = {process.real, process.effective, process.saved}
    if succeeds(set() if process.admin or call.domain in mine else {errno.EPERM}, got):
        process.effective = call.domain


def pidfd(world: World, process: Process, call: Pidfd, got: Answer | None) -> None:
    target = world.processes.get(call.target)
    if succeeds(set() if target else {errno.ESRCH, errno.EINVAL}, got):
        world.place(process, call.slot, File(process=target))


def other(world: World, process: Process, call: Other, got: Answer | None) -> None:
    answers(got, 0)
    world.place(process, call.slot, File())


# -- files --


def close(world: World, process: Process, call: Close, got: Answer | None) -> None:
    file = world.file(process, call.fd)
    if succeeds(set() if file else {errno.EBADF}, got):
        process.slots[call.fd] = None
        world.release(file)


def dup(world: World, process: Process, call: Dup, got: Answer | None) -> None:
    file = world.file(process, call.fd)
    if succeeds(set() if file else {errno.EBADF}, got) and file:
        world.place(process, call.slot, file)


def send(world: World, process: Process, call: Send, got: Answer | None) -> None:
    file = world.file(process, call.fd)
    full = len(world.messages) >= FEW_MESSAGES
    if succeeds(set() if file else {errno.EBADF}, got, {errno.EAGAIN} if full else ()) and file:
        world.messages.append(world.use(file))


def take(world: World, process: Process, call: Take, got: Answer | None) -> None:
    if succeeds(set() if world.messages else {errno.EAGAIN}, got) and world.messages:
        file = world.messages.pop(0)
        world.place(process, call.slot, file)
        world.release(file)


def reopen(world: World, process: Process, call: Reopen, got: Answer | None) -> None:
    """A file of its own: for an agent of the object's domain, or one that has the object already."""
    file = world.file(process, call.fd)
    if file is None:
        succeeds({errno.ENOENT}, got)
    elif file.object is None:
        if got is None or got.ret >= 0:
            world.place(process, call.slot, File(process=file.process))
    elif succeeds({errno.EPERM, errno.EACCES} if call.writing else set(), got):
        agent = world.seen_agent(process)
        counts = agent and (agent.domain is file.object.home or file.object in agent.holds)
        world.place(process, call.slot, world.open(file.object, agent if counts else None))


def _object(
    world: World, process: Process, fd: int, got: Answer | None, wrong: Collection[int] = ()
) -> tuple[File, Object] | None:
    """The SMU behind a descriptor. Of other files nothing is said, but that what is not open is EBADF, or `wrong`."""
    file = world.file(process, fd)
    if file is None:
        succeeds({errno.EBADF, *wrong}, got)
        return None
    return (file, file.object) if file.object else None


def read(world: World, process: Process, call: Read, got: Answer | None) -> None:
    if found := _object(world, process, call.fd, got):
        file, held = found
        content = held.content[file.position : file.position + min(call.length, MAX_READ)]
        file.position += len(content)
        sums(got, content)


def pread(world: World, process: Process, call: Pread, got: Answer | None) -> None:
    negative = {errno.EINVAL} if call.at < 0 else set()
    found = _object(world, process, call.fd, got, negative)
    if found and succeeds(negative, got):
        sums(got, found[1].content[call.at : call.at + min(call.length, MAX_READ)])


def seek(world: World, process: Process, call: Seek, got: Answer | None) -> None:
    if not (found := _object(world, process, call.fd, got)):
        return
    file, held = found
    starts = {SET: 0, CUR: file.position, END: held.length}
    to = starts.get(call.whence, 0) + call.to
    if succeeds({errno.EINVAL} if call.whence not in starts or to < 0 else set(), got):
        answers(got, to)
        file.position = to


def stat(world: World, process: Process, call: Stat, got: Answer | None) -> None:
    found = _object(world, process, call.fd, got)
    if not found or not succeeds(set(), got) or got is None:
        return
    held = found[1]
    expect("st_size", held.length, word(got, 0, 8))
    expect("st_ino", held.inode, word(got, 8, 8))
    expect("st_mode", MODE, word(got, 16, 8))


def seals(world: World, process: Process, call: Seals, got: Answer | None) -> None:
    if _object(world, process, call.fd, got):
        answers(got, SEALS)


def change(world: World, process: Process, call: Change, got: Answer | None) -> None:
    if _object(world, process, call.fd, got):
        succeeds(SEALED, got)


def fdinfo(world: World, process: Process, call: Fdinfo, got: Answer | None) -> None:
    file = world.file(process, call.fd)
    if file is None:
        succeeds({errno.ENOENT}, got)
    elif file.object and succeeds(set(), got) and got:
        lines = dict(line.split(b":\t", 1) for line in got.payload.splitlines() if b":\t" in line)
        expect("smu-type", TYPE_NAMES[file.object.type], lines.get(b"smu-type"))
        expect("smu-size", b"%d" % file.object.length, lines.get(b"smu-size"))
        expect("smu-digest", file.object.digest.hex().encode(), lines.get(b"smu-digest"))
        expect_range("number of smu-stored", 1, 1, int(b"smu-stored" in lines))


# -- mappings --


def map_(world: World, process: Process, call: Map, got: Answer | None) -> None:
    found = _object(world, process, call.fd, got)
    if found and succeeds(set(), got):
        before, process.maps[call.map] = process.maps[call.map], (world.use(found[0]), bool(call.private))
        world.release(before[0] if before else None)


def map_read(world: World, process: Process, call: MapRead, got: Answer | None) -> None:
    mapping = process.maps[call.map]
    if succeeds(set() if mapping else {errno.EBADF}, got) and mapping and mapping[0].object:
        content = mapping[0].object.content
        start = call.at % len(content)
        sums(got, content[start : start + call.length])


def protect(world: World, process: Process, call: Protect, got: Answer | None) -> None:
    mapping = process.maps[call.map]
    wrong = set() if mapping and mapping[1] else SEALED
    succeeds(wrong, got)


def unmap(world: World, process: Process, call: Unmap, got: Answer | None) -> None:
    mapping = process.maps[call.map]
    if succeeds(set() if mapping else {errno.EBADF}, got) and mapping:
        process.maps[call.map] = None
        world.release(mapping[0])
