"""apply and export on a real, small tree: what is refused, what is saved, and what a killed run leaves."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import pytest

from harness import git, series, tree
from harness.cache import REPO
from harness.errors import ApplyError, UsageError
from tests.unit.laboratory import Laboratory


def apply(laboratory: Laboratory, own_work: tree.OwnWork = "refuse") -> tree.Applied:
    return tree.apply(own_work=own_work, patches=laboratory.patches)


def with_two_patches(laboratory: Laboratory) -> tree.Applied:
    apply(laboratory)
    laboratory.commit(laboratory.tree, "mm/new.c", "int new = 3;\n", "mm: new")
    laboratory.commit(laboratory.tree, "mm/two.c", "int two = 22;\n", "mm: two")
    tree.export(patches=laboratory.patches)
    return apply(laboratory)


def test_a_tree_is_made_and_then_left_alone(laboratory: Laboratory) -> None:
    first = with_two_patches(laboratory)
    assert (first.patches, first.changed) == (2, False)
    laboratory.tree.rename(laboratory.repo / "elsewhere")
    again = apply(laboratory)
    assert (again.patches, again.changed) == (2, True)
    assert (laboratory.tree / "mm" / "two.c").read_text() == "int two = 22;\n"
    assert apply(laboratory) == tree.Applied(again.tree, again.commit, 2, changed=False)


def test_export_twice_changes_nothing(laboratory: Laboratory) -> None:
    with_two_patches(laboratory)
    assert tree.export(patches=laboratory.patches) == {}
    assert tree.differences(patches=laboratory.patches) == {}


def test_commits_that_are_not_exported_are_refused_kept_or_saved(laboratory: Laboratory) -> None:
    with_two_patches(laboratory)
    mine = laboratory.commit(laboratory.tree, "mm/one.c", "int one = 11;\n", "mm: one")
    with pytest.raises(ApplyError, match="moved since") as caught:
        apply(laboratory)
    assert "harness export" in str(caught.value.hint)
    assert apply(laboratory, "keep").commit == mine
    saved = apply(laboratory, "save")
    assert (saved.patches, saved.changed) == (2, True)
    assert git.commit_of(laboratory.tree, f"{saved.backup}~1") == mine


def test_open_edits_and_new_files_are_refused_and_saved(laboratory: Laboratory) -> None:
    with_two_patches(laboratory)
    (laboratory.tree / "mm" / "fresh.c").write_text("int fresh;\n")
    with pytest.raises(ApplyError, match="in no commit"):
        apply(laboratory)
    with pytest.raises(ApplyError, match="in no commit"):
        tree.export(patches=laboratory.patches)
    saved = apply(laboratory, "save")
    assert not saved.changed or not (laboratory.tree / "mm" / "fresh.c").exists()
    assert git.line(laboratory.tree, "show", f"{saved.backup}:mm/fresh.c") == "int fresh;"


def test_a_rebase_under_way_is_not_trampled_on(laboratory: Laboratory) -> None:
    with_two_patches(laboratory)
    git.git(laboratory.tree, "checkout", "--quiet", "--detach", "HEAD~1")
    (next(iter(laboratory.patches.glob("0002*")))).unlink()
    with pytest.raises(ApplyError, match="under way"):
        apply(laboratory)


def test_changed_patches_move_the_branch_and_spare_unchanged_files(laboratory: Laboratory) -> None:
    with_two_patches(laboratory)
    unchanged = laboratory.tree / "mm" / "new.c"
    written = unchanged.stat().st_mtime_ns
    second = next(iter(laboratory.patches.glob("0002*")))
    second.write_bytes(second.read_bytes().replace(b"int two = 22;", b"int two = 23;"))
    moved = apply(laboratory)
    assert (moved.patches, moved.changed) == (2, True)
    assert (laboratory.tree / "mm" / "two.c").read_text() == "int two = 23;\n"
    assert unchanged.stat().st_mtime_ns == written


def test_a_patch_that_fails_leaves_the_branch_where_it_was(laboratory: Laboratory) -> None:
    before = with_two_patches(laboratory)
    second = next(iter(laboratory.patches.glob("0002*")))
    second.write_bytes(second.read_bytes().replace(b"-int two = 2;", b"-int two = 5;"))
    with pytest.raises(ApplyError, match="0002-mm-two.patch"):
        apply(laboratory)
    assert git.commit_of(laboratory.tree, tree.BRANCH) == before.commit
    assert git.line(laboratory.tree, "rev-parse", "--abbrev-ref", "HEAD") == tree.BRANCH
    assert git.is_clean(laboratory.tree)


def test_fixes_come_first_and_are_exported_apart(laboratory: Laboratory) -> None:
    apply(laboratory)
    start = git.line(laboratory.tree, "rev-parse", "HEAD")
    laboratory.commit(laboratory.tree, "mm/one.c", "int one = 10;\n", "mm: fix one")
    fix = series.render(laboratory.tree, start, "HEAD", base=start, prefix="PATCH")
    series.write(fix, laboratory.patches / "fixes")
    apply(laboratory, "save")
    laboratory.commit(laboratory.tree, "mm/two.c", "int two = 22;\n", "mm: two")
    changed = tree.export(patches=laboratory.patches)
    assert list(changed) == ["."]
    assert [path.name for path in series.files(laboratory.patches)] == ["0001-mm-two.patch"]
    assert apply(laboratory).patches == 2
    assert git.commit_of(laboratory.tree, f"{tree.BRANCH}~1") == git.commit_of(laboratory.tree, tree.FIXES)


def test_the_variant_stands_on_the_series_and_follows_it(laboratory: Laboratory) -> None:
    with pytest.raises(UsageError, match="holds no patch"):
        tree.apply_variant(patches=laboratory.patches)
    with_two_patches(laboratory)
    tip = git.line(laboratory.tree, "rev-parse", "HEAD")
    git.git(laboratory.tree, "checkout", "--quiet", "--detach")
    laboratory.commit(laboratory.tree, "include/agent.h", "#define AGENT 450\n", "[RFC test only] use 450")
    start = git.line(laboratory.tree, "rev-parse", tree.BASE)
    optional = series.render(laboratory.tree, tip, "HEAD", base=start, prefix="PATCH")
    series.write(optional, laboratory.patches / "optional")
    git.git(laboratory.tree, "checkout", "--quiet", tree.BRANCH)
    made = tree.apply_variant(patches=laboratory.patches)
    assert (made.tree / "include" / "agent.h").read_text() == "#define AGENT 450\n"
    assert (laboratory.tree / "include" / "agent.h").read_text() == "#define AGENT 1\n"
    assert not tree.apply_variant(patches=laboratory.patches).changed
    shutil.rmtree(made.tree)  # the branch is still there
    again = tree.apply_variant(patches=laboratory.patches)
    assert (again.tree / "include" / "agent.h").read_text() == "#define AGENT 450\n"
    laboratory.commit(laboratory.tree, "mm/one.c", "int one = 11;\n", "mm: one")
    followed = tree.apply_variant(patches=laboratory.patches)
    assert followed.changed
    assert (followed.tree / "mm" / "one.c").read_text() == "int one = 11;\n"


def test_export_without_a_tree_says_what_to_do(laboratory: Laboratory) -> None:
    with pytest.raises(UsageError, match="no kernel tree") as caught:
        tree.export(patches=laboratory.patches)
    assert caught.value.hint == "harness apply"


KILLED = """
import sys
from pathlib import Path
from harness import cache, series, tree
cache.REPO = Path({repo!r})
real = series.apply
def slow(where, patches):
    real(where, patches[:1])
    print("half", flush=True)
    input()
series.apply = slow
tree.apply(patches=Path({patches!r}))
"""


def test_killed_in_the_middle_it_goes_on_from_a_whole_state(laboratory: Laboratory) -> None:
    with_two_patches(laboratory)
    second = next(iter(laboratory.patches.glob("0002*")))
    second.write_bytes(second.read_bytes().replace(b"int two = 22;", b"int two = 23;"))
    script = KILLED.format(repo=str(laboratory.repo), patches=str(laboratory.patches))
    run = subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None and run.stdin is not None
    assert run.stdout.readline() == "half\n"
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    run.stdin.close()
    time.sleep(0.1)
    assert (laboratory.tree / "mm" / "two.c").read_text() == "int two = 2;\n"  # half way
    assert apply(laboratory).changed
    assert (laboratory.tree / "mm" / "two.c").read_text() == "int two = 23;\n"


def test_another_base_of_the_same_series_is_moved_to(laboratory: Laboratory) -> None:
    with_two_patches(laboratory)
    newer = laboratory.commit(laboratory.base, "mm/one.c", "int one = 100;\n", "Linux 7.3.5")
    record = laboratory.repo / ".work" / "base.json"
    record.write_text(record.read_text().replace(git.line(laboratory.base, "rev-parse", "HEAD~1"), newer))
    moved = apply(laboratory)
    assert (moved.patches, moved.changed) == (2, True)
    assert (laboratory.tree / "mm" / "one.c").read_text() == "int one = 100;\n"
    assert not apply(laboratory).changed
