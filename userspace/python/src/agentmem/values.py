# SPDX-License-Identifier: MIT
"""Values for the calls, checked before: the calls know only EINVAL, and an error is to name what is wrong."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sys

    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer

MOST_IMPORTANT = 1000
INT_MAX = (1 << 31) - 1
NAME_MAX = 255  # bytes
DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def member(kinds: type[IntEnum], given: int, what: str) -> int:
    """A member of an enumeration, or its number."""
    if given not in list(kinds):
        known = ", ".join(f"{kind.name} ({kind})" for kind in kinds)
        raise ValueError(f"{what} must be one of {known}; got {given!r}")
    return given


def importance(given: int) -> int:
    if not 1 <= given <= MOST_IMPORTANT:
        raise ValueError(f"importance must be from 1 to {MOST_IMPORTANT}; got {given}")
    return given


def node(given: int | None) -> int:
    """-1, as for None: none is preferred, or the agent's own."""
    if given is not None and not -1 <= given <= INT_MAX:
        raise ValueError(f"node must be the number of a NUMA node, or -1; got {given}")
    return -1 if given is None else given


def content(data: str | Buffer) -> Buffer:
    told = data.encode() if isinstance(data, str) else data
    with memoryview(told) as view:
        if not view.nbytes:
            raise ValueError("data is empty; an object has one byte or more")
    return told


def digest(given: bytes | str) -> bytes:
    if isinstance(given, str):
        if not DIGEST.fullmatch(given):
            raise ValueError(f"a digest is 64 hexadecimal digits or 32 bytes; got {given!r}")
        return bytes.fromhex(given)
    return given


def name(given: str) -> bytes:
    """As many whole characters as there is room for. Bytes that are none, as from os.fsdecode(), stay what they are."""
    if not given:
        raise ValueError("a name has one character or more")
    if "\0" in given:
        raise ValueError("a name has no null character")
    told = given.encode(errors="surrogateescape")
    end = NAME_MAX
    while NAME_MAX - 3 < end < len(told) and told[end] & 0xC0 == 0x80:
        end -= 1
    return told[:end]
