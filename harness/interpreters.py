"""Versions of CPython to test with: the machine's own, pyenv's, else Debian's next release's, unpacked into the cache.

What is unpacked brings its own C library and is started through that one's loader by a script in its place: no root is
needed and nothing is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness import apt, logs, proc
from harness.cache import cache_dir, locked, log_file, new_dir
from harness.errors import LabError

SUITE = "forky"
OFFERED = ("3.13", "3.14")  # what that suite has, of the versions that are tested
PACKAGES = ("python{0}-minimal", "libpython{0}-stdlib", "python{0}-venv")
START = """#!/bin/sh
root={root}/usr lib={root}/usr/lib/x86_64-linux-gnu
exec "$lib/ld-linux-x86-64.so.2" --argv0 "$0" --library-path "$lib" "$root/bin/python{version}" "$@"
"""


def obtainable(version: str) -> bool:
    """Whether `find` is to succeed here. Tests are listed by this, so nothing is asked of the network."""
    return version in OFFERED or _here(version) is not None


def find(version: str) -> Path:
    """An interpreter of that version ("3.14"). LabError if there is none to be had."""
    return _here(version) or _from_debian(version)


def _here(version: str) -> Path | None:
    pyenv = Path.home() / ".pyenv" / "versions"
    known = [sys.executable, shutil.which(f"python{version}") or "", f"/usr/bin/python{version}"]
    places = [*map(Path, known), *sorted(pyenv.glob(f"{version}.*/bin/python{version}"))]
    return next((place for place in places if _is(place, version)), None)


def _is(place: Path, version: str) -> bool:
    """Whether it runs, is of that version and can make environments; pyenv has scripts that only say what to do."""
    ask = "import sys, venv, pyexpat; print('%d.%d' % sys.version_info[:2], sys.implementation.name)"
    try:
        done = subprocess.run([place, "-c", ask], capture_output=True, text=True, timeout=60)
    except OSError:
        return False
    return done.stdout.split() == [version, "cpython"]


def _from_debian(version: str) -> Path:
    target = cache_dir() / "interpreters" / f"debian-{SUITE}-{version}"
    with locked("interpreters"):
        if not target.is_dir():
            if not apt.available():
                raise LabError(f"this machine has no CPython {version}, and no apt-get to get it", hint=_cure(version))
            log = logs.fresh(log_file(f"interpreter-{version}"))
            place = cache_dir() / "apt-interpreters"
            with apt.PrivateApt(place, apt.machine_archive(), [SUITE], log) as private:
                private.refresh(lambda _: None)
                if not private.versions(f"python{version}-minimal"):
                    cause = f"neither this machine nor Debian {SUITE} has CPython {version}"
                    raise LabError(cause, log=log, hint=_cure(version))
                debs = private.download_all([name.format(version) for name in PACKAGES])
            with new_dir(target) as aside:
                for deb in debs:
                    proc.run(["dpkg-deb", "-x", str(deb), str(aside)])
                _starter(aside).write_text(START.format(root=target, version=version))
                _starter(aside).chmod(0o755)
    if not _is(_starter(target), version):
        raise LabError(f"the CPython {version} of Debian {SUITE} does not start", hint=f"rm -r {target}, then again")
    return _starter(target)


def _cure(version: str) -> str:
    return f"pyenv install {version}; what {SUITE} has dropped is no longer for OFFERED in harness/interpreters.py"


def _starter(root: Path) -> Path:
    return root / "usr" / "bin" / "python"
