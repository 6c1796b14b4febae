"""What the repository says about its series and the base it stands on: patches/series.toml, read and checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cache import REPO
from harness.errors import UsageError

PATCHES = REPO / "patches"


@dataclass(frozen=True)
class DebianPin:
    package: str
    version: str
    suites: tuple[str, ...]
    deb_sha256: str
    tarball_sha256: str


@dataclass(frozen=True)
class KernelOrgPin:
    directory: str
    tarball: str
    checksums: str


@dataclass(frozen=True)
class Pin:
    """The base release. `commit` is what the Debian package's content becomes as one commit."""

    version: str
    commit: str
    debian: DebianPin
    kernel_org: KernelOrgPin

    @property
    def series(self) -> str:
        """`7.3` of `7.3.4`: any release of it can carry the patches."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True)
class SeriesInfo:
    version: int
    prefix: str

    @property
    def subject_prefix(self) -> str:
        return f"{self.prefix} v{self.version}"


def _table(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=f"git checkout {path.name}") from error


def read_pin(path: Path = PATCHES / "series.toml") -> Pin:
    try:
        base = _table(path)["base"]
        debian = {**base["debian"], "suites": tuple(base["debian"]["suites"])}
        return Pin(base["version"], base["commit"], DebianPin(**debian), KernelOrgPin(**base["kernel_org"]))
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} lacks or misnames a field: {error}") from error


def read_series(path: Path = PATCHES / "series.toml") -> SeriesInfo:
    table = _table(path)
    try:
        return SeriesInfo(int(table["version"]), str(table["prefix"]))
    except (KeyError, ValueError) as error:
        raise UsageError(f"{path} lacks or misnames a field: {error}") from error
