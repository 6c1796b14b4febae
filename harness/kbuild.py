"""Kbuild: what a flavour of kconfig/flavours.toml asks for, and the make that builds it out of tree through ccache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import git, kconfig, proc
from harness.cache import cache_dir
from harness.errors import BuildError, LabError, ToolError, UsageError
from harness.progress import Update

RECIPE = 1  # in the key: raise it when the way to build changes what comes out
CCACHE_SIZE = "8G"
COMPILED = re.compile(r"^\s+(?:CC|AS|LD|AR|HOSTCC)\b")
COMPLAINT = re.compile(r"(?:\berror:|undefined reference|multiple definition|^make.*\*\*\* .*Error)", re.IGNORECASE)
LAB_TROUBLE = re.compile(r"No space left on device|Killed signal|Cannot allocate memory", re.IGNORECASE)


@dataclass(frozen=True)
class Flavour:
    """One of kconfig/flavours.toml."""

    name: str
    summary: str
    arch: str
    fragments: tuple[str, ...]
    variant: bool = False
    cross: str = ""  # prefix of the tools' names
    profiled: str = ""  # glob of the sources that gcov counts in


@dataclass(frozen=True)
class Plan:
    """What is to be built, and where: all that the compiler will see."""

    flavour: Flavour
    tree: Path
    requests: tuple[kconfig.Request, ...]
    content: str
    log: Path

    @property
    def out(self) -> Path:
        """Beside the tree, so that every tree of every checkout lies at the same relative path from its objects."""
        return self.tree.parent / "build" / self.flavour.name

    @property
    def key(self) -> str:
        flavour, options = self.flavour, kconfig.text(self.requests)
        parts = [str(RECIPE), flavour.name, flavour.arch, self.content, options, toolchain()]
        parts += [flavour.profiled] if flavour.profiled else []
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def flavours(path: Path = kconfig.KCONFIG / "flavours.toml") -> dict[str, Flavour]:
    try:
        with path.open("rb") as stream:
            table = tomllib.load(stream)
        return {
            name: Flavour(name, **{**fields, "fragments": tuple(fields["fragments"])}) for name, fields in table.items()
        }
    except (OSError, tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def plan(source: Path, flavour: Flavour, log: Path) -> Plan:
    """What building the tree as it lies there now would mean."""
    return Plan(flavour, source, tuple(kconfig.read(flavour.fragments)), git.content_id(source), log)


def toolchain() -> str:
    """What compiles: the first line of each tool about itself."""
    told = (proc.run([tool, "--version"], timeout=60).stdout.splitlines()[0] for tool in ("gcc", "ld"))
    return "; ".join(told)


def image_of(flavour: Flavour) -> Path:
    return Path("linux") if flavour.arch == "um" else Path("arch/x86/boot/bzImage")


def environment(plan: Plan) -> dict[str, str]:
    """ccache finds objects of other trees; equal input gives equal output; nothing of the user's leaks in."""
    return {
        "CCACHE_DIR": str(cache_dir() / "ccache"),
        "CCACHE_MAXSIZE": CCACHE_SIZE,
        "CCACHE_BASEDIR": str(plan.tree.parent),
        "CCACHE_NOHASHDIR": "1",
        # Generated headers are newer than the compilation that reads them; their content is compared, not their time.
        "CCACHE_SLOPPINESS": "include_file_mtime,include_file_ctime",
        "KBUILD_BUILD_TIMESTAMP": git.EPOCH,
        "KBUILD_BUILD_USER": "lab",
        "KBUILD_BUILD_HOST": "agent-mem",
        "KBUILD_BUILD_VERSION": "1",
        "MAKEFLAGS": "",
        "KBUILD_OUTPUT": "",
    }


def make_command(plan: Plan) -> list[str]:
    return [
        "make",
        f"--directory={plan.tree}",
        f"O={plan.out}",
        f"ARCH={plan.flavour.arch}",
        f"CROSS_COMPILE={plan.flavour.cross}",
        f"CC=ccache {plan.flavour.cross}gcc",
        "HOSTCC=ccache gcc",
        f"LOCALVERSION=-agent-mem-{plan.flavour.name}",
        f"KCFLAGS=-fdebug-prefix-map={plan.out}=. -fdebug-prefix-map={plan.tree}=../../linux",
        f"--jobs={os.cpu_count() or 1}",
        *(f"GCOV_PROFILE_{source.stem}.o=y" for source in profiled(plan)),
    ]


def profiled(plan: Plan) -> list[Path]:
    found = plan.tree.glob(plan.flavour.profiled) if plan.flavour.profiled else ()
    return sorted(source for source in found if not source.name.endswith("_kunit.c"))


def configure(plan: Plan, strict: bool = True) -> Path:
    """Makes the build directory and its .config."""
    compiler = f"{plan.flavour.cross}gcc"
    if not shutil.which(compiler):
        raise ToolError(f"{compiler} is not installed", hint=f"apt-get install gcc-{plan.flavour.cross.rstrip('-')}")
    plan.out.mkdir(parents=True, exist_ok=True)
    return kconfig.configure(make_command(plan), plan.out, plan.requests, plan.log, environment(plan), strict=strict)


def make(plan: Plan, targets: Sequence[str], update: Update) -> None:
    """Runs make; BuildError carries the compiler's first complaints, LabError if the machine is the trouble."""
    done = 0
    complaints: list[str] = []
    trouble: list[str] = []

    def line(text: str) -> None:
        nonlocal done
        if COMPILED.match(text):
            done += 1
            update(f"{done} files, {text.split()[-1]}")
        elif LAB_TROUBLE.search(text):
            trouble.append(text.strip())
        elif COMPLAINT.search(text):
            complaints.append(text.strip())

    code = proc.run_logged([*make_command(plan), *targets], plan.log, env=environment(plan), on_line=line)
    if code == 0:
        return
    if trouble:
        raise LabError(f"the build could not go on: {trouble[0]}", log=plan.log, hint="harness doctor")
    first = "\n  ".join(complaints[:4]) or f"make ended with exit code {code}"
    cause = f"the {plan.flavour.name} kernel does not build:\n  {first}"
    raise BuildError(cause, log=plan.log, hint=f"less {plan.log}")


def compile(plan: Plan, strict: bool, update: Update) -> None:
    configure(plan, strict)
    image = image_of(plan.flavour)
    make(plan, ["vmlinux" if image.name == "vmlinux" else image.name], update)
    # UML has no user headers of its own: those of the machine it runs on are what its programs see.
    headers = [f"INSTALL_HDR_PATH={plan.out / 'headers'}", "headers_install"]
    make(plan, ["ARCH=x86", *headers] if plan.flavour.arch == "um" else headers, update)
