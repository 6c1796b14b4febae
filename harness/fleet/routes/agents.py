"""Agent processes that hold a pack's texts through the Python binding; runs in a guest that has the host's files.

    python agents.py PACK

Prints what they hold as JSON, and whether it came back as it was. Each agent is a process: it puts its texts, marks
itself COLD as who waits for its user, and reads all of it when the others are done, too.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import platform
import struct
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext
from pathlib import Path
from typing import Any, NamedTuple

import agentmem

HEADER = struct.Struct("<8sIIIIQ")  # as harness/fleet.py writes them
AGENT, REF, BLOB = struct.Struct("<II"), struct.Struct("<II"), struct.Struct("<QQ32s")


class Text(NamedTuple):
    """Where it is in the pack, what it is, and its SHA-256."""

    kind: agentmem.Type
    offset: int
    length: int
    digest: bytes


class Pack:
    def __init__(self, path: str) -> None:
        with Path(path).open("rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _, agents, refs, _, _, _ = HEADER.unpack_from(self.data)
        self._refs = HEADER.size + agents * AGENT.size
        self._blobs = self._refs + refs * REF.size
        self.spans = [AGENT.unpack_from(self.data, HEADER.size + i * AGENT.size) for i in range(agents)]

    def texts(self, agent: int) -> Iterator[Text]:
        first, count = self.spans[agent]
        for number in range(first, first + count):
            blob, kind = REF.unpack_from(self.data, self._refs + number * REF.size)
            yield Text(agentmem.Type(kind), *BLOB.unpack_from(self.data, self._blobs + blob * BLOB.size))


def live(pack: Pack, agent: int, ends: Connection) -> None:
    """One agent's process. What it fails of is the parent's to print: several would print at the same time."""
    try:
        hold(pack, agent, ends)
    except OSError as error:
        ends.send(error)


def hold(pack: Pack, agent: int, ends: Connection) -> None:
    """One agent's life: tells the inodes of what it holds, and what of it was there; then, how many texts differ."""
    agentmem.agent(f"agent-{agent}")
    held = []
    for text in pack.texts(agent):
        with memoryview(pack.data)[text.offset : text.offset + text.length] as content:
            held.append((agentmem.put(content, text.kind), text.digest))
    agentmem.mark(agentmem.Temperature.COLD)
    ends.send([(os.fstat(smu.fileno()).st_ino, smu.dedup) for smu, _ in held])
    ends.recv()
    ends.send(sum(hashlib.sha256(smu).digest() != digest for smu, digest in held))


def told(agent: int, ends: Connection) -> Any:
    """What an agent sends. SystemExit: it failed."""
    try:
        said = ends.recv()
    except EOFError:
        sys.exit(f"agent-{agent} ended")
    if isinstance(said, Exception):
        sys.exit(f"agent-{agent}: {said}")
    return said


def main(path: str) -> dict[str, object]:
    pack, fork = Pack(path), ForkContext()
    pipes = []
    for agent in range(len(pack.spans)):
        ours, theirs = fork.Pipe()
        fork.Process(target=live, args=(pack, agent, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    held = [each for agent, pipe in enumerate(pipes) for each in told(agent, pipe)]
    figures = agentmem.stats(agentmem.Scope.DOMAIN)
    for pipe in pipes:
        pipe.send(None)
    return {
        "runtime": f"Python {platform.python_version()}",
        "backend": agentmem.backend(),
        "agents": len(pipes),
        "texts": len(held),
        "objects": len({inode for inode, _ in held}),
        "logical_bytes": figures.logical_bytes,
        "unique_bytes": figures.unique_bytes,
        "resident_bytes": figures.resident_top + figures.resident_lower,
        "stored_bytes": figures.stored_bytes,
        "dedup_hits": sum(dedup for _, dedup in held),
        "differ": sum(told(agent, pipe) for agent, pipe in enumerate(pipes)),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
