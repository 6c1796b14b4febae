"""The same fleet by another route: processes of Python that use the binding, in a guest that has the host's files.

The guest program is harness/fleet/agents.py. What it prints comes from a kernel under test: checked, not trusted.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from harness import binding, fleet, hostroot
from harness.cache import locked, work_dir
from harness.errors import GuestFault, LabError
from harness.fleet import Pack
from harness.hostroot import Machine
from harness.kernel import Kernel

PROGRAM = fleet.SOURCES / "agents.py"
FIXED_MB, PER_AGENT_MB = 1024, 24  # the host's user space and the kernel; a process of Python
SECONDS, PER_AGENT_SECONDS = 300.0, 30.0
MAX_OUTPUT = 1 << 16  # bytes


@dataclass(frozen=True)
class Held:
    """What the agents held, as the kernel's figures of their domain tell. Bytes."""

    python: str
    backend: str
    agents: int
    texts: int
    objects: int
    logical_bytes: int
    unique_bytes: int
    resident_bytes: int
    stored_bytes: int
    dedup_hits: int
    differ: int

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verified": self.differ == 0}


def run(built: Kernel, pack: Pack) -> Held:
    """Boots, runs, checks. GuestFault: a text came back changed, or a call failed."""
    package = _unpacked(binding.wheel("guest", headers=built.headers))
    machine = Machine(built, FIXED_MB + PER_AGENT_MB * pack.agents, 2)
    argv = ["env", f"PYTHONPATH={package}", "PYTHONDONTWRITEBYTECODE=1", "AGENTMEM_BACKEND=kernel"]
    argv += [sys.executable, str(PROGRAM), str(pack.path)]
    said, complaints = io.BytesIO(), io.BytesIO()
    with hostroot.start(machine) as guest:
        code = guest.run(argv, SECONDS + PER_AGENT_SECONDS * pack.agents, said, complaints)
        guest.check()
        log = guest.log
    return read(pack, said.getvalue(), complaints.getvalue(), code, log)


def read(pack: Pack, said: bytes, complaints: bytes, code: int, log: Path | None = None) -> Held:
    """The result of one run. GuestFault: agents failed, or held other texts than the pack has; LabError: nonsense."""
    if code != 0:
        last = complaints.decode(errors="replace").strip().splitlines()[-1:]
        raise GuestFault(f"agents through the Python binding ended with {code}: {' '.join(last)[:300]}", log=log)
    held = _parsed(said, log)
    if held.differ or (held.agents, held.texts) != (pack.agents, pack.texts):
        cause = f"through the Python binding {held.differ} of {held.texts} texts came back changed ({pack.texts} given)"
        raise GuestFault(cause, log=log, hint="./lab test")
    return held


def _parsed(said: bytes, log: Path | None) -> Held:
    try:
        if len(said) > MAX_OUTPUT:
            raise ValueError(f"{len(said)} bytes")
        told = json.loads(said)
        held = Held(**{one.name: told[one.name] for one in fields(Held)})
        numbers = [getattr(held, one.name) for one in fields(Held) if one.type == "int"]
        if not all(type(number) is int and 0 <= number < fleet.MAX_FIGURE for number in numbers):
            raise ValueError("a figure is none")
    except (KeyError, TypeError, ValueError, RecursionError) as problem:
        raise LabError(f"what the agents of Python print makes no sense: {problem}"[:300], log=log) from problem
    return held


def _unpacked(wheel: Path) -> Path:
    """A directory to import the wheel's package from."""
    place = work_dir("binding") / f"{wheel.stem}-unpacked"
    with locked("binding-unpacked"):
        state = place / "state"
        told = f"{wheel.stat().st_mtime_ns}"
        if not state.is_file() or state.read_text() != told:
            shutil.rmtree(place, ignore_errors=True)
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(place)
            state.write_text(told)
    return place
