"""Configuration fragments: read, merged, given to the kernel, and compared with what it made of them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import proc
from harness.cache import REPO
from harness.errors import ConfigError, HarnessError, UsageError

KCONFIG = REPO / "kconfig"
OPTION = re.compile(r"^CONFIG_(?P<name>\w+)=(?P<value>y|m|n|-?\d+|0x[0-9a-fA-F]+|\"[^\"]*\")$")


@dataclass(frozen=True)
class Request:
    """A line of a fragment: an option, its value, and where it is asked for."""

    name: str
    value: str
    fragment: str
    line: int

    def __str__(self) -> str:
        return f"CONFIG_{self.name}={self.value} ({self.fragment}:{self.line})"


@dataclass(frozen=True)
class Lost:
    """A request that the final configuration does not hold, what it holds instead, and why."""

    request: Request
    actual: str
    reason: str = ""

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"{self.request} became {self.actual}{why}"


def parse(text: str, fragment: str) -> list[Request]:
    """The requests of one fragment; a line that is neither option, comment nor blank is a UsageError."""
    requests = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = OPTION.match(stripped)
        if not match:
            raise UsageError(f"kconfig/{fragment}:{number}: not CONFIG_NAME=VALUE: {stripped}")
        requests.append(Request(match["name"], match["value"], fragment, number))
    return requests


def read(names: Sequence[str], directory: Path = KCONFIG) -> list[Request]:
    """The requests of several fragments; two that ask for different values of one option are a ConfigError."""
    merged: dict[str, Request] = {}
    for name in names:
        path = directory / f"{name}.config"
        try:
            text = path.read_text()
        except OSError as error:
            raise UsageError(f"the fragment {path} cannot be read: {error.strerror}") from error
        for request in parse(text, path.name):
            before = merged.setdefault(request.name, request)
            if before.value != request.value:
                raise ConfigError(f"fragments contradict each other: {before} and {request}", hint=f"edit {path}")
    return list(merged.values())


def text(requests: Sequence[Request]) -> str:
    """One canonical text: sorted, so that moving lines between fragments changes no key."""
    return "".join(f"CONFIG_{r.name}={r.value}\n" for r in sorted(requests, key=lambda r: r.name))


def values(config: str) -> dict[str, str]:
    """Option -> value of a finished .config; what is not set is not there."""
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", config, re.MULTILINE))


def lost(requests: Sequence[Request], config: str) -> list[Lost]:
    """The requests that the finished .config does not hold."""
    final = values(config)
    return [Lost(r, final.get(r.name, "n")) for r in requests if final.get(r.name, "n") != r.value]


def configure(
    make: Sequence[str],
    out: Path,
    requests: Sequence[Request],
    log: Path,
    env: Mapping[str, str],
    *,
    strict: bool = True,
) -> Path:
    """Writes out/.config: allnoconfig plus the requests. One that did not survive is a ConfigError that says why.

    make: the make command with tree, output directory and architecture. A file that comes out as before keeps its time.
    """
    wanted = out / ".requested.config"
    wanted.write_text(text(requests))
    code = proc.run_logged([*make, "allnoconfig"], log, env={**env, "KCONFIG_ALLCONFIG": str(wanted)}, timeout=600)
    if code != 0:
        raise ConfigError("make allnoconfig failed: the Kconfig files have an error", log=log)
    config = out / ".config"
    missing = lost(requests, config.read_text())
    if missing and strict:
        named = explain(missing, make, out, log, env)
        raise ConfigError(
            "options did not survive:\n  " + "\n  ".join(map(str, named)),
            log=log,
            hint="ask for what each needs, too, or take the line out of its fragment",
        )
    return config


def explain(missing: Sequence[Lost], make: Sequence[str], out: Path, log: Path, env: Mapping[str, str]) -> list[Lost]:
    """The same with reasons, found by the kernel's own kconfig code; without reasons where that cannot be built."""
    try:
        reasons = _reasons([one.request.name for one in missing], make, out, log, env)
    except HarnessError:
        reasons = {}
    return [Lost(one.request, one.actual, reasons.get(one.request.name, "")) for one in missing]


def _reasons(names: Sequence[str], make: Sequence[str], out: Path, log: Path, env: Mapping[str, str]) -> dict[str, str]:
    scripts = out / "scripts" / "kconfig"
    with tempfile.TemporaryDirectory(prefix="agent-mem-kconfig-") as aside:
        seen = _environment(make, Path(aside), log, env)
        objects = [str(path) for path in sorted(scripts.glob("*.o")) if path.stem != "conf"]
        why = Path(aside) / "why"
        tree = (out / seen["srctree"]).resolve()
        include = [f"-I{tree / part}" for part in ("scripts/kconfig", "scripts/include")]
        proc.run(["gcc", "-o", str(why), *include, str(KCONFIG / "why.c"), *objects], timeout=120)
        told = proc.run([str(why), "Kconfig", *names], cwd=out, env={**seen, "KCONFIG_CONFIG": ".config"}, timeout=120)
    return {name: reason for line in told.stdout.splitlines() for name, tab, reason in [line.partition("\t")] if tab}


def _environment(make: Sequence[str], aside: Path, log: Path, env: Mapping[str, str]) -> dict[str, str]:
    """What Kbuild exports to conf: caught by a Kconfig file that does nothing but write it down."""
    caught, probe = aside / "environment", aside / "Kconfig"
    probe.write_text(f"config PROBE\n\tdef_bool $(shell,env -0 > {caught}; echo y)\n")
    settings = {**env, "KCONFIG_CONFIG": str(aside / "config")}
    code = proc.run_logged([*make, f"KBUILD_KCONFIG={probe}", "allnoconfig"], log, env=settings, timeout=300)
    if code != 0:
        raise ConfigError("Kbuild's environment cannot be read", log=log)
    pairs = (entry.partition("=") for entry in caught.read_text().split("\0") if entry)
    return {name: value for name, _, value in pairs}
