"""The kernel tree of this checkout: the base, then patches/fixes, then the series, as the branch `agent_mem`.

Three refs say what is known: refs/agent_mem/base, refs/agent_mem/fixes (where the series begins) and
refs/agent_mem/exported (the last state in which branch and patches were equal; beyond it is the user's own work).
The variant of patches/optional/ is a second worktree, at the same relative place as the first one so that ccache
finds its objects again.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import git, series
from harness.cache import locked, new_file, work_dir
from harness.errors import ApplyError, HarnessError, UsageError
from harness.pin import PATCHES, read_pin, read_series
from harness.progress import Update
from harness.source import Base, base

BRANCH = "agent_mem"
VARIANT = "agent_mem-numbers"
CLEAN = ("clean", "-qfdx", *(f"--exclude={pattern}" for pattern in git.LEFTOVERS))
BASE, FIXES, EXPORTED = (f"refs/agent_mem/{name}" for name in ("base", "fixes", "exported"))
OwnWork = Literal["refuse", "keep", "save"]
SILENT: Update = lambda _: None  # noqa: E731


@dataclass(frozen=True)
class Applied:
    """What `apply` left: the tree, its branch's tip, how many commits of ours, and whether anything was done."""

    tree: Path
    commit: str
    patches: int
    changed: bool
    backup: str = ""


def main_tree() -> Path:
    return work_dir() / "linux"


def variant_tree() -> Path:
    return work_dir("numbers") / "linux"


def apply(*, own_work: OwnWork = "refuse", update: Update = SILENT, patches: Path = PATCHES) -> Applied:
    """Makes branch and patches equal, coming from the patches.

    Work that is not exported is refused (ApplyError), kept (the tree stays as it is) or saved (as a backup ref).
    """
    with locked("tree", shared=False):
        chosen = base(update)
        tree = main_tree()
        _make(tree, chosen, update)
        backup = ""
        if _equal(tree, chosen, patches):
            return _applied(tree, changed=False)
        if reason := unexported(tree):
            if own_work == "keep":
                return _applied(tree, changed=False)
            if own_work == "refuse":
                raise ApplyError(
                    f"{tree} holds work that patches/ does not: {reason}",
                    hint="harness export (keeps it), or harness apply --force (keeps a backup ref)",
                )
            backup = _back_up(tree)
        _rebuild(tree, chosen, patches, update)
        return _applied(tree, changed=True, backup=backup)


def apply_variant(*, update: Update = SILENT, patches: Path = PATCHES) -> Applied:
    """The tree of the series plus patches/optional/, made anew whenever either changed."""
    optional = series.files(patches / "optional")
    if not optional:
        raise UsageError(f"{patches / 'optional'} holds no patch", hint="harness build --flavour lab")
    below = apply(own_work="keep", update=update, patches=patches)
    with locked("tree", shared=False):
        tree = variant_tree()
        if not git.is_repository(tree):
            update("checking the second tree out")
            git.git(below.tree, "worktree", "prune")
            git.git(below.tree, "worktree", "add", "--quiet", "--force", "--detach", str(tree), below.commit)
        _recover(tree)
        made = git.commit_of(tree, VARIANT)
        # The branch may be there without a tree that is at it: made anew, or left at something else.
        at_it = made and made == git.commit_of(tree, "HEAD")
        if at_it and git.line(tree, "merge-base", VARIANT, BRANCH) == below.commit:
            rendered = _render_variant(tree)
            if not series.compare(rendered, patches / "optional") and git.is_clean(tree):
                return Applied(tree, git.line(tree, "rev-parse", "HEAD"), len(optional), changed=False)
        move(tree, VARIANT, below.commit, optional)
        return Applied(tree, git.line(tree, "rev-parse", "HEAD"), len(optional), changed=True)


def export(*, patches: Path = PATCHES) -> dict[str, series.Difference]:
    """Writes the branch's commits to patches/; answers what changed, by directory."""
    with locked("tree", shared=False):
        tree = _existing()
        if not git.is_clean(tree):
            raise ApplyError(
                f"{tree} has changes that are in no commit",
                hint=f"git -C {tree} add -f NEW-FILES; git -C {tree} commit -as; harness export",
            )
        changed = {name: series.write(patch, patches / name) for name, patch in rendered(tree).items()}
        git.git(tree, "update-ref", EXPORTED, BRANCH)
    return {name: difference for name, difference in changed.items() if difference}


def differences(*, patches: Path = PATCHES) -> dict[str, series.Difference]:
    """What `export` would change."""
    tree = _existing()
    found = {name: series.compare(patch, patches / name) for name, patch in rendered(tree).items()}
    return {name: difference for name, difference in found.items() if difference}


def rendered(tree: Path) -> dict[str, dict[str, bytes]]:
    """Directory below patches/ -> the patches that belong there. The variant's only while it stands on the branch."""
    start, info = git.line(tree, "rev-parse", BASE), read_series()
    out = {
        "fixes": series.render(tree, BASE, FIXES, base=start, prefix="PATCH"),
        ".": series.render(tree, FIXES, BRANCH, base=start, prefix=info.subject_prefix),
    }
    if git.commit_of(tree, VARIANT) and git.line(tree, "merge-base", VARIANT, BRANCH) == git.commit_of(tree, BRANCH):
        out["optional"] = _render_variant(tree)
    return out


def commits(tree: Path) -> list[str]:
    """Our commits, oldest first."""
    return git.line(tree, "rev-list", "--reverse", f"{BASE}..{BRANCH}").split()


def _render_variant(tree: Path) -> dict[str, bytes]:
    return series.render(tree, BRANCH, VARIANT, base=git.line(tree, "rev-parse", BASE), prefix="PATCH")


def _existing() -> Path:
    tree = main_tree()
    if not git.commit_of(tree, BRANCH) if tree.is_dir() else True:
        raise UsageError(f"there is no kernel tree at {tree}", hint="harness apply")
    return tree


def _applied(tree: Path, *, changed: bool, backup: str = "") -> Applied:
    return Applied(tree, git.line(tree, "rev-parse", BRANCH), len(commits(tree)), changed, backup)


# -- making and moving the tree ------------------------------------------------------------------------------------


def _make(tree: Path, chosen: Base, update: Update) -> None:
    """A work tree of the base that borrows its objects; an unfinished one (no base ref) is finished."""
    git_dir = tree / ".git"
    if not git_dir.is_dir():
        tree.mkdir(parents=True, exist_ok=True)
        git.git(tree, "init", "--quiet", f"--initial-branch={BRANCH}")
        git.git(tree, "config", "gc.auto", "0")
    _borrow(git_dir, Path(chosen.repository))
    if git.commit_of(tree, BASE) is None:
        update("checking the base out")
        (git_dir / "index.lock").unlink(missing_ok=True)  # of a run that was killed; the lock "tree" keeps others out
        git.git(tree, "reset", "--quiet", "--hard", chosen.commit, timeout=1800)
        for ref in (FIXES, EXPORTED, BASE):
            git.git(tree, "update-ref", ref, chosen.commit)
    _recover(tree)


def _moving(tree: Path) -> Path:
    """A note in the .git: a move of ours is under way, and where the tree stood before."""
    return Path(git.line(tree, "rev-parse", "--absolute-git-dir")) / "agent-mem-moving"


def _recover(tree: Path) -> None:
    """Takes back a move that was killed."""
    note = _moving(tree)
    if note.exists():
        branch, before = note.read_text().split()
        note.with_name("index.lock").unlink(missing_ok=True)
        git.git(tree, "am", "--quit", check=False)
        git.git(tree, "checkout", "--quiet", "--force", "-B", branch, before)
        git.git(tree, *CLEAN)
        note.unlink()


def _borrow(git_dir: Path, repository: Path) -> None:
    objects = git.line(repository, "rev-parse", "--git-path", "objects")
    lender = str((repository / objects).resolve())
    alternates = git_dir / "objects" / "info" / "alternates"
    known = alternates.read_text().splitlines() if alternates.exists() else []
    if lender not in known:
        alternates.parent.mkdir(parents=True, exist_ok=True)
        alternates.write_text("\n".join([*known, lender]) + "\n")


def _equal(tree: Path, chosen: Base, patches: Path) -> bool:
    """Whether the branch stands on the chosen base, holds just the patches, and no edit is open."""
    if git.commit_of(tree, BASE) != chosen.commit or not git.is_clean(tree) or git.commit_of(tree, BRANCH) is None:
        return False
    own = rendered(tree)
    plain = chosen.commit == read_pin().commit
    for name in ("fixes", "."):
        on_disk = {path.name: path.read_bytes() for path in series.files(patches / name)}
        if _comparable(own[name], plain) != _comparable(on_disk, plain):
            return False
    git.git(tree, "update-ref", EXPORTED, BRANCH)
    return True


def _comparable(patches: dict[str, bytes], plain: bool) -> dict[str, bytes]:
    """On another base than the pinned one the base-commit trailer and blob ids may differ: the rest counts."""
    if plain:
        return patches
    dropped = (b"base-commit: ", b"prerequisite-patch-id: ", b"index ")
    return {
        name: b"\n".join(line for line in content.split(b"\n") if not line.startswith(dropped))
        for name, content in patches.items()
    }


def unexported(tree: Path) -> str:
    """What the user would lose: a rebase under way, edits, or commits after the last export."""
    if git.commit_of(tree, "HEAD") != git.commit_of(tree, BRANCH):
        return f"HEAD is not at the branch {BRANCH} (a rebase or bisection under way?)"
    if not git.is_clean(tree):
        return "changes that are in no commit"
    tip, exported = git.commit_of(tree, BRANCH), git.commit_of(tree, EXPORTED)
    return "" if tip == exported else f"the branch {BRANCH} moved since the last apply or export"


def _back_up(tree: Path) -> str:
    """A ref that keeps the branch, open edits included."""
    name = f"refs/heads/backup/{time.strftime('%Y%m%d-%H%M%S')}"
    kept = git.git(
        tree, "commit-tree", git.content_id(tree), "-p", "HEAD", "-m", "work saved by harness apply --force",
        env=git.LABORATORY,
    )  # fmt: skip
    git.git(tree, "update-ref", name, kept.stdout.strip())
    return name.removeprefix("refs/heads/")


def _rebuild(tree: Path, chosen: Base, patches: Path, update: Update) -> None:
    fixes, main = series.files(patches / "fixes"), series.files(patches)
    update(f"applying {len(fixes) + len(main)} patches")
    move(tree, BRANCH, chosen.commit, [*fixes, *main])
    for ref, commit in (
        (BASE, chosen.commit),
        (FIXES, f"{BRANCH}~{len(main)}" if main else BRANCH),
        (EXPORTED, BRANCH),
    ):
        git.git(tree, "update-ref", ref, git.line(tree, "rev-parse", commit))


def move(tree: Path, branch: str, onto: str, patches: list[Path]) -> None:
    """Points the branch at onto + patches. Files that end as they began keep their times, so make leaves them alone.

    On failure the tree goes back to where it was.
    """
    before = git.line(tree, "rev-parse", "HEAD")
    note = _moving(tree)
    git.git(tree, "reset", "--quiet", "--hard", before)
    git.git(tree, *CLEAN)
    times = _times(tree, before, onto)
    with new_file(note) as aside:
        aside.write_text(f"{branch} {before}")
    try:
        git.git(tree, "checkout", "--quiet", "--detach", onto)
        series.apply(tree, patches)
        git.git(tree, "checkout", "--quiet", "-B", branch)
        note.unlink()
    except HarnessError:
        _recover(tree)
        raise
    finally:
        _restore_times(tree, before, times)


def _times(tree: Path, before: str, onto: str) -> dict[str, int]:
    """The modification times of the files that the coming checkouts may touch."""
    touched = git.line(tree, "diff", "--name-only", onto, before).splitlines()
    return {name: (tree / name).stat().st_mtime_ns for name in touched if (tree / name).is_file()}


def _restore_times(tree: Path, before: str, times: dict[str, int]) -> None:
    differing = set(git.line(tree, "diff", "--name-only", before, "HEAD").splitlines())
    for name, nanoseconds in times.items():
        path = tree / name
        if name not in differing and path.is_file():
            os.utime(path, ns=(nanoseconds, nanoseconds))
