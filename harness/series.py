"""Patches as files, and commits as patches: both directions, byte for byte the same wherever they are done."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import git
from harness.errors import ApplyError

# The user's own git settings must not show in patches, nor in the ids of the commits made from them.
NEUTRAL = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


@dataclass(frozen=True)
class Difference:
    """What an export would change in a directory of patches."""

    written: tuple[str, ...]
    stale: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.written or self.stale)

    def __str__(self) -> str:
        return ", ".join([*self.written, *(f"{name} (no longer in the branch)" for name in self.stale)])


def files(directory: Path) -> list[Path]:
    """The patches of a directory in their order; none if it is not there."""
    return sorted(directory.glob("*.patch"))


def apply(tree: Path, patches: Sequence[Path]) -> None:
    """`git am` onto the tree's HEAD; on failure the tree is as before, and ApplyError names patch and file."""
    for patch in patches:
        done = git.git(tree, *AM, str(patch.resolve()), env=NEUTRAL, check=False)
        if done.code != 0:
            git.git(tree, "am", "--abort", check=False)
            said = f"{done.stdout}\n{done.stderr}"
            raise ApplyError(
                f"{patch.name} does not apply: {_where(said)}",
                hint=f"look at the rejected hunks with: git -C {tree} apply --reject --check {patch}",
            )


AM = (
    "am",
    "--quiet",
    "--keep-non-patch",  # only [PATCH ...] leaves the subject, other brackets belong to it
    "--committer-date-is-author-date",  # with the fixed committer: the same ids everywhere
    "--no-gpg-sign",
    "--whitespace=nowarn",
)


def _where(said: str) -> str:
    """The files that git names as the trouble, or its last word."""
    named = re.findall(r"^error: (?:patch failed: )?(.+?)(?::\d+)?(?:: (.+))?$", said, re.MULTILINE)
    told = list(dict.fromkeys(f"{name} ({why})" if why else name for name, why in named))
    if told:
        return "; ".join(told[:4])
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("hint:")]
    return lines[-1] if lines else "git am gives no reason"


def render(tree: Path, since: str, until: str, *, base: str, prefix: str) -> dict[str, bytes]:
    """The commits since..until as patch files, name to content. The first one carries the base-commit trailer."""
    with tempfile.TemporaryDirectory(prefix="agent-mem-export-") as aside:
        git.git(
            tree,
            "format-patch",
            "--quiet",
            "--zero-commit",
            "--full-index",  # abbreviations grow with the repository
            "--no-signature",  # it would name git's version
            "--no-attach",
            "--no-thread",
            "--numbered",
            "--diff-algorithm=histogram",
            "--find-renames",
            f"--subject-prefix={prefix}",
            f"--base={base}",
            "--output-directory",
            aside,
            f"{since}..{until}",
            env=NEUTRAL,
        )
        return {path.name: path.read_bytes() for path in files(Path(aside))}


def compare(rendered: Mapping[str, bytes], directory: Path) -> Difference:
    present = {path.name: path.read_bytes() for path in files(directory)}
    written = tuple(name for name, content in rendered.items() if present.get(name) != content)
    return Difference(written, tuple(name for name in present if name not in rendered))


def write(rendered: Mapping[str, bytes], directory: Path) -> Difference:
    """Makes the directory hold exactly these patches: each is written aside and renamed, stale ones go last."""
    difference = compare(rendered, directory)
    if rendered:
        directory.mkdir(parents=True, exist_ok=True)
    for name in difference.written:
        aside = directory / f".{name}.new"
        aside.write_bytes(rendered[name])
        aside.replace(directory / name)
    for name in difference.stale:
        (directory / name).unlink()
    return difference
