"""The same fleet by other routes: processes that use a library, in a guest that has the host's files.

The guest programs are harness/fleet/routes/*. What they print comes from a kernel under test: checked, not trusted.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import binding, fleet, initramfs, node, userspace
from harness.cache import locked, work_dir
from harness.errors import GuestFault, LabError
from harness.fleet import Pack
from harness.kernel import Kernel

if TYPE_CHECKING:
    from harness.hostroot import HostRoot

PROGRAMS = fleet.SOURCES / "routes"
FIXED_MB = 1024  # the host's user space and the kernel
SECONDS, PER_AGENT_SECONDS = 300.0, 30.0
MAX_OUTPUT = 1 << 16  # bytes
# An agent that holds many texts has as many descriptors.
START = ("sh", "-c", 'ulimit -n "$(ulimit -H -n)"; exec "$@"', "sh")


@dataclass(frozen=True)
class Held:
    """What the agents held, as the kernel's figures of their domain and its answers tell. Bytes."""

    runtime: str
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


# -- the programs --


def _c(_: str, headers: Path | None) -> list[str]:
    library = userspace.LIBRARY
    sources = [*sorted((library / "src").glob("*.c")), PROGRAMS / "agents.c"]
    sources += [fleet.SOURCES / "pack.c", fleet.SOURCES / "sha256.c"]
    flags = ("-D_GNU_SOURCE=", f"-I{library / 'include'}")
    libraries = ("zstd", "nettle")
    place = headers or Path("/usr")
    return [str(initramfs.compile_static(sources, headers=place, name="agents", flags=flags, libraries=libraries))]


def _python(name: str, headers: Path | None) -> list[str]:
    package = _unpacked(binding.wheel(name, headers=headers))
    env = ["env", f"PYTHONPATH={package}", "PYTHONDONTWRITEBYTECODE=1"]
    return [*env, sys.executable, str(PROGRAMS / "agents.py")]


def _node(name: str, headers: Path | None) -> list[str]:
    built = node.build(name, headers=headers)
    return [str(node.node().program), str(PROGRAMS / "agents.js"), str(built)]


@dataclass(frozen=True)
class Route:
    """A library and its language. command: builds what it takes, by a name, for the calls of these headers."""

    title: str
    agent_mb: int  # memory of a process
    command: Callable[[str, Path | None], list[str]]


ROUTES = {"c": Route("C", 4, _c), "python": Route("Python", 24, _python), "node": Route("Node", 64, _node)}


def command(name: str, build: str, pack: Pack, headers: Path | None) -> list[str]:
    return [*START, *ROUTES[name].command(build, headers), str(pack.path)]


# -- running them --


def run(built: Kernel, pack: Pack, names: Sequence[str]) -> Iterator[tuple[str, Held]]:
    """Boots one guest, runs in it one fleet after another, checks. GuestFault: a text was changed, or a call failed."""
    from harness import hostroot  # paramiko takes half a second to import: not before there is something to run

    commands = {name: command(name, "guest", pack, built.headers) for name in names}
    agent_mb = max(ROUTES[name].agent_mb for name in names)
    with hostroot.start(hostroot.Machine(built, FIXED_MB + agent_mb * pack.agents, 2)) as guest:
        for name, argv in commands.items():
            yield name, _run(guest, ["env", "AGENTMEM_BACKEND=kernel", *argv], pack, ROUTES[name].title)


def _run(guest: HostRoot, argv: Sequence[str], pack: Pack, title: str) -> Held:
    said, complaints = io.BytesIO(), io.BytesIO()
    code = guest.run(argv, SECONDS + PER_AGENT_SECONDS * pack.agents, said, complaints)
    guest.check()
    return read(pack, title, said.getvalue(), complaints.getvalue(), code, guest.log)


def read(pack: Pack, title: str, said: bytes, complaints: bytes, code: int, log: Path | None = None) -> Held:
    """The result of one run. GuestFault: agents failed, or held other texts than the pack has; LabError: nonsense."""
    if code != 0:
        last = complaints.decode(errors="replace").strip().splitlines()[-1:]
        raise GuestFault(f"agents of {title} ended with {code}: {' '.join(last)[:300]}", log=log)
    held = _parsed(said, title, log)
    if held.differ or (held.agents, held.texts) != (pack.agents, pack.texts):
        cause = f"agents of {title}: {held.differ} of {held.texts} texts came back changed ({pack.texts} given)"
        raise GuestFault(cause, log=log, hint="./lab test")
    return held


def _parsed(said: bytes, title: str, log: Path | None) -> Held:
    try:
        if len(said) > MAX_OUTPUT:
            raise ValueError(f"{len(said)} bytes")
        told = json.loads(said)
        held = Held(**{one.name: told[one.name] for one in fields(Held)})
        values = [(one.type, getattr(held, one.name)) for one in fields(Held)]
        if not all(type(value) is str for kind, value in values if kind == "str"):
            raise ValueError("a name is none")
        if not all(type(value) is int and 0 <= value < fleet.MAX_FIGURE for kind, value in values if kind == "int"):
            raise ValueError("a figure is none")
    except (KeyError, TypeError, ValueError, RecursionError) as problem:
        raise LabError(f"what the agents of {title} print makes no sense: {problem}"[:300], log=log) from problem
    return held


def _unpacked(wheel: Path) -> Path:
    """A directory to import the wheel's package from."""
    place = work_dir("binding") / f"{wheel.parent.name}-unpacked"
    with locked("binding-unpacked"):
        state = place / "state"
        told = f"{wheel.stat().st_mtime_ns}"
        if not state.is_file() or state.read_text() != told:
            shutil.rmtree(place, ignore_errors=True)
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(place)
            state.write_text(told)
    return place
