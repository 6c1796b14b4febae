# SPDX-License-Identifier: MIT
"""Content of a file or of standard input, as much as one object may hold."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path

import agentmem
from agentmem.command.trouble import Trouble

DEFAULT = 1 << 30  # bytes: the fallback's limit, and the kernel's unless the administrator set another
SETTING = Path("/proc/sys/vm/agent_mem_max_size")
PART = 1 << 20


def read(name: str, base: int = 0) -> bytearray:
    """All of it. Trouble: it is empty, or more than an object may hold in addition to a base of that many bytes."""
    most, next = _limit()
    data, most = bytearray(), max(most - base, 0)
    with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as stream:
        too_much = stream.seekable() and os.fstat(stream.fileno()).st_size - stream.tell() > most
        while not too_much and (part := stream.read(min(PART, most + 1 - len(data)))):
            data += part
            too_much = len(data) > most
    if too_much:
        beside = f" in addition to the {base} bytes of the other one" if base else ""
        raise Trouble(f"{name}: is more than an object may hold: {most} bytes{beside}", next)
    if not data:
        raise Trouble(f"{'standard input' if name == '-' else name} is empty; an object has one byte or more")
    return data


def _limit() -> tuple[int, str]:
    """In bytes, and where it is set."""
    if agentmem.backend() == "kernel":
        with contextlib.suppress(OSError, ValueError):
            return int(SETTING.read_text()), f"sysctl vm.{SETTING.name}"
        return DEFAULT, ""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return (soft, "ulimit -f") if 0 <= soft < DEFAULT else (DEFAULT, "")
