# SPDX-License-Identifier: MIT
"""Who holds which objects, as /proc shows it: by descriptors. A view or a grant that holds one alone is not seen."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import agentmem
from agentmem.command import show

IN_KERNEL = "[agent_smu]"
IN_STORE = re.compile(r".*/o-([0-9a-f]{64})")
LINE = re.compile(r"^smu-(\w+):\t(.+)$", re.M)


@dataclass(slots=True)
class Held:
    """One object that somebody has a descriptor of."""

    digest: str
    type: str
    length: int
    stored: int  # bytes of the compressed copy
    pids: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Holdings:
    objects: dict[str, Held] = field(default_factory=dict)
    unseen: list[int] = field(default_factory=list)  # processes that may not be looked at


def look() -> Holdings:
    """All that this user's agents hold (as root with the kernel's backend: that all agents hold)."""
    found = Holdings()
    for pid in agentmem.agents():
        if pid == os.getpid():
            continue
        try:
            _add(found.objects, pid)
        except PermissionError:
            found.unseen.append(pid)
        except OSError:
            continue  # it has ended
    return found


def _add(objects: dict[str, Held], pid: int) -> None:
    place = Path("/proc", str(pid))
    for fd in (place / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            link = str(fd.readlink())
            if IN_KERNEL in link and (told := dict(LINE.findall((place / "fdinfo" / fd.name).read_text()))):
                held = Held(told["digest"], told["type"], int(told["size"]), int(told["stored"]))
                objects.setdefault(held.digest, held).pids.add(pid)
            elif match := IN_STORE.fullmatch(link):
                if match[1] not in objects:
                    objects[match[1]] = _from_store(fd)
                objects[match[1]].pids.add(pid)


def _from_store(fd: Path) -> Held:
    """The store says more than the descriptor. Opened once more it is no hold, and unlike attach() no use."""
    copy = os.open(fd, os.O_RDONLY)
    try:
        smu = agentmem.Smu(copy)
    except OSError:
        os.close(copy)
        raise FileNotFoundError(f"{fd} is not of this store any more") from None
    with smu:
        stats = smu.stats()
        return Held(smu.hexdigest, show.word(stats.type), stats.length, stats.stored)
