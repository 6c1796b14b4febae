# SPDX-License-Identifier: MIT
"""Smu: a text as a sealed object that is held once, by whoever of this user has it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from agentmem import _native, values
from agentmem.agents import IMPORTANCE, NODE, TEMPERATURE, process
from agentmem.figures import SmuStats, smu_stats
from agentmem.kinds import Temperature, Type

if TYPE_CHECKING:
    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer

    Data: TypeAlias = str | Buffer  # text goes as UTF-8

NOCOMPRESS = 1 << 3
REVOKE = 1 << 0
DEDUP, DELTA = 1 << 0, 1 << 1


class Smu(_native.Handle):
    """One hold on an object, made by `put`, `append` or `attach`; `Smu(fd)` takes a descriptor over.

    It is a buffer: `memoryview(smu)`, `numpy.frombuffer(smu)`, `orjson.loads(memoryview(smu))`, `str(smu, "utf-8")`
    read the object's own memory, read-only, without a copy. It equals an Smu, or bytes, of the same content. Its hash
    is that of the digest, not that of the bytes: do not mix both in one set or dictionary.

    It lasts until `close()`, the end of its `with` block, or its last reference; then the object does if nobody else
    holds it. digest, len(), hash and comparing two Smus work on a closed one; all else is ValueError. May be used by
    many threads at once, and on both sides of a fork.
    """

    __slots__ = ("__weakref__",)

    def __enter__(self) -> Smu:
        self.fileno()  # ValueError if it is closed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Smu {self.hexdigest[:12]} {len(self)} bytes{' closed' if self.closed else ''}>"

    @property
    def hexdigest(self) -> str:
        """The SHA-256 of the content as 64 digits."""
        return self.digest.hex()

    @property
    def type(self) -> Type:
        """What the text is, as said by whoever put it first."""
        return self.stats().type

    @property
    def dedup(self) -> bool:
        """Whether the content was there already."""
        return bool(self._result & DEDUP)

    @property
    def delta(self) -> bool:
        """Whether it is held as a difference to its base."""
        return bool(self._result & DELTA)

    def append(
        self,
        data: Data,
        type: Type | None = None,
        *,
        compress: bool = True,
        node: int | None = None,
        importance: int | None = None,
    ) -> Smu:
        """The object that holds this content followed by `data`; this one may be closed afterwards.

        It takes memory, and time for hashing, for what was appended only. type: by default this object's.
        """
        kind = self.type if type is None else values.member(Type, type, "type")
        flags = 0 if compress else NOCOMPRESS
        return self._append(values.content(data), kind, flags, values.node(node), _importance(importance))

    def share(self, pid: int | None = None, *, pidfd: int | None = None, revoke: bool = False) -> None:
        """Grants it to the agent of a process, which can `attach` it from then on; revoke: takes that back again."""
        if pid is None and pidfd is None:
            raise ValueError("give the pid or the pidfd of a process")
        with process(pid, pidfd) as target:
            self._share(target, REVOKE if revoke else 0)

    def mark(
        self,
        temperature: Temperature | None = None,
        *,
        importance: int | None = None,
        node: int | None = None,
    ) -> None:
        """Says how it is used. Without any argument it is HOT: in memory, not compressed, when this returns."""
        given = {TEMPERATURE: temperature, IMPORTANCE: importance, NODE: node}
        valid = sum(bit for bit, value in given.items() if value is not None)
        if not valid:
            valid, temperature = TEMPERATURE, Temperature.HOT
        heat = 0 if temperature is None else values.member(Temperature, temperature, "temperature")
        self._mark(valid, heat, _importance(importance), values.node(node))

    def stats(self) -> SmuStats:
        """Its figures."""
        return smu_stats(self._figures())


def put(
    data: Data,
    type: Type = Type.CONVERSATION,
    *,
    base: Smu | None = None,
    compress: bool = True,
    node: int | None = None,
    importance: int | None = None,
) -> Smu:
    """Makes or finds the object that holds these bytes (at least one; a text goes as UTF-8).

    base: an object with similar content, a hint to hold the difference to it. compress: False for what is compressed
    already. node: preferred NUMA node. importance: 1 to 1000. The last two are the agent's where they are not given.
    """
    flags, kind = 0 if compress else NOCOMPRESS, values.member(Type, type, "type")
    return Smu._put(values.content(data), kind, flags, base, values.node(node), _importance(importance))


def attach(digest: bytes | str) -> Smu:
    """Finds an object by its digest (32 bytes, or 64 hexadecimal digits) among what this user holds or was granted.

    FileNotFoundError: nobody here holds it.
    """
    return Smu._attach(values.digest(digest))


def append(base: Smu, data: Data, type: Type | None = None) -> Smu:
    """As `base.append(data, type)`."""
    return base.append(data, type)


def share(smu: Smu, pid: int | None = None, *, pidfd: int | None = None, revoke: bool = False) -> None:
    """As `smu.share(pid)`."""
    smu.share(pid, pidfd=pidfd, revoke=revoke)


def _importance(given: int | None) -> int:
    """0 stands for the agent's own, and is none that can be given."""
    return 0 if given is None else values.importance(given)
