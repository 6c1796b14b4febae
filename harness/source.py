"""The base kernel's source: where it comes from, how it is verified, and the pristine repository it becomes.

Every source ends as a git repository with one commit, made the same way everywhere, or is the user's own repository.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness import apt, git, kernel_org, logs, proc
from harness.cache import cache_dir, locked, log_file, new_dir, new_file, sha256_file, work_dir
from harness.errors import HarnessError, LabError, UsageError
from harness.pin import Pin, read_pin
from harness.progress import Update

NEEDED_FREE = 4 << 30  # bytes, for the unpacked source and its repository
RECORD = "agent-mem-base.json"  # in the .git of a repository made here: what it is
NEXT = "harness fetch --source TREE|TARBALL|debian|kernel.org"


@dataclass(frozen=True)
class Base:
    """A commit to put the series on. `verified` says by what, and is empty if nothing could vouch for it."""

    repository: str
    commit: str
    version: str
    origin: str
    verified: str
    note: str = ""


@dataclass(frozen=True)
class Tarball:
    """A source archive on this disk, and what vouches for it."""

    path: Path
    origin: str
    verified: str


def base(update: Update = lambda _: None) -> Base:
    """The base of this checkout: what `fetch` chose last, or the default sources."""
    return fetch(None, update)


def fetch(source: str | None, update: Update) -> Base:
    """Gets the base from `source` (a tree, a tarball, `debian`, `kernel.org`, or None for the first that works)."""
    with locked("source"):
        chosen = _recorded() if source is None else None
        if chosen is None:
            chosen = _get(source, update)
            record = {"pin": read_pin().version, "named": source is not None, "base": dataclasses.asdict(chosen)}
            with new_file(_choice()) as aside:
                aside.write_text(json.dumps(record))
    return chosen


def _choice() -> Path:
    return work_dir() / "base.json"


def _recorded() -> Base | None:
    """This checkout's base if it is still whole, else the pinned one if some checkout fetched it."""
    pin = read_pin()
    for record in (_choice(), cache_dir() / "source" / f"linux-{pin.version}" / ".git" / RECORD):
        try:
            table = json.loads(record.read_text())
            # What was taken by default for an older pin makes way; what the user named stays.
            if "base" in table and not table["named"] and table["pin"] != pin.version:
                continue
            found = Base(**table.get("base", table))
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if git.is_repository(Path(found.repository)) and git.commit_of(Path(found.repository), found.commit):
            return found
    return None


def _get(source: str | None, update: Update) -> Base:
    pin = read_pin()
    if source == "debian":
        return _imported(_from_debian(pin, update), pin, update)
    if source == "kernel.org":
        return _imported(_from_kernel_org(pin, update), pin, update)
    if source is not None:
        return _from_path(Path(source), pin, update)
    try:
        return _imported(_from_debian(pin, update), pin, update)
    except HarnessError as debian:
        try:
            return _imported(_from_kernel_org(pin, update), pin, update)
        except HarnessError as other:
            raise LabError(
                f"no source of Linux {pin.version} works. Debian: {debian.cause}. kernel.org: {other.cause}",
                log=debian.log,
                hint=NEXT,
            ) from other


# -- Debian --------------------------------------------------------------------------------------------------------


def _from_debian(pin: Pin, update: Update) -> Tarball:
    if not apt.available():
        raise LabError("this machine has no apt-get", hint=NEXT)
    log = logs.fresh(log_file("fetch-debian"))
    archive = apt.machine_archive()
    with apt.PrivateApt(cache_dir() / "apt", archive, pin.debian.suites, log) as private:
        update("reading the index of the Debian mirror")
        private.refresh(update)
        version = pick(private.versions(pin.debian.package), pin)
        kept = cache_dir() / "downloads" / f"{pin.debian.package}_{version}.tar.xz"
        if not kept.exists():
            _keep_tarball(private.download(pin.debian.package, version, update), kept, version, pin)
    return Tarball(kept, f"Debian package {pin.debian.package} {version}", _vouch(kept, version, pin))


def pick(offered: list[str], pin: Pin) -> str:
    """The pinned version if the mirror still has it, else its newest release of the same series."""
    fitting = [version for version in offered if version.startswith(f"{pin.series}.")]
    if pin.debian.version in fitting:
        return pin.debian.version
    if not fitting:
        raise LabError(
            f"the Debian mirror offers no {pin.debian.package} in {', '.join(pin.debian.suites)}"
            + (f" (only {', '.join(offered)})" if offered else ""),
            hint=NEXT,
        )
    return fitting[0]


def _keep_tarball(deb: Path, kept: Path, version: str, pin: Pin) -> None:
    if version == pin.debian.version:
        _expect(deb, pin.debian.deb_sha256)
    with new_dir(cache_dir() / "deb") as aside:
        proc.run(["dpkg-deb", "-x", str(deb), str(aside)], timeout=600)
        tarball = aside / "usr" / "src" / f"{pin.debian.package}.tar.xz"
        if not tarball.is_file():
            raise LabError(f"{deb.name} holds no {tarball.name}", hint=NEXT)
        kept.parent.mkdir(parents=True, exist_ok=True)
        tarball.replace(kept)
    shutil.rmtree(cache_dir() / "deb")
    deb.unlink()


def _vouch(tarball: Path, version: str, pin: Pin) -> str:
    signed = "the archive's signed index"
    if version != pin.debian.version:
        return signed
    _expect(tarball, pin.debian.tarball_sha256)
    return f"{signed} and the SHA-256 in patches/series.toml"


def _expect(path: Path, sha256: str) -> None:
    """Removes a file that is not what it should be, so that the next run gets it anew."""
    actual = sha256_file(path)
    if actual != sha256:
        path.unlink()
        raise LabError(
            f"{path.name} has SHA-256 {actual}, expected {sha256}: a damaged download, or not the file it says it is",
            hint="the same command again; if it stays so, harness fetch --source kernel.org",
        )


def _from_kernel_org(pin: Pin, update: Update) -> Tarball:
    where = pin.kernel_org
    kept = cache_dir() / "downloads" / where.tarball
    _expect(kept, kernel_org.get(where, kept, update))
    return Tarball(kept, f"kernel.org {where.tarball}", f"the SHA-256 in kernel.org's {where.checksums}, read over TLS")


# -- what the user names -------------------------------------------------------------------------------------------


def _from_path(path: Path, pin: Pin, update: Update) -> Base:
    if path.is_dir():
        return _user_tree(path.resolve(), pin)
    if path.is_file():
        return _imported(Tarball(path.resolve(), str(path.resolve()), _known(path, pin)), pin, update)
    raise UsageError(f"--source {path}: there is no such tree or tarball", hint=NEXT)


def _known(path: Path, pin: Pin) -> str:
    same = sha256_file(path) == pin.debian.tarball_sha256
    return "the SHA-256 in patches/series.toml" if same else ""


def _user_tree(path: Path, pin: Pin) -> Base:
    if not git.is_repository(path):
        raise UsageError(f"{path} is not a git tree", hint=f"name a tarball, or: git -C {path} init, add, commit")
    commit = git.commit_of(path, "HEAD")
    if commit is None:
        raise UsageError(f"{path} has no commit yet", hint=f"git -C {path} commit")
    version = kernel_version(git.git(path, "show", f"{commit}:Makefile", check=False).stdout)
    _fits(version, str(path), pin)
    return Base(str(path), commit, version, f"your tree {path}", "", _note(version, pin))


# -- from tarball to repository ------------------------------------------------------------------------------------


def _imported(tarball: Tarball, pin: Pin, update: Update) -> Base:
    """The pristine repository of a tarball, made once."""
    pristine = cache_dir() / "source" / _directory(tarball, pin)
    record = pristine / ".git" / RECORD
    if not record.exists():
        for left in pristine.parent.glob(f".{pristine.name}.*"):  # by a killed run: the lock says nobody writes now
            shutil.rmtree(left)
        _room_for(pristine)
        with new_dir(pristine) as aside:
            _unpack(tarball.path, aside, update)
            version = kernel_version((aside / "Makefile").read_text(errors="replace"))
            _fits(version, tarball.origin, pin)
            commit = _commit(aside, version, update)
            made = Base(str(pristine), commit, version, tarball.origin, tarball.verified, _note(version, pin))
            (aside / ".git" / RECORD).write_text(json.dumps(dataclasses.asdict(made)))
    return Base(**{**json.loads(record.read_text()), "repository": str(pristine)})


def _directory(tarball: Tarball, pin: Pin) -> str:
    """The pinned content has a plain name, so that every checkout finds it; anything else one of its own."""
    digest = sha256_file(tarball.path)
    return f"linux-{pin.version}" if digest == pin.debian.tarball_sha256 else f"linux-{digest[:16]}"


def _room_for(target: Path) -> None:
    free = shutil.disk_usage(cache_dir()).free
    if free < NEEDED_FREE:
        raise LabError(
            f"{free >> 20} MB are free for {target}, the kernel's source takes {NEEDED_FREE >> 20} MB",
            hint="harness clean --all, or AGENT_MEM_CACHE=DIRECTORY on a larger disk",
        )


def _unpack(tarball: Path, into: Path, update: Update) -> None:
    log = logs.fresh(log_file("fetch-unpack"))
    files = 0

    def line(_: str) -> None:
        nonlocal files
        files += 1
        if files % 500 == 0:
            update(f"{files} files unpacked")

    code = proc.run_logged(
        ["tar", "-xvf", str(tarball), "-C", str(into), "--strip-components=1", "--no-same-owner"], log, on_line=line
    )
    if code != 0 or not (into / "Makefile").is_file():
        raise UsageError(f"{tarball} is not a whole archive of a kernel's source", log=log, hint=NEXT)


def _commit(tree: Path, version: str, update: Update) -> str:
    """One commit of all files; author, dates and message fixed, so that equal content gets an equal id."""
    update("making the repository")
    git.git(tree, "init", "--quiet", "--initial-branch=base")
    git.git(tree, "config", "gc.auto", "0")
    git.git(tree, "-c", "core.looseCompression=1", "add", "--all", "--force", timeout=3600)
    git.git(tree, "commit", "--quiet", "--message", f"Linux {version}", env=git.LABORATORY, timeout=600)
    return git.line(tree, "rev-parse", "HEAD")


def kernel_version(makefile: str) -> str:
    """`7.3.4` from the head of the kernel's Makefile; empty if it is none."""
    numbers = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", makefile, re.MULTILINE))
    if len(numbers) != 3:
        return ""
    return f"{numbers['VERSION']}.{numbers['PATCHLEVEL']}.{numbers['SUBLEVEL']}"


def _fits(version: str, origin: str, pin: Pin) -> None:
    if not version.startswith(f"{pin.series}."):
        what = f"Linux {version}" if version else "no Linux kernel"
        raise UsageError(f"{origin} is {what}; the series needs Linux {pin.series}.y", hint=NEXT)


def _note(version: str, pin: Pin) -> str:
    return "" if version == pin.version else f"Linux {version} in place of the pinned {pin.version}"
