"""agent_mark_hot."""

from __future__ import annotations

import errno

from harness.calls.memory import MAX_IMPORTANCE, NODES
from harness.calls.ops import Mark, Pointer, Temperature, Valid
from harness.calls.rules import EBADFD, may_signal, succeeds
from harness.calls.wire import Answer
from harness.calls.world import PAUSED, Agent, File, Object, Process, World

MARK = 280  # bytes of struct agent_mark
PAGE = 4096
NAME_LEN = 256
ALL = 31
OF_SMU = Valid.TEMPERATURE | Valid.IMPORTANCE | Valid.NODE
HOT_NOW = Mark(0, -1, valid=Valid.TEMPERATURE, temperature=Temperature.HOT)  # what no structure means


def mark(world: World, process: Process, call: Mark, got: Answer | None) -> None:
    wrong = {errno.EINVAL} if call.flags else set()
    if call.pointer == Pointer.NULL:
        how = HOT_NOW
    else:
        how = call
        wrong |= _structure(call)
    if call.fd == -1:
        if succeeds(wrong, got):
            _mark_agent(world, process, how)
        return
    file = world.file(process, call.fd)
    if file is None or (file.object is None and file.process is None):
        wrong.add(errno.EBADF if file is None else EBADFD)
    elif file.object:
        wrong |= _on_object(world, process, file, how)
    elif file.process:
        wrong |= _on_process(world, process, file.process)
    if not succeeds(wrong, got) or file is None:
        return
    if file.process:
        _mark_agent(world, file.process, how)
    else:
        _mark_object(world, process, file, how)


# -- what is wrong with a mark --


def _structure(call: Mark) -> set[int]:
    if call.pointer == Pointer.KERNEL or call.pointer == Pointer.UNMAPPED:
        return {errno.EFAULT} | _size(call)
    wrong = _size(call)
    if call.size < MARK:
        return wrong
    ranges = (
        (Valid.TEMPERATURE, call.temperature in range(1, 4)),
        (Valid.STATE, call.state in range(1, 4)),
        (Valid.IMPORTANCE, 1 <= call.importance <= MAX_IMPORTANCE),
        (Valid.NODE, call.node in NODES),
        (Valid.NAME, 1 <= len(_name(call)) < NAME_LEN),
    )
    if call.valid & ~ALL or call.reserved or any(call.valid & bit and not good for bit, good in ranges):
        wrong.add(errno.EINVAL)
    return wrong


def _size(call: Mark) -> set[int]:
    if call.size < MARK:
        return {errno.EINVAL}
    return {errno.E2BIG} if call.size > PAGE or (call.size > MARK and call.tail) else set()


def _name(call: Mark) -> bytes:
    return call.name.split(b"\0")[0]


def _foreign(world: World, process: Process, file: File) -> bool:
    """A file that was passed from another domain can be read and brought in, not marked."""
    return file.agent is None or file.agent.domain is not world.domains[process.effective]


def _on_object(world: World, process: Process, file: File, how: Mark) -> set[int]:
    wrong = {errno.EINVAL} if how.valid & ~OF_SMU else set()
    only_hot = how.valid == Valid.TEMPERATURE and how.temperature == Temperature.HOT
    assert file.object is not None
    claimed = file.object.home is not world.domains[process.effective]
    if (_foreign(world, process, file) and not only_hot) or (how.valid & Valid.NODE and claimed):
        wrong.add(errno.EPERM)
    return wrong


def _on_process(world: World, process: Process, target: Process) -> set[int]:
    if not target.alive:
        return {errno.ESRCH}
    allowed = may_signal(process, target) and not world.stays(target, process)
    return set() if allowed else {errno.EPERM}


# -- what a mark does --


def _mark_object(world: World, process: Process, file: File, how: Mark) -> None:
    assert file.object is not None
    if how.valid & Valid.TEMPERATURE and how.temperature == Temperature.HOT:
        file.object.hot = True
    if _foreign(world, process, file):
        return
    assert file.agent is not None
    if how.valid & Valid.TEMPERATURE:
        _warm(file.agent, how.temperature, only=file)
    if how.valid & Valid.NODE:
        file.object.node = how.node


def _warm(agent: Agent, temperature: int, only: File | None = None) -> None:
    for held, hold in agent.holds.items():
        if only is None or held is only.object:
            hold.temperature, hold.resting = temperature, False
            held.hot = temperature == Temperature.HOT
            if not held.hot:
                _cool_bases(held)


def _cool_bases(top: Object) -> None:
    """A mark that is not HOT goes down to what somebody else holds."""
    base = top.base
    while base and not base.holders:
        base.hot = False
        base = base.base


def _go_on(agent: Agent, state: int) -> None:
    """What only a paused agent holds is WARM until it goes on."""
    before, agent.state = agent.state, state
    for held, hold in agent.holds.items():
        if state == PAUSED != before and hold.temperature == Temperature.HOT and len(held.holders) == 1:
            hold.temperature, hold.resting = Temperature.WARM, True
        elif before == PAUSED != state and hold.resting:
            hold.temperature, hold.resting = Temperature.HOT, False


def _mark_agent(world: World, target: Process, how: Mark) -> None:
    agent = world.agent_of(target)
    if how.valid & Valid.TEMPERATURE and how.temperature == Temperature.HOT:
        for held in agent.holds:
            held.hot = True
    if how.valid & Valid.NAME:
        if agent.founder is not target and len(agent.groups) > 1:
            agent = world.new_agent(target)
        agent.name = _name(how)
    if how.valid & Valid.STATE:
        _go_on(agent, how.state)
    if how.valid & Valid.IMPORTANCE:
        agent.importance = how.importance
    if how.valid & Valid.NODE:
        agent.node = how.node
    if how.valid & Valid.TEMPERATURE:
        _warm(agent, how.temperature)
