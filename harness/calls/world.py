"""What there is while a program runs: processes, their descriptors, agents, domains, objects.

An object lives as long as something pins it: files, grants, objects that continue it or are similar to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.calls.ops import DOMAINS, MAPS, SLOTS, Kind, Temperature

PAGE = 4096
NAME = b"calls"  # what the guest program's processes are called
ACTIVE, PAUSED = 1, 2
IMPORTANCE = 500


@dataclass(eq=False, slots=True)
class Counts:
    """What only ever grows."""

    dedup_hits: int = 0
    dedup_bytes: int = 0
    attach_hits: int = 0
    delta_hits: int = 0


@dataclass(eq=False, slots=True)
class Domain:
    index: int
    objects: dict[bytes, Object] = field(default_factory=dict)
    agents: set[Agent] = field(default_factory=set)  # that have ended and still hold something, too
    counts: Counts = field(default_factory=Counts)


@dataclass(eq=False, slots=True)
class Object:
    home: Domain
    content: bytes
    digest: bytes
    type: int
    flags: int
    node: int
    base: Object | None
    source: tuple[int, int] | None  # the piece of the pool that it is
    inode: int | None = None  # once it was told
    pins: int = 0  # files and grants
    followers: set[Object] = field(default_factory=set)  # that have it as their base
    holders: set[Agent] = field(default_factory=set)
    hot: bool = False  # was marked so, and by nobody otherwise since

    @property
    def length(self) -> int:
        return len(self.content)

    @property
    def whole_pages(self) -> int:
        return -(-len(self.content) // PAGE) * PAGE

    @property
    def at_home(self) -> bool:
        """Not only agents of other domains hold it: then it is not found where it came from."""
        return not self.holders or any(agent.domain is self.home for agent in self.holders)

    @property
    def depth(self) -> int:
        return self.base.depth + 1 if self.base else 0


@dataclass(eq=False, slots=True)
class Hold:
    files: int = 0
    temperature: int = Temperature.HOT
    resting: bool = False  # WARM only while its agent is paused


@dataclass(eq=False, slots=True)
class Agent:
    domain: Domain
    founder: Process
    groups: set[Process] = field(default_factory=set)
    name: bytes = NAME
    state: int = ACTIVE
    importance: int = IMPORTANCE
    node: int = -1
    holds: dict[Object, Hold] = field(default_factory=dict)
    grants: list[Object] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


@dataclass(eq=False, slots=True)
class File:
    """An open file: shared by dup, fork, mappings and messages. agent: who holds the object by it, if anybody."""

    object: Object | None = None
    agent: Agent | None = None
    process: Process | None = None  # a pidfd
    users: int = 0
    position: int = 0


@dataclass(eq=False, slots=True)
class Process:
    """Users are indices of domains."""

    index: int
    real: int
    effective: int
    saved: int
    admin: bool
    alive: bool = True
    agent: Agent | None = None
    slots: list[File | None] = field(default_factory=lambda: [None] * SLOTS)
    maps: list[tuple[File, bool] | None] = field(default_factory=lambda: [None] * MAPS)


class World:
    def __init__(self, pool: bytes) -> None:
        self.pool = pool
        self.domains = tuple(Domain(index) for index in range(DOMAINS))
        self.processes: dict[int, Process] = {}  # that live
        self.messages: list[File] = []  # sent and not taken

    # -- processes and agents --

    def spawn(self, index: int, domain: int, kind: int) -> Process:
        real = 1 - domain if kind == Kind.VISITOR else domain
        process = self.processes[index] = Process(index, real, domain, domain, kind == Kind.ADMIN)
        return process

    def fork(self, parent: Process, index: int) -> None:
        child = Process(index, parent.real, parent.effective, parent.saved, parent.admin)
        self.processes[index] = child
        if parent.agent:
            child.agent = parent.agent
            child.agent.groups.add(child)
        for slot, file in enumerate(parent.slots):
            child.slots[slot] = self.use(file) if file else None
        for place, mapping in enumerate(parent.maps):
            child.maps[place] = (self.use(mapping[0]), mapping[1]) if mapping else None

    def end(self, process: Process) -> None:
        process.alive = False
        del self.processes[process.index]
        for file in process.slots:
            self.release(file)
        for mapping in process.maps:
            self.release(mapping[0] if mapping else None)
        self._leave(process)

    def agent_of(self, process: Process) -> Agent:
        """Its agent, made if it has none or has moved to another domain."""
        domain = self.domains[process.effective]
        if process.agent is None or process.agent.domain is not domain:
            return self.new_agent(process)
        return process.agent

    def seen_agent(self, process: Process) -> Agent | None:
        """Its agent, for who looks at it: none, if it has moved to another domain and made no call there."""
        agent = process.agent
        return agent if agent and agent.domain is self.domains[process.effective] else None

    def stays(self, target: Process, caller: Process) -> bool:
        """Whether its agent is not to be replaced by another process: it is another user's only for a while."""
        elsewhere = target.agent is not None and self.seen_agent(target) is None
        settled = target.real == target.effective == target.saved
        return elsewhere and target is not caller and not settled

    def new_agent(self, process: Process) -> Agent:
        self._leave(process)
        agent = process.agent = Agent(self.domains[process.effective], process, {process})
        agent.domain.agents.add(agent)
        return agent

    def _leave(self, process: Process) -> None:
        agent, process.agent = process.agent, None
        if agent is None:
            return
        agent.groups.discard(process)
        if not agent.groups:
            grants, agent.grants = agent.grants, []
            for granted in grants:
                self.unpin(granted)
            self._forget(agent)

    def _forget(self, agent: Agent) -> None:
        if not agent.groups and not agent.holds:
            agent.domain.agents.discard(agent)

    # -- files --

    def open(self, found: Object, agent: Agent | None) -> File:
        """A new file, which holds the object for the agent. The caller has yet to `use` it."""
        found.pins += 1
        if agent:
            agent.holds.setdefault(found, Hold()).files += 1
            found.holders.add(agent)
        return File(found, agent)

    def use(self, file: File) -> File:
        file.users += 1
        return file

    def release(self, file: File | None) -> None:
        if file is None:
            return
        file.users -= 1
        if file.users or file.object is None:
            return
        agent, held = file.agent, file.object
        if agent:
            agent.holds[held].files -= 1
            if not agent.holds[held].files:
                del agent.holds[held]
                held.holders.discard(agent)
                self._forget(agent)
        self.unpin(held)

    def place(self, process: Process, slot: int, file: File) -> None:
        """What was in the slot is closed when its successor is there."""
        before, process.slots[slot] = process.slots[slot], self.use(file)
        self.release(before)

    def file(self, process: Process, argument: int) -> File | None:
        return process.slots[argument] if argument >= 0 else None

    # -- objects --

    def new_object(self, made: Object) -> Object:
        made.home.objects[made.digest] = made
        if made.base:
            made.base.followers.add(made)
        return made

    def find(self, domain: Domain, digest: bytes) -> Object | None:
        found = domain.objects.get(digest)
        return found if found and found.at_home else None

    def displace(self, domain: Domain, digest: bytes) -> None:
        """One that other domains alone hold is not found any more once there was an equal one here."""
        found = domain.objects.get(digest)
        if found and not found.at_home:
            del domain.objects[digest]

    def unpin(self, released: Object) -> None:
        released.pins -= 1
        self.settle(released)

    def settle(self, changed: Object | None) -> None:
        """Removes it if nothing has kept it, and its base, and so on."""
        while changed and not changed.pins and not changed.followers:
            if changed.home.objects.get(changed.digest) is changed:
                del changed.home.objects[changed.digest]
            base, changed.base = changed.base, None
            if base:
                base.followers.discard(changed)
            changed = base


@dataclass(frozen=True, slots=True)
class Data:
    """Content and where it came from."""

    content: bytes
    source: tuple[int, int] | None

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.content).digest()


def data_of(pool: bytes, offset: int, length: int, patch: int) -> Data:
    content = pool[offset : offset + length]
    if patch < 0:
        return Data(content, (offset, length))
    return Data(content[:patch] + bytes([content[patch] ^ 0x55]) + content[patch + 1 :], None)


def continued(base: Object, data: Data) -> Data:
    """The base's content followed by the data."""
    adjacent = base.source and data.source and data.source[0] == sum(base.source)
    source = (base.source[0], base.length + len(data.content)) if base.source and adjacent else None
    return Data(base.content + data.content, source)


def holds_of(domain: Domain) -> Iterator[tuple[Agent, Object]]:
    for agent in domain.agents:
        for held in agent.holds:
            yield agent, held
