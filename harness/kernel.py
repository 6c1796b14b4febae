"""A built kernel: found by the content that makes it, or compiled out of tree through ccache.

Key: the source's content id (open edits included), the requested options, the toolchain. A hit runs no make at all.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from harness import git, kbuild, logs, tree
from harness.cache import cache_dir, locked, log_file, new_dir
from harness.errors import LabError, UsageError
from harness.kbuild import Flavour, Plan
from harness.progress import step

KEPT = 8  # finished builds; a lab kernel with debug information takes about 150 MB
NEEDED_FREE = 3 << 30  # bytes for one build


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


def build(flavour: str = "lab") -> Kernel:
    """The kernel of that flavour from this checkout's tree; fetches, applies and compiles as far as is needed."""
    known = kbuild.flavours()
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
    todo = kbuild.plan(source, flavour, log_file(f"build-{flavour.name}"))
    with locked(f"kernel-{todo.key}"):
        found = _find(todo)
        if found:
            return found
        with step(f"build {flavour.name}", todo.log) as under_way, locked(f"build-{flavour.name}", shared=False):
            _room()
            logs.fresh(todo.log)
            kbuild.compile(todo, strict, under_way.update)
            if git.content_id(source) != todo.content:
                cause = f"{source} was changed while it was compiled: what came out is no one state of it"
                raise LabError(cause, log=todo.log, hint="the same command again")
            _keep(todo)
    prune()
    kept = _find(todo)
    assert kept is not None  # written just now
    return dataclasses.replace(kept, cached=False)


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
    out, image = plan.out, kbuild.image_of(plan.flavour)
    with new_dir(_place(plan)) as aside:
        shutil.copy2(out / image, aside / image.name)
        if image.name != "vmlinux":
            shutil.copy2(out / "vmlinux", aside / "vmlinux")
        shutil.copy2(out / ".config", aside / "config")
        shutil.copy2(out / "System.map", aside / "System.map")
        shutil.copytree(out / "headers", aside / "headers", ignore=shutil.ignore_patterns("..install.cmd", ".*.cmd"))
        for source in kbuild.profiled(plan):
            notes = out / source.relative_to(plan.tree).with_suffix(".gcno")
            shutil.copy2(notes, aside / notes.name)
        release = (out / "include" / "config" / "kernel.release").read_text().strip()
        meta = {"release": release, "image": image.name, "content": plan.content, "toolchain": kbuild.toolchain()}
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
