"""A fleet of agent processes in the guest: what they are given (the pack), and what they report.

The guest program is harness/fleet/*.c. What it prints comes from a kernel under test: checked, not trusted.
"""

from __future__ import annotations

import enum
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cache import new_file
from harness.errors import GuestFault, HarnessError, LabError
from harness.guest import Result
from harness.sessions import Agent

SOURCES = Path(__file__).parent / "fleet"
MAGIC = b"AMFLEET1"
HEADER = struct.Struct("<8sIIIIQ")
AGENT = struct.Struct("<II")
REF = struct.Struct("<II")
BLOB = struct.Struct("<QQ32s")
MAX_OUTPUT = 4 << 20  # bytes; a fleet prints some hundred
MAX_FIGURE = 1 << 53
EXIT_WHOLE, EXIT_DIFFERS = 0, 1


class TextType(enum.IntEnum):
    """enum agent_smu_type of the uapi header."""

    CONVERSATION = 0
    SYSTEM_PROMPT = 1
    TOOL_DEF = 2


class Mode(enum.StrEnum):
    PRIVATE = "private"
    SMU = "smu"


@dataclass(frozen=True)
class Pack:
    """A pack file and what is in it, in bytes. `logical_bytes` counts a text once for each of its holders."""

    path: Path
    agents: int
    texts: int
    distinct: int
    logical_bytes: int
    distinct_bytes: int
    digest: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size


@dataclass(frozen=True)
class Gauge:
    """The guest's memory at rest, in bytes."""

    mem_available: int
    mem_free: int
    pcp_free: int
    unevictable: int
    page_tables: int
    slab: int
    memcg_current: int  # -1: no cgroup

    @property
    def available(self) -> int:
        """MemAvailable, with the free pages that wait in per-CPU lists counted as the free pages they are."""
        return self.mem_available + self.pcp_free

    @property
    def free(self) -> int:
        return self.mem_free + self.pcp_free


@dataclass(frozen=True)
class Phase:
    """One run of the fleet in one mode."""

    mode: Mode
    start: Gauge  # before there is a process
    baseline: Gauge  # all processes idle
    held: Gauge
    dropped: Gauge
    end: Gauge  # the processes are gone
    dedup_hits: int
    objects: int
    verified: bool
    differ: int
    first_difference: str
    stats: tuple[dict[str, int], ...]  # the kernel's counters for the domain: at baseline, held, dropped

    @property
    def used_bytes(self) -> int:
        """What holding the texts took out of MemAvailable."""
        return self.baseline.available - self.held.available

    @property
    def memcg_bytes(self) -> int | None:
        if self.baseline.memcg_current < 0:
            return None
        return self.held.memcg_current - self.baseline.memcg_current

    @property
    def left_bytes(self) -> int:
        """What did not come back after the last process: a leak, or noise (negative: more came back)."""
        return self.start.available - self.end.available


# -- the pack --


def write_pack(agents: Sequence[Agent], path: Path) -> Pack:
    """Writes the pack: a list of texts for each agent, each distinct text once. Same input, same file."""
    blobs: dict[bytes, int] = {}
    refs: list[tuple[int, TextType]] = []
    spans: list[tuple[int, int]] = []
    for agent in agents:
        texts = _texts(agent)
        spans.append((len(refs), len(texts)))
        refs += [(blobs.setdefault(text, len(blobs)), kind) for kind, text in texts]
    if not refs or b"" in blobs:
        raise LabError("a fleet needs texts, and none of them empty")
    offset = HEADER.size + AGENT.size * len(spans) + REF.size * len(refs) + BLOB.size * len(blobs)
    size = offset + sum(map(len, blobs))
    with new_file(path) as aside, aside.open("wb") as out:
        out.write(HEADER.pack(MAGIC, len(spans), len(refs), len(blobs), 0, size))
        out.writelines(AGENT.pack(*span) for span in spans)
        out.writelines(REF.pack(*ref) for ref in refs)
        for text in blobs:
            out.write(BLOB.pack(offset, len(text), hashlib.sha256(text).digest()))
            offset += len(text)
        out.writelines(blobs)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    logical = sum(agent.logical_bytes for agent in agents)
    return Pack(path, len(spans), len(refs), len(blobs), logical, sum(map(len, blobs)), digest)


def _texts(agent: Agent) -> list[tuple[TextType, bytes]]:
    return [
        *((TextType.SYSTEM_PROMPT, text) for text in agent.prompts),
        *((TextType.TOOL_DEF, text) for text in agent.tools),
        *((TextType.CONVERSATION, text) for text in agent.conversations),
    ]


# -- the run --


def command(mode: Mode, pack: str, *, program: str, damage: int | None = None, cgroup: bool = True) -> list[str]:
    """The guest's command line. `damage` alters one text before it is held: verification must then fail."""
    argv = [program, "--pack", pack, "--mode", mode.value]
    if cgroup:
        argv += ["--cgroup", f"/sys/fs/cgroup/fleet-{mode.value}"]
    if damage is not None:
        argv += ["--damage", str(damage)]
    return argv


def read_phase(mode: Mode, pack: Pack, result: Result, log: Path | None = None) -> Phase:
    """The result of one run. A call that failed or a process that died in the SMU mode is the kernel's fault.

    GuestFault for those, LabError for a fleet that broke off otherwise or printed what cannot be.
    A byte that differs is told by `verified`, for the caller to judge with both phases at hand.
    """
    events = _events(result.stdout, log)
    error = next((event for event in events if event["event"] == "error"), None)
    if error or result.code not in (EXIT_WHOLE, EXIT_DIFFERS):
        raise _broken(mode, error, result, log)
    try:
        return _phase(mode, pack, events, result.code)
    except (KeyError, TypeError, ValueError) as problem:
        raise LabError(f"the fleet's output ({mode.value}) makes no sense: {problem}", log=log) from problem


def _broken(mode: Mode, error: dict[str, Any] | None, result: Result, log: Path | None) -> HarnessError:
    if error:
        number = _clean(error.get("errno"))
        detail = f"{_clean(error.get('what'))}: {_clean(error.get('error'))} (errno {number})"
    else:
        detail = f"exit code {result.code}: {_clean(result.stderr[-500:].decode(errors='replace'))}"
    cause = f"the fleet failed in the {mode.value} phase: {detail}"
    if mode is Mode.SMU and error:
        return GuestFault(cause, log=log, hint="./lab test")
    return LabError(cause, log=log, hint="./lab demo --agents 4 (is the guest too small for the fleet?)")


def _clean(value: object) -> str:
    """Text of the guest for a person's terminal: printable, and not endless."""
    return "".join(c if c.isprintable() else "?" for c in str(value))[:300]


def _events(stdout: bytes, log: Path | None) -> list[dict[str, Any]]:
    if len(stdout) > MAX_OUTPUT:
        raise LabError(f"the fleet printed {len(stdout)} bytes", log=log)
    events = []
    for line in stdout.splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LabError(f"the fleet printed a line that is not JSON: {_clean(line[:100])}", log=log) from error
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise LabError(f"the fleet printed a line that is no event: {_clean(line[:100])}", log=log)
        events.append(event)
    return events


def _figure(event: dict[str, Any], key: str, least: int = 0) -> int:
    value = event[key]
    if type(value) is not int or not least <= value <= MAX_FIGURE:
        raise ValueError(f"{key} is {_clean(value)}")
    return value


def _phase(mode: Mode, pack: Pack, events: list[dict[str, Any]], code: int) -> Phase:
    held, verified = _one(events, "held"), _one(events, "verified")
    _one(events, "done")
    for event in (held, verified):
        for key, value in (("agents", pack.agents), ("texts", pack.texts), ("bytes", pack.logical_bytes)):
            if _figure(event, key) != value:
                raise ValueError(f"{event['event']} {key} is {event[key]}, the pack has {value}")
    differ = _figure(verified, "differ")
    if (code == EXIT_DIFFERS) != (differ > 0):
        raise ValueError(f"exit code {code} with {differ} differences")
    gauges = {event["at"]: _gauge(event) for event in events if event["event"] == "gauge"}
    return Phase(
        mode=mode,
        **{at: gauges[at] for at in ("start", "baseline", "held", "dropped", "end")},
        dedup_hits=_figure(held, "dedup_hits"),
        objects=_figure(held, "objects"),
        verified=differ == 0,
        differ=differ,
        first_difference=next((_difference(e) for e in events if e["event"] == "differs"), ""),
        stats=tuple(_stats(event) for event in events if event["event"] == "stats"),
    )


def _one(events: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = [event for event in events if event["event"] == name]
    if len(found) != 1:
        raise ValueError(f"{len(found)} events {name}")
    return found[0]


def _gauge(event: dict[str, Any]) -> Gauge:
    names = Gauge.__dataclass_fields__
    return Gauge(**{name: _figure(event, name, -1 if name == "memcg_current" else 0) for name in names})


def _stats(event: dict[str, Any]) -> dict[str, int]:
    return {key: _figure(event, key) for key in event if key != "event" and key.isidentifier()}


def _difference(event: dict[str, Any]) -> str:
    places = (f"{key} {_figure(event, key)}" for key in ("agent", "text", "offset"))
    return f"{_clean(event['what'])} ({', '.join(places)})"
