"""ASan and UBSan in an extension of an interpreter that has neither: the compiler's flags, the process's environment.

ASan's library has to be the first of the process. It takes the interpreter's own memory to be what leaks, so that is
not looked at. UBSan's reports are on stderr, ASan's in files: a child's stderr may be nobody's.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness import proc

FLAGS = "-fsanitize=address,undefined -fno-omit-frame-pointer -g"


def compiling() -> dict[str, str]:
    """Added to what the user's environment tells compiler and linker."""
    return {name: f"{os.environ.get(name, '')} {FLAGS}" for name in ("CFLAGS", "LDFLAGS")}


def running(place: Path, *options: str) -> dict[str, str]:
    """place: a directory for reports; options: of ASan."""
    library = proc.run(["gcc", "-print-file-name=libasan.so"], timeout=60).stdout.strip()
    told = ":".join(["detect_leaks=0", f"log_path={place / 'report'}", *options])
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": told, "UBSAN_OPTIONS": "halt_on_error=1"}


def reports(place: Path, said: str) -> str:
    """What they had to say of a process, and of its children; said: its output."""
    files = [path.read_text(errors="replace") for path in sorted(place.glob("report.*"))]
    return "\n".join([*files, *(line for line in said.splitlines() if "runtime error:" in line)])
