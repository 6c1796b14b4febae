"""The calls of a program and their arguments. All are numbers, but for one text: the wire and the files need no more.

The order of the classes in CALLS and of the fields is that of harness/calls/guest/calls.h and the code behind it.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, fields

PROCS, SLOTS, MAPS, DOMAINS = 8, 24, 6, 2
SKIPPED = -10000  # what a call answers that nobody can make: its process is not there

SELF, CLOSED, NEGATIVE = -1, -2, -3  # in place of a slot
POOL_SIZE = 512 << 10


def pool() -> bytes:
    """What all data are pieces of; the guest has it as a file."""
    return hashlib.shake_256(b"agent_mem: calls").digest(POOL_SIZE)


class Kind(enum.IntEnum):
    """Credentials of a process. Visitor: the real uid is the other domain's. Admin: with all capabilities."""

    PLAIN = 0
    VISITOR = 1
    ADMIN = 2


class Pointer(enum.IntEnum):
    VALID = 0
    NULL = 1
    KERNEL = 2
    UNMAPPED = 3
    HALF = 4  # data: the second half is not there
    READONLY = 5  # a structure that cannot be written to


class Flag(enum.IntFlag):
    ATTACH = 1
    BASE = 2
    APPEND = 4
    NOCOMPRESS = 8


class Scope(enum.IntEnum):
    SMU = 0
    AGENT = 1
    DOMAIN = 2
    SYSTEM = 3


class Temperature(enum.IntEnum):
    HOT = 1
    WARM = 2
    COLD = 3


class Valid(enum.IntFlag):
    TEMPERATURE = 1
    STATE = 2
    IMPORTANCE = 4
    NODE = 8
    NAME = 16


class How(enum.IntEnum):
    """Attempts to change what is sealed."""

    WRITE = 0
    PWRITE = 1
    TRUNCATE = 2
    ALLOCATE = 3
    SEAL = 4
    CHMOD = 5
    PUNCH = 6
    MAP_SHARED = 7


@dataclass(frozen=True, slots=True)
class Call:
    proc: int


@dataclass(frozen=True, slots=True)
class Spawn(Call):
    """A new process without an agent."""

    domain: int
    kind: int


@dataclass(frozen=True, slots=True)
class Kill(Call):
    pass


@dataclass(frozen=True, slots=True)
class Fork(Call):
    child: int


@dataclass(frozen=True, slots=True)
class Become(Call):
    """Changes the effective uid."""

    domain: int


@dataclass(frozen=True, slots=True)
class Pidfd(Call):
    slot: int
    target: int


@dataclass(frozen=True, slots=True)
class Other(Call):
    """A descriptor that is neither an SMU nor a pidfd."""

    slot: int
    kind: int


@dataclass(frozen=True, slots=True)
class Alloc(Call):
    slot: int
    type: int = 0
    offset: int = 0  # of the data in the pool
    length: int = 0
    patch: int = -1  # which byte of the data is another one than in the pool
    pointer: int = Pointer.VALID  # to the data
    size: int = 0  # as told to the kernel
    attr: int = Pointer.VALID
    attr_size: int = 56
    tail: int = 0  # the byte behind the structure
    flags: int = 0
    base: int = SELF
    node: int = -1
    importance: int = 0
    nofile: int = 0  # no file may be opened now
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Share(Call):
    smu: int
    pidfd: int
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Mark(Call):
    fd: int
    pointer: int = Pointer.VALID
    size: int = 280
    tail: int = 0
    flags: int = 0
    valid: int = 0
    temperature: int = 0
    state: int = 0
    importance: int = 0
    node: int = -1
    reserved: int = 0
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class Stats(Call):
    scope: int
    fd: int = SELF
    pointer: int = Pointer.VALID
    size: int = 464


@dataclass(frozen=True, slots=True)
class Proc(Call):
    """Reads /proc/agent_stats."""


@dataclass(frozen=True, slots=True)
class Fdinfo(Call):
    fd: int


@dataclass(frozen=True, slots=True)
class Close(Call):
    fd: int


@dataclass(frozen=True, slots=True)
class Dup(Call):
    fd: int
    slot: int


@dataclass(frozen=True, slots=True)
class Send(Call):
    """Gives a descriptor to whoever takes the next one (SCM_RIGHTS)."""

    fd: int


@dataclass(frozen=True, slots=True)
class Take(Call):
    slot: int


@dataclass(frozen=True, slots=True)
class Reopen(Call):
    """Opens it once more through /proc/self/fd."""

    fd: int
    slot: int
    writing: int = 0


@dataclass(frozen=True, slots=True)
class Read(Call):
    fd: int
    length: int


@dataclass(frozen=True, slots=True)
class Pread(Call):
    fd: int
    at: int
    length: int


@dataclass(frozen=True, slots=True)
class Seek(Call):
    fd: int
    to: int
    whence: int


@dataclass(frozen=True, slots=True)
class Stat(Call):
    fd: int


@dataclass(frozen=True, slots=True)
class Seals(Call):
    fd: int


@dataclass(frozen=True, slots=True)
class Change(Call):
    fd: int
    how: int


@dataclass(frozen=True, slots=True)
class Map(Call):
    fd: int
    map: int
    private: int = 0


@dataclass(frozen=True, slots=True)
class MapRead(Call):
    map: int
    at: int
    length: int


@dataclass(frozen=True, slots=True)
class Protect(Call):
    """Asks for the right to write to a mapping."""

    map: int


@dataclass(frozen=True, slots=True)
class Unmap(Call):
    map: int


CALLS: tuple[type[Call], ...] = (
    *(Spawn, Kill, Fork, Become, Pidfd, Other, Alloc, Share, Mark, Stats, Proc, Fdinfo, Close, Dup, Send, Take, Reopen),
    *(Read, Pread, Seek, Stat, Seals, Change, Map, MapRead, Protect, Unmap),
)
NUMBERS = {kind: number for number, kind in enumerate(CALLS)}
WORDS = {kind: tuple(f.name for f in fields(kind) if f.name != "proc" and f.type != "bytes") for kind in CALLS}
TEXT = {kind: next((f.name for f in fields(kind) if f.type == "bytes"), None) for kind in CALLS}

# What the guest program indexes with: name of a field -> its values, so that no file makes it leave its tables.
INDICES = {
    **dict.fromkeys(("proc", "child", "target"), range(PROCS)),
    "slot": range(SLOTS),
    "map": range(MAPS),
    "domain": range(DOMAINS),
    "kind": range(len(Kind)),
    "offset": range(POOL_SIZE),
    "length": range(POOL_SIZE),
    **dict.fromkeys(("fd", "smu", "pidfd", "base"), range(NEGATIVE, SLOTS)),
}
