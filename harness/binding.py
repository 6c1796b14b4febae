"""The Python binding of `userspace/python/`: its wheel, and environments that have it installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from harness import logs, pinned, proc, sanitizers
from harness.cache import REPO, locked, log_file, work_dir
from harness.errors import ToolError

PROJECT = REPO / "userspace" / "python"
SUITE = PROJECT / "tests"
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*_cache")
TIMEOUT = 900.0  # seconds for one build or installation
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def wheel(name: str, *, headers: Path | None = None, sanitized: bool = False) -> Path:
    """Builds the source distribution, and from that the wheel. headers: of the kernel whose calls it is to know.

    sanitized: see harness.sanitizers. Built anew when a source, the headers or that changed. ToolError has the first
    complaint of the compiler.
    """
    place, log = work_dir("binding", name), log_file(f"binding-{name}")
    flags = sanitizers.compiling() if sanitized else {}
    numbers = [headers / "include" / "asm" / "unistd_64.h"] if headers else []
    state = _digest(_sources(), str(headers), str(flags), *numbers)
    with locked(f"binding-{name}"):
        found = list(place.glob("*.whl"))
        if found and (place / "state").is_file() and (place / "state").read_text() == state:
            return found[0]
        shutil.rmtree(place)
        place.mkdir()
        logs.fresh(log)
        shutil.copytree(PROJECT, place / "source", ignore=NOT_SOURCES)  # setuptools writes beside the sources
        make = f"from setuptools import build_meta; build_meta.build_sdist({str(place)!r})"
        _logged([sys.executable, "-c", make], log, place / "source")
        (sdist,) = place.glob("*.tar.gz")
        env = {"AGENTMEM_KERNEL_HEADERS": str(headers) if headers else "", **flags}
        build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(sdist)]
        _logged([*PIP, *build], log, place, env)
        (made,) = place.glob("*.whl")
        (place / "state").write_text(state)
    return made


def environment(wheel: Path, requirements: Path, python: Path = Path(sys.executable)) -> Path:
    """The Python of a virtual environment with the wheel and the locked requirements.

    The requirements are installed once, in an environment of the cache; the wheel, in one of its own, on top.
    """
    log = log_file("binding-environment")
    base = pinned.packages(requirements, "binding", lambda _: None, python)
    own = wheel.parent / f"venv-{base.name[:16]}"
    with locked(f"binding-{wheel.parent.name}-venv"):
        if not (own / "wheel").is_file() or (own / "wheel").read_text() != _digest([wheel]):
            shutil.rmtree(own, ignore_errors=True)
            proc.run([str(python), "-m", "venv", "--without-pip", str(own)])
            (packages,) = own.glob("lib/python*/site-packages")
            (packages / "requirements.pth").write_text(f"{base}\n")
            install = ["--python", str(own / "bin" / "python"), "install", "--quiet", "--no-deps", str(wheel)]
            _logged([*PIP, *install], log, REPO)
            (own / "wheel").write_text(_digest([wheel]))
    return own / "bin" / "python"


def _logged(argv: list[str], log: Path, cwd: Path, env: dict[str, str] | None = None) -> None:
    if proc.run_logged(argv, log, cwd=cwd, env=env, timeout=TIMEOUT) != 0:
        text = log.read_text(errors="replace").splitlines()
        said = [line.strip() for line in text if "error: " in line and "subprocess-exited" not in line]
        raise ToolError(f"the Python binding: {said[0] if said else 'see the log'}", log=log, hint=f"less {log}")


def _sources() -> list[Path]:
    found = (Path(place) / name for place, _, names in os.walk(PROJECT, followlinks=True) for name in names)
    return sorted(path for path in found if path.suffix not in (".pyc", ".3"))


def _digest(paths: Iterable[Path], *words: str | Path) -> str:
    total = hashlib.sha256()
    for item in (*paths, *words):
        total.update(item.read_bytes() if isinstance(item, Path) else item.encode())
        total.update(b"\0")
    return total.hexdigest()
