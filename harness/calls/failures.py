"""What is written down of a failure, and read again to replay it: the programs, as JSON that a person can read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.cache import new_file
from harness.calls import wire
from harness.calls.model import Fault
from harness.calls.ops import CALLS, Call
from harness.errors import UsageError

MAX_BYTES = 64 << 20
MAX_PROGRAMS = 8
NAMES = {kind.__name__: kind for kind in CALLS}


@dataclass(frozen=True)
class Failure:
    """programs: what is to be run at the same time. seed: what the program was made from, of which it is a part."""

    seed: str
    fault: str
    kernel: str
    programs: tuple[tuple[Call, ...], ...]


def write(path: Path, failure: Failure) -> Path:
    content = {
        "seed": failure.seed,
        "fault": failure.fault,
        "kernel": failure.kernel,
        "programs": [[_as_json(call) for call in calls] for calls in failure.programs],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as aside:
        aside.write_text(_lines(content))
        aside.chmod(0o644)
    return path


def _lines(content: dict[str, Any]) -> str:
    """One call a line."""
    programs = ",\n".join(
        "[\n" + ",\n".join(f"  {json.dumps(call)}" for call in calls) + "\n ]" for calls in content.pop("programs")
    )
    head = "".join(f' "{key}": {json.dumps(value)},\n' for key, value in content.items())
    return f'{{\n{head} "programs": [{programs}]\n}}\n'


def _as_json(call: Call) -> dict[str, Any]:
    """What differs from the defaults."""
    given = {f.name: getattr(call, f.name) for f in fields(call) if getattr(call, f.name) != f.default}
    return {"call": type(call).__name__} | {k: v.hex() if isinstance(v, bytes) else int(v) for k, v in given.items()}


def read(path: Path) -> Failure:
    """UsageError: it is no file that `write` wrote, or has calls that the guest program cannot make."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text())
        programs = tuple(tuple(_call(call) for call in calls) for calls in content["programs"])
        seed, fault, kernel = (str(content[key]) for key in ("seed", "fault", "kernel"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f"{path} is no file of a failure: {error}") from error
    if not 0 < len(programs) <= MAX_PROGRAMS or any(len(calls) > wire.MAX_CALLS for calls in programs):
        raise UsageError(f"{path} has too many programs or calls, or none")
    return Failure(seed, fault, kernel, programs)


def _call(content: dict[str, Any]) -> Call:
    words = dict(content)
    kind = NAMES[words.pop("call")]
    for f in fields(kind):
        if f.name in words and f.type == "bytes":
            words[f.name] = bytes.fromhex(words[f.name])
        elif f.name in words and type(words[f.name]) is not int:
            raise ValueError(f"{f.name} of {kind.__name__} is {str(words[f.name])[:40]}")
    call = kind(**words)
    if not wire.fits(call):
        raise ValueError(f"{str(call)[:200]} cannot be made")
    return call


def joined(faults: Sequence[Fault]) -> str:
    return "; ".join(map(str, faults))
