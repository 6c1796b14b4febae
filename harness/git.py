"""git, with nothing of the user's own configuration deciding what comes out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import proc

EPOCH = "2026-01-01T00:00:00Z"  # of commits the laboratory makes itself: the same id everywhere
LABORATORY = {
    "GIT_AUTHOR_NAME": "Linux",
    "GIT_AUTHOR_EMAIL": "lab@localhost",
    "GIT_AUTHOR_DATE": EPOCH,
    "GIT_COMMITTER_NAME": "Linux",
    "GIT_COMMITTER_EMAIL": "lab@localhost",
    "GIT_COMMITTER_DATE": EPOCH,
}
# A machine may have no git identity at all, and `git am --abort` wants one, too.
COMMITTER = {name: LABORATORY[name] for name in ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")}
# Kernel trees are read by git far more often than they are written: no housekeeping in the middle of a run.
FIXED = ("gc.auto=0", "core.autocrlf=false", "core.fsmonitor=false", "commit.gpgSign=false", "core.hooksPath=/dev/null")
# What editors and merges leave in a tree: never part of what is built.
LEFTOVERS = (
    *("*.orig", "*.rej", "*~", ".*.swp", "tags", "TAGS", "cscope.*", "*.o", "*.cmd", ".cache", "__pycache__"),
    ".checkpatch-camelcase.*",
)


def argv(directory: Path, *arguments: str) -> list[str]:
    settings = [word for setting in FIXED for word in ("-c", setting)]
    return ["git", "-C", str(directory), *settings, *arguments]


def git(
    directory: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    check: bool = True,
    timeout: float = 600,
) -> proc.Completed:
    environment = {**COMMITTER, **(env or {})}
    return proc.run(argv(directory, *arguments), env=environment, stdin=stdin, check=check, timeout=timeout)


def line(directory: Path, *arguments: str) -> str:
    """The one line that a git command prints."""
    return git(directory, *arguments).stdout.strip()


def commit_of(directory: Path, name: str) -> str | None:
    """The id of the commit called `name`, or None."""
    done = git(directory, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)
    return done.stdout.strip() or None


def is_repository(directory: Path) -> bool:
    return directory.is_dir() and git(directory, "rev-parse", "--git-dir", check=False).code == 0


def content_id(tree: Path) -> str:
    """The id of what lies in the work tree now, edits and new files included; index and refs stay as they are.

    New files are taken although ignored: the .gitignore that Debian ships ignores everything at the top.
    """
    git_dir = Path(line(tree, "rev-parse", "--absolute-git-dir"))
    with tempfile.TemporaryDirectory(prefix="agent-mem-index-") as aside:
        index = Path(aside) / "index"
        if (git_dir / "index").exists():
            shutil.copy2(git_dir / "index", index)
        env = {"GIT_INDEX_FILE": str(index)}
        git(tree, "add", "--all", "--force", "--", ".", *exclusions(LEFTOVERS), env=env)
        return git(tree, "write-tree", env=env).stdout.strip()


def exclusions(patterns: Sequence[str]) -> list[str]:
    return [f":(exclude,glob)**/{pattern}" for pattern in patterns]


def tree_of(tree: Path, commit: str = "HEAD") -> str:
    return line(tree, "rev-parse", f"{commit}^{{tree}}")


def is_clean(tree: Path) -> bool:
    """True if the work tree holds exactly its HEAD's content."""
    return content_id(tree) == tree_of(tree)
