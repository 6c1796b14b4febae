"""Which QEMU: the machine's own if it is new enough for a guest, else Debian's backport of a newer one.

The backport is unpacked into the cache and is no package of the machine: nothing else there sees it. What it links to
is what the machine's own QEMU links to.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness import accel, apt, proc
from harness.accel import QEMU, Accel
from harness.cache import cache_dir, locked, log_file, new_dir
from harness.errors import LabError, ToolError
from harness.logs import fresh
from harness.progress import Update
from harness.topology import Topology

# Processors that are emulated in parallel: until 8.1, code that one replaces while another translates it stays as it
# was, and the kernel ends in "Oops: int3" when a tracepoint or a static branch is switched.
PARALLEL = (8, 1)
PACKAGES = ("qemu-system-x86", "qemu-system-data", "seabios")  # the program, and the firmware that it loads
FIRMWARE = ("usr/share/qemu", "usr/share/seabios")
RELEASE = Path("/etc/os-release")


def least(memory: Topology, cpus: int) -> tuple[int, int]:
    """The oldest version that runs such a guest."""
    emulated = accelerator(memory).name == "tcg"
    return max(memory.least_qemu, PARALLEL) if emulated and cpus > 1 else memory.least_qemu


def at_hand(least: tuple[int, int]) -> bool:
    """Whether `program` has nothing to fetch."""
    return installed() >= least or _place().is_dir()


def program(least: tuple[int, int], update: Update = lambda _: None) -> list[str]:
    """The first words of QEMU's command line. LabError: there is none that is new enough."""
    if installed() >= least:
        return [QEMU]
    with locked("qemu"):
        return _backport(least, update)


def installed() -> tuple[int, int]:
    return version(QEMU)


def version(path: str) -> tuple[int, int]:
    major, minor = release(path).split(".")[:2]
    return int(major), int(minor)


def release(path: str) -> str:
    """The whole version, such as 10.0.2. ToolError: the program does not tell it."""
    said = proc.run([path, "--version"], timeout=60).stdout
    found = re.search(r"version (\d+\.\d+(?:\.\d+)*)", said)
    if not found:
        raise ToolError(f"{path} does not tell its version", hint="harness doctor")
    return found[1]


def accelerator(memory: Topology, counted: bool = False) -> Accel:
    """What a guest with such a memory runs on. counted: its clock counts instructions."""
    why_not = "instructions are counted" if counted else memory.emulated
    return Accel("tcg", why_not) if why_not else accel.probe(accel.MACHINE + memory.machine)


def _backport(least: tuple[int, int], update: Update) -> list[str]:
    place = _place()
    if not place.is_dir():
        _unpack(place, least, update)
    words = _words(place)
    if version(words[0]) < least:
        raise LabError(f"{words[0]} is older than {_shown(least)}", hint=f"rm -r {place}")
    return words


def _place() -> Path:
    return cache_dir() / "qemu" / "backport"


def _shown(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))


def _words(place: Path) -> list[str]:
    return [str(place / "usr/bin" / QEMU), *(word for path in FIRMWARE for word in ("-L", str(place / path)))]


def _unpack(place: Path, least: tuple[int, int], update: Update) -> None:
    """All of PACKAGES, from the newest suite that has them."""
    suite = f"{codename(RELEASE)}-backports"
    log = fresh(log_file("qemu"))
    too_old = f"QEMU {_shown(least)} or newer is needed, {_shown(installed())} is installed"
    try:
        with apt.PrivateApt(cache_dir() / "qemu" / "apt", apt.machine_archive(), [suite], log) as private:
            private.refresh(update)
            with new_dir(place) as aside:
                for package in PACKAGES:
                    _unpack_one(private, package, aside, update)
    except LabError as error:
        hint = "install a newer QEMU"
        raise LabError(f"{too_old}, and {suite} gives none: {error.cause}", log=log, hint=hint) from error


def _unpack_one(private: apt.PrivateApt, package: str, place: Path, update: Update) -> None:
    offered = private.versions(package)
    if not offered:
        raise LabError(f"{package} is not there")
    update(f"{package} {offered[0]}")
    deb = private.download(package, offered[0], update)
    proc.run(["dpkg-deb", "-x", str(deb), str(place)], timeout=300)


def codename(release: Path) -> str:
    """The machine's Debian. LabError: it is none."""
    found = re.search(r"^VERSION_CODENAME=\"?(\w+)", release.read_text() if release.exists() else "", re.MULTILINE)
    if not found:
        raise LabError(f"{release} names no Debian release", hint="install a newer QEMU")
    return found[1]
