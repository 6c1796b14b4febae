"""The C code of `userspace/`, built by Meson; incremental, one build directory per set of options."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import logs, proc
from harness.cache import REPO, locked, log_file, work_dir
from harness.errors import ToolError

LIBRARY = REPO / "userspace" / "libagentmem"
PRELOAD = REPO / "userspace" / "preload"  # has the library as a subproject
TIMEOUT = 600.0  # seconds for one build
TOOLS = Path(sys.executable).parent  # Meson and Ninja are packages of the environment
BUILDS: dict[str, tuple[str, ...]] = {  # how it is tested
    "plain": (),
    "asan-ubsan": ("-Db_sanitize=address,undefined", "-Db_lundef=false"),
    "tsan": ("-Db_sanitize=thread", "-Db_lundef=false"),
}


def build(
    name: str,
    options: Sequence[str] = (),
    *,
    headers: Path | None = None,
    project: Path = LIBRARY,
    targets: Sequence[str] = (),
) -> Path:
    """The build directory of a project. ToolError has the first complaint of the compiler.

    headers: of the kernel whose calls the library is to know (`headers`/include). targets: not all of it.
    """
    directory, log = work_dir("userspace", name), log_file(f"userspace-{name}")
    library = "" if project == LIBRARY else "libagentmem:"
    chosen = [*options, f"-D{library}kernel-headers={headers or ''}"]
    path = {"PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}"}
    setup = ["meson", "setup", "--reconfigure", str(directory), str(project), *chosen]
    with locked(f"userspace-{name}"):
        logs.fresh(log)
        for argv in (setup, ["meson", "compile", "-C", str(directory), *targets]):
            if proc.run_logged([str(TOOLS / argv[0]), *argv[1:]], log, timeout=TIMEOUT, env=path) != 0:
                text = log.read_text(errors="replace").splitlines()
                said = [line.strip() for line in text if "error:" in line or "ERROR:" in line]
                first = said[0] if said else "see the log"
                raise ToolError(f"{project.name} does not build ({name}): {first}", log=log, hint=f"less {log}")
    return directory


def preload() -> Path:
    """The build directory of the shim: libagentmem-preload.so, agentmem-run, the library in subprojects/."""
    return build("preload", project=PRELOAD)
