"""Packages of PyPI and npm that are used apart from the laboratory's own: pinned, hash-checked, installed once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.cache import cache_dir, digest, locked, new_dir
from harness.proc import run
from harness.progress import Update

SECONDS = 1800.0


def packages(requirements: Path, name: str, update: Update, python: Path = Path(sys.executable)) -> Path:
    """The directory with a requirements file's packages, for that Python."""
    version = run([str(python), "-VV"]).stdout
    target = cache_dir() / name / digest(requirements.read_bytes(), version.encode())
    with locked(name):
        if not target.is_dir():
            update(f"installing the pinned packages of {requirements.parent.name}")
            with new_dir(target) as aside:
                pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
                checks = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
                run([*pip, "install", *checks, "--target", str(aside), "-r", str(requirements)], timeout=SECONDS)
    return target


def npm_packages(directory: Path, name: str, npm: Sequence[str], env: Mapping[str, str]) -> Path:
    """The directory with the packages of package-lock.json, their install scripts not run."""
    manifest, lock = directory / "package.json", directory / "package-lock.json"
    target = cache_dir() / name / digest(manifest.read_bytes(), lock.read_bytes())
    with locked(name):
        if not target.is_dir():
            with new_dir(target) as aside:
                for file in (manifest, lock):
                    shutil.copy(file, aside)
                clean = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
                run(clean, cwd=aside, env=env, timeout=SECONDS)
    return target
