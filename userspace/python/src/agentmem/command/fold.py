# SPDX-License-Identifier: MIT
"""Events of a trace as stacks: agent, program, type of the text, how it came, the object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agentmem import Type
from agentmem.command.show import word
from agentmem.command.trace import Event

Stack = tuple[str, ...]
HOW = {"smu_alloc": "new", "smu_dedup": "found equal", "smu_attach": "found by digest"}
SHORT = 12  # digits of a digest
UNSEEN = "(from before)"  # objects that were there when the recording began


@dataclass
class Object:
    """An object that lives: who brought it first, and its compressed chunks, by number: what each takes less."""

    stack: Stack
    less: dict[int, int] = field(default_factory=dict)


@dataclass
class Folded:
    """Bytes by stack: of all that was put or attached, and of it, what took no memory."""

    agent_of: Callable[[Event], str]
    bytes: Counter[Stack] = field(default_factory=Counter)
    _saved: Counter[Stack] = field(default_factory=Counter)
    _objects: dict[int, Object] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        number = event.number("ino")
        if event.name in HOW:
            self._brought(event, number)
        elif event.name == "smu_compress":
            found = self._objects.setdefault(number, Object((UNSEEN,)))
            found.less[event.number("chunk")] = event.number("len") - event.number("stored")
        elif gone := self._objects.pop(number, None):
            self._saved[_compressed(gone)] += sum(gone.less.values())

    @property
    def saved(self) -> Counter[Stack]:
        """What was found there already, and what compressed chunks take less than their content."""
        total = Counter(self._saved)
        for living in self._objects.values():
            total[_compressed(living)] += sum(living.less.values())
        return +total

    def _brought(self, event: Event, number: int) -> None:
        size, kind = event.number("size"), _kind(event.number("type"))
        above = (self.agent_of(event), event.comm, kind)
        stack = (*above, HOW[event.name], event.fields.get("digest", "?")[:SHORT])
        self.bytes[stack] += size
        if event.name == "smu_alloc":
            self._objects[number] = Object(stack)
        else:
            self._saved[stack] += size
            self._objects.setdefault(number, Object((UNSEEN, kind)))


def lines(stacks: Counter[Stack]) -> Iterator[str]:
    """As flamegraph.pl, speedscope and others read them."""
    for stack, amount in sorted(stacks.items()):
        yield f"{';'.join(_frame(name) for name in stack)} {amount}"


def _kind(number: int) -> str:
    return word(Type(number)) if number in set(Type) else f"type {number}"


def _compressed(found: Object) -> Stack:
    if found.stack[0] == UNSEEN:
        return (*found.stack, "compressed")
    return (*found.stack[:3], "compressed", found.stack[-1])


def _frame(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name.replace(";", ",")) or "?"
