"""A built kernel: found by the content that makes it, or compiled out of tree through ccache.

Key: the source's content id (open edits included), the requested options, the toolchain. A hit runs no make at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import git, kconfig, logs, proc, tree
from harness.cache import cache_dir, locked, log_file, new_dir
from harness.errors import BuildError, LabError, UsageError
from harness.progress import Update, step

RECIPE = 1  # in the key: raise it when the way to build changes what comes out
KEPT = 8  # finished builds; a lab kernel with debug information takes about 150 MB
CCACHE_SIZE = "8G"
NEEDED_FREE = 3 << 30  # bytes for one build
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


@dataclass(frozen=True)
class Kernel:
    """A finished build. headers is where headers_install put `include/`; tree is the applied source; content its id."""

    flavour: str
    arch: str
    key: str
    release: str
    image: Path
    vmlinux: Path
    config: Path
    headers: Path
    tree: Path
    content: str = ""
    cached: bool = dataclasses.field(default=False, compare=False)


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


def build(flavour: str = "lab") -> Kernel:
    """The kernel of that flavour from this checkout's tree; fetches, applies and compiles as far as is needed."""
    known = flavours()
    if flavour not in known:
        raise UsageError(f"there is no flavour {flavour!r}; it is one of: {', '.join(known)}")
    chosen = known[flavour]
    with step("kernel tree") as under_way:
        if chosen.variant:
            source = tree.apply_variant(update=under_way.update).tree
        else:
            source = tree.apply(own_work="keep", update=under_way.update).tree
    return build_tree(source, chosen)


def build_tree(source: Path, flavour: Flavour, *, strict: bool = True) -> Kernel:
    """The kernel of any tree. Not strict: options that it does not know (yet) are left out."""
    todo = plan(source, flavour, log_file(f"build-{flavour.name}"))
    with locked(f"kernel-{todo.key}"):
        found = _find(todo)
        if found:
            return found
        with step(f"build {flavour.name}", todo.log) as under_way, locked(f"build-{flavour.name}", shared=False):
            _room()
            logs.fresh(todo.log)
            _compile(todo, strict, under_way.update)
            if git.content_id(source) != todo.content:
                cause = f"{source} was changed while it was compiled: what came out is no one state of it"
                raise LabError(cause, log=todo.log, hint="the same command again")
            _keep(todo)
    prune()
    kept = _find(todo)
    assert kept is not None  # written just now
    return dataclasses.replace(kept, cached=False)


def plan(source: Path, flavour: Flavour, log: Path) -> Plan:
    """What building the tree as it lies there now would mean."""
    return Plan(flavour, source, tuple(kconfig.read(flavour.fragments)), git.content_id(source), log)


# -- the store of finished builds ----------------------------------------------------------------------------------


def _place(plan: Plan) -> Path:
    return cache_dir() / "kernels" / plan.key


def _find(plan: Plan) -> Kernel | None:
    place = _place(plan)
    try:
        meta = json.loads((place / "kernel.json").read_text())
    except (OSError, ValueError):
        return None
    os.utime(place)  # prune goes by it
    return Kernel(
        flavour=plan.flavour.name,
        arch=plan.flavour.arch,
        key=plan.key,
        release=meta["release"],
        image=place / meta["image"],
        vmlinux=place / "vmlinux",
        config=place / "config",
        headers=place / "headers",
        tree=plan.tree,
        content=plan.content,
        cached=True,
    )


def _keep(plan: Plan) -> None:
    """Copies what others need out of the build directory, as a whole."""
    out, image = plan.out, _image(plan.flavour)
    with new_dir(_place(plan)) as aside:
        shutil.copy2(out / image, aside / image.name)
        if image.name != "vmlinux":
            shutil.copy2(out / "vmlinux", aside / "vmlinux")
        shutil.copy2(out / ".config", aside / "config")
        shutil.copy2(out / "System.map", aside / "System.map")
        shutil.copytree(out / "headers", aside / "headers", ignore=shutil.ignore_patterns("..install.cmd", ".*.cmd"))
        release = (out / "include" / "config" / "kernel.release").read_text().strip()
        meta = {"release": release, "image": image.name, "content": plan.content, "toolchain": toolchain()}
        (aside / "kernel.json").write_text(json.dumps(meta, indent=1))


def prune(kept: int = KEPT) -> int:
    """Removes the builds that were longest not asked for, and what killed runs left; answers the bytes freed."""
    store = cache_dir() / "kernels"
    if not store.is_dir():
        return 0
    freed = 0
    with locked("kernels"):
        finished = sorted(
            (path for path in store.iterdir() if (path / "kernel.json").exists() and not path.name.startswith(".")),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        old = time.time() - 86400
        left = [path for path in store.glob(".*") if path.stat().st_mtime < old]  # by a killed run, and nobody's now
        for path in [*finished[kept:], *left]:
            freed += size_of(path)
            shutil.rmtree(path, ignore_errors=True)
    return freed


def size_of(path: Path) -> int:
    """Bytes on disk below a path."""
    return sum(entry.lstat().st_blocks * 512 for entry in path.rglob("*")) if path.is_dir() else 0


# -- compiling -----------------------------------------------------------------------------------------------------


def toolchain() -> str:
    """What compiles: the first line of each tool about itself."""
    told = (proc.run([tool, "--version"], timeout=60).stdout.splitlines()[0] for tool in ("gcc", "ld"))
    return "; ".join(told)


def _image(flavour: Flavour) -> Path:
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
        "CROSS_COMPILE=",
        "CC=ccache gcc",
        "HOSTCC=ccache gcc",
        f"LOCALVERSION=-agent-mem-{plan.flavour.name}",
        f"KCFLAGS=-fdebug-prefix-map={plan.out}=. -fdebug-prefix-map={plan.tree}=../../linux",
        f"--jobs={os.cpu_count() or 1}",
    ]


def configure(plan: Plan, strict: bool = True) -> Path:
    """Makes the build directory and its .config."""
    plan.out.mkdir(parents=True, exist_ok=True)
    return kconfig.configure(
        make_command(plan), plan.out, plan.requests, plan.log, environment(plan), strict=strict
    )


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


def _compile(plan: Plan, strict: bool, update: Update) -> None:
    configure(plan, strict)
    image = _image(plan.flavour)
    make(plan, ["vmlinux" if image.name == "vmlinux" else image.name], update)
    # UML has no user headers of its own: those of the machine it runs on are what its programs see.
    headers = [f"INSTALL_HDR_PATH={plan.out / 'headers'}", "headers_install"]
    make(plan, ["ARCH=x86", *headers] if plan.flavour.arch == "um" else headers, update)


def _room() -> None:
    free = shutil.disk_usage(cache_dir()).free
    if free < NEEDED_FREE:
        raise LabError(
            f"{free >> 20} MB are free, a build takes up to {NEEDED_FREE >> 20} MB",
            hint="harness clean, or AGENT_MEM_CACHE=DIRECTORY on a larger disk",
        )


def describe(kernel: Kernel, seconds: float) -> dict[str, object]:
    """What `harness build --json` tells."""
    fields = dataclasses.asdict(kernel) | {"seconds": round(seconds, 1)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
