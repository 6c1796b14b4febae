# SPDX-License-Identifier: MIT
"""What things are called; the numbers are libagentmem's."""

from __future__ import annotations

from enum import IntEnum


class Type(IntEnum):
    """What a text is. An object keeps the type that it got when it was new."""

    CONVERSATION = 0
    SYSTEM_PROMPT = 1
    TOOL_DEF = 2
    TOOL_RESULT = 3


class Temperature(IntEnum):
    """How soon it will be used again."""

    HOT = 1  # resident, not compressed
    WARM = 2  # compressed; the plain copy may be dropped
    COLD = 3  # compressed, and out of main memory if possible


class State(IntEnum):
    """What an agent is doing."""

    ACTIVE = 1
    PAUSED = 2
    IDLE = 3


class Scope(IntEnum):
    """Whose figures `stats` gives."""

    AGENT = 1
    DOMAIN = 2  # all agents of this user
    SYSTEM = 3  # for CAP_SYS_ADMIN, and with the kernel's backend only


class Algorithm(IntEnum):
    """How the compressed copy of an object is made."""

    NONE = 0
    ZSTD = 1
    DEFLATE_IAA = 2
    ZSTD_IAA = 3
