"""Where things are kept, and how they get there whole.

The cache (shared by all checkouts of a user) holds what is expensive and keyed by content; the work area (`.work/` of
one checkout) holds the kernel tree, build directories, logs and sockets. Both may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from harness.errors import LabError

REPO = Path(__file__).resolve().parent.parent


def cache_dir() -> Path:
    """The user's cache directory; `AGENT_MEM_CACHE` names another one."""
    root = os.environ.get("AGENT_MEM_CACHE")
    path = Path(root) if root else platformdirs.user_cache_path("agent_mem")
    path.mkdir(parents=True, exist_ok=True)
    return path


def work_dir(*parts: str) -> Path:
    """A directory of this checkout's work area, made if need be."""
    path = REPO.joinpath(".work", *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def log_file(name: str) -> Path:
    """The log of one activity; the newest run overwrites the one before."""
    return work_dir("logs") / f"{name}.log"


def digest(*parts: bytes) -> str:
    """One name for several contents."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def locked(name: str, *, shared: bool = True, timeout: float = 3600) -> Iterator[None]:
    """Holds a lock on `name`: of the whole user's cache if `shared`, else of this checkout."""
    path = (cache_dir() if shared else work_dir()) / "locks" / f"{name}.lock"
    path.parent.mkdir(exist_ok=True)
    try:
        with FileLock(path, timeout=timeout):
            yield
    except Timeout as error:
        raise LabError(
            f"another run holds {path.name} for more than {timeout:.0f} s",
            hint=f"wait for it, or end the process that holds {path} (fuser {path})",
        ) from error


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A path to write aside; renamed to `target` on success, removed on failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def new_dir(target: Path) -> Iterator[Path]:
    """A directory to fill aside; becomes `target` (in place of an older one) on success, removed on failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    aside.chmod(0o755)
    try:
        yield aside
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
