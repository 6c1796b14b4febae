"""The kernel's own site: a release's tarball, and the checksum that its signed list gives."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from harness.cache import new_file
from harness.errors import LabError
from harness.pin import KernelOrgPin
from harness.progress import Update

SILENCE = 30  # seconds without an answer
NEXT = "harness fetch --source TREE|TARBALL|debian"


def get(where: KernelOrgPin, target: Path, update: Update) -> str:
    """Downloads the tarball unless `target` is there; answers the SHA-256 it must have."""
    listing = _read(f"{where.directory}/{where.checksums}").decode(errors="replace")
    expected = checksum_of(where.tarball, listing)
    if not target.exists():
        _download(f"{where.directory}/{where.tarball}", target, update)
    return expected


def checksum_of(name: str, listing: str) -> str:
    """The SHA-256 that a sha256sums.asc gives `name`."""
    found = re.findall(rf"^([0-9a-f]{{64}})\s+\*?{re.escape(name)}$", listing, re.MULTILINE)
    if len(set(found)) != 1:
        raise LabError(f"kernel.org's checksum list names {name} {len(found)} times, not once", hint=NEXT)
    return str(found[0])


def _read(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=SILENCE) as answer:
            return bytes(answer.read())
    except OSError as error:
        raise LabError(f"{url} cannot be read: {error}", hint=NEXT) from error


def _download(url: str, target: Path, update: Update) -> None:
    try:
        with (
            urllib.request.urlopen(url, timeout=SILENCE) as answer,
            new_file(target) as aside,
            aside.open("wb") as stream,
        ):
            while block := answer.read(1 << 20):
                stream.write(block)
                update(f"{stream.tell() >> 20} MB")
    except OSError as error:
        raise LabError(f"{url} cannot be downloaded: {error}", hint=NEXT) from error
