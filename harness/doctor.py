"""What this machine has and lacks: each finding with its cause and its cure. Nothing is changed here but by `fix`."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import apt, logs, proc
from harness.cache import REPO, cache_dir, log_file, work_dir
from harness.errors import HarnessError, LabError
from harness.pin import read_pin
from harness.progress import Update

PACKAGES = REPO / "ci" / "packages.sh"
CURE = "./lab doctor --fix"
DISK_CACHE = 6 << 30  # bytes: source 3, finished builds 1, ccache 1, and room to write aside
DISK_WORK = 12 << 30  # bytes: three trees of 2 (series, variant, check) and the build directories of all flavours
MEMORY = 3 << 30  # bytes: a guest, and a link of the kernel with debug information
VERSIONS = {  # tool -> least version, and where it says so
    "gcc": ("8.1", "Documentation/process/changes.rst"),
    "make": ("4.0", "Documentation/process/changes.rst"),
    "git": ("2.31", "git am --committer-date-is-author-date with --keep-non-patch; format-patch's flags"),
    "qemu-system-x86_64": ("7.2", "Debian 12's; hmat=on and virtio-serial as harness/qemu.py asks for them"),
    "ccache": ("4.2", "prefix maps in the hash"),
}
State = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `bad` stops some verb; `note` is worth knowing."""

    name: str
    state: State
    text: str
    cure: str = ""


def examine(update: Update) -> list[Finding]:
    """All findings. A check that itself fails is a finding, not an end."""
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("system packages", packages),
        ("tools", versions),
        ("disk", disk),
        ("memory", memory),
        ("static C library", static_libc),
        ("accelerator", accelerator),
        ("Debian mirror", mirror),
    )
    found: list[Finding] = []
    for name, check in checks:
        update(name)
        try:
            found.extend(check())
        except HarnessError as error:
            found.append(Finding(name, "bad", error.cause, error.hint or ""))
    return found


def fix() -> None:
    """Installs the missing system packages: the same script that ./lab runs first."""
    log = logs.fresh(log_file("doctor"))
    code = proc.run_logged(["sh", str(PACKAGES), "install"], log, timeout=3600)
    if code != 0:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("error:")]
        raise LabError(last[-1][7:] if last else "the system packages could not be installed", log=log, hint=CURE)


def packages() -> Iterator[Finding]:
    """What ci/packages.txt asks for and the machine lacks."""
    missing = proc.run(["sh", str(PACKAGES), "missing"], timeout=120).stdout.splitlines()
    for line in missing:
        name, probe, reason = line.split(" ", 2)
        yield Finding(f"package {name}", "bad", f"{probe} is not there; it {reason}", CURE)
    if not missing:
        yield Finding("system packages", "good", "all of ci/packages.txt")


def versions() -> Iterator[Finding]:
    for tool, (least, why) in VERSIONS.items():
        path = shutil.which(tool)
        if path is None:
            yield Finding(tool, "bad", f"{tool} is not on the PATH", CURE)
            continue
        said = proc.run([path, "--version"], timeout=60).stdout
        actual = version_in(said)
        if actual is None or numbers(actual) < numbers(least):
            yield Finding(tool, "bad", f"{actual or 'unknown version'}; at least {least} is needed ({why})", CURE)
        else:
            yield Finding(tool, "good", actual)


def version_in(said: str) -> str | None:
    """The version in a tool's own words, package suffixes in brackets left out."""
    first = re.sub(r"\([^)]*\)", "", said.splitlines()[0] if said else "")
    match = re.search(r"\b(\d+(?:\.\d+)+)", first)
    return match[1] if match else None


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def disk() -> Iterator[Finding]:
    for name, path, needed in (("cache", cache_dir(), DISK_CACHE), ("work area", work_dir(), DISK_WORK)):
        usage = shutil.disk_usage(path)
        text = f"{usage.free >> 30} GB free for the {name} {path}"
        # What is there already need not be made again, so little room is only a note.
        state: State = "good" if usage.free >= needed else "note"
        if usage.free < needed // 4:
            state = "bad"
        cure = "" if state == "good" else "harness clean, or AGENT_MEM_CACHE=DIRECTORY on a larger disk"
        needs = f"; from nothing it takes {needed >> 30} GB" if cure else ""
        yield Finding(f"disk: {name}", state, text + needs, cure)


def memory() -> Iterator[Finding]:
    table = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE))
    available = int(table["MemAvailable"]) << 10
    state: State = "good" if available >= MEMORY else "bad"
    cure = "" if state == "good" else "end other programs; a guest alone takes 1 to 2 GB"
    cores = len(os.sched_getaffinity(0))
    yield Finding("memory", state, f"{available >> 20} MB available, {cores} processors", cure)


def static_libc() -> Iterator[Finding]:
    path = proc.run(["gcc", "-print-file-name=libc.a"], timeout=60).stdout.strip()
    if Path(path).is_absolute() and Path(path).exists():
        yield Finding("static C library", "good", path)
    else:
        yield Finding("static C library", "bad", "gcc finds no libc.a", CURE)


def accelerator() -> Iterator[Finding]:
    """What the guests will run on, as harness.accel found by executing code. Emulation is slow, and no fault."""
    try:
        accel = importlib.import_module("harness.accel").probe()
    except ImportError as error:  # the doctor has to work when another part does not
        yield Finding("accelerator", "bad", f"cannot be examined: {error}", "git status; git diff harness/")
        return
    yield Finding("accelerator", "good" if accel.name == "kvm" else "note", f"{accel.name}: {accel.reason}")


def mirror() -> Iterator[Finding]:
    """Whether `fetch` would find the base on the machine's Debian mirror; only a note if it is fetched already."""
    pin = read_pin()
    fetched = (cache_dir() / "source" / f"linux-{pin.version}").is_dir()
    state: State = "note" if fetched else "bad"
    if not apt.available():
        yield Finding("Debian mirror", state, "this machine has no apt-get", apt.NEXT)
        return
    log = logs.fresh(log_file("doctor-mirror"))
    try:
        with apt.PrivateApt(cache_dir() / "apt", apt.machine_archive(), pin.debian.suites, log) as private:
            private.refresh(lambda _: None)
            offered = private.versions(pin.debian.package)
    except HarnessError as error:
        yield Finding("Debian mirror", state, error.cause, f"{error.hint or ''} (log: {log})")
        return
    text = f"{pin.debian.package} {', '.join(offered) or 'is not offered'}"
    if pin.debian.version in offered:
        yield Finding("Debian mirror", "good", text)
    else:
        yield Finding("Debian mirror", "note", f"{text}; the pin is {pin.debian.version}")
