"""Removes what can be made again, and says what that frees.

Without options: build directories, extra worktrees and logs of this checkout, and finished kernels but the newest.
--all: the kernel tree of this checkout and everything in the user's cache, too, which other checkouts share.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from harness import kernel, tree
from harness.cache import cache_dir, locked, work_dir
from harness.errors import UsageError
from harness.progress import say, step

SUMMARY = "remove what can be made again"
OWN = ("build", "numbers", "check", "logs", "run", "density", "density-run")  # of the work area
NEWEST = 2  # finished kernels that stay
PATIENCE = 5.0  # seconds to wait for another run before giving up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="the kernel tree and the shared cache, too")
    parser.add_argument("--force", action="store_true", help="with --all: also a kernel tree with work not exported")
    parser.add_argument("--json", action="store_true", help="print the bytes freed as JSON")


def run(args: argparse.Namespace) -> int:
    freed: dict[str, int] = {}
    with (
        locked("tree", shared=False, timeout=PATIENCE),
        locked("source", timeout=PATIENCE),
        step("clean"),
    ):
        if args.all:
            _refuse_to_lose_work(args.force)
        for path in _doomed(args.all):
            freed[str(path)] = _remove(path)
        if not args.all:
            freed["older kernels"] = kernel.prune(NEWEST)
    for name, size in freed.items():
        say(f"{size >> 20:>8} MB  {name}")
    say(f"{sum(freed.values()) >> 20:>8} MB freed")
    if args.json:
        print(json.dumps({"freed_bytes": sum(freed.values()), "removed": freed}))
    return 0


def _refuse_to_lose_work(force: bool) -> None:
    place = tree.main_tree()
    if not force and (place / ".git").exists() and (reason := tree.unexported(place)):
        cause = f"{place} holds work that patches/ does not: {reason}"
        raise UsageError(cause, hint="harness export, or harness clean --all --force")


def _doomed(everything: bool) -> list[Path]:
    """Not the locks: another run may hold one."""
    own = [work_dir() / name for name in OWN] + _asides(work_dir())
    shared = _asides(cache_dir(), *_kept())
    if everything:
        own.append(tree.main_tree())
        shared = _kept()
    return [path for path in [*own, *shared] if path.exists()]


def _kept() -> list[Path]:
    return [path for path in cache_dir().iterdir() if path.is_dir() and path.name != "locks"]


def _asides(*directories: Path) -> list[Path]:
    """What killed runs were writing aside (harness.cache.new_dir, new_file)."""
    return [path for directory in directories for path in directory.glob(".*.????????")]


def _remove(path: Path) -> int:
    size = kernel.size_of(path) if path.is_dir() else path.stat().st_size
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return size
