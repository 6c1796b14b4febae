"""Patches to commits and back, on a real repository: byte-stable, and nothing half applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import git, series
from harness.errors import ApplyError
from tests.unit.laboratory import Laboratory


def rendered(laboratory: Laboratory, since: str) -> dict[str, bytes]:
    return series.render(laboratory.base, since, "HEAD", base=since, prefix="RFC PATCH v0")


def test_export_apply_export_gives_the_same_bytes(laboratory: Laboratory) -> None:
    start = git.line(laboratory.base, "rev-parse", "HEAD")
    laboratory.commit(laboratory.base, "mm/new.c", "int new = 3;\n", "mm: new: äöü, and [a bracket] kept\n\nWhy.")
    laboratory.commit(laboratory.base, "mm/two.c", "int two = 22;\n", "[RFC test only] mm: two")
    first = rendered(laboratory, start)
    assert series.write(first, laboratory.patches).written == tuple(first)
    git.git(laboratory.base, "reset", "--quiet", "--hard", start)
    series.apply(laboratory.base, series.files(laboratory.patches))
    once = git.line(laboratory.base, "rev-parse", "HEAD")
    assert rendered(laboratory, start) == first
    git.git(laboratory.base, "reset", "--quiet", "--hard", start)
    series.apply(laboratory.base, series.files(laboratory.patches))
    assert git.line(laboratory.base, "rev-parse", "HEAD") == once  # ids as well


def test_a_patch_names_its_base_series_version_and_no_git_version(laboratory: Laboratory) -> None:
    start = git.line(laboratory.base, "rev-parse", "HEAD")
    laboratory.commit(laboratory.base, "mm/new.c", "int new = 3;\n", "mm: new")
    (name, content) = next(iter(rendered(laboratory, start).items()))
    text = content.decode()
    assert name == "0001-mm-new.patch"
    assert text.startswith("From 0000000000000000000000000000000000000000 ")
    assert "Subject: [RFC PATCH v0 1/1] mm: new\n" in text
    assert f"base-commit: {start}\n" in text
    assert git.line(laboratory.base, "version").split()[2] not in text


def test_the_users_git_settings_do_not_show(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start = git.line(laboratory.base, "rev-parse", "HEAD")
    laboratory.commit(laboratory.base, "mm/new.c", "int new = 3;\n", "mm: new")
    plain = rendered(laboratory, start)
    config = tmp_path / "gitconfig"
    config.write_text(
        "[diff]\n noprefix = true\n context = 9\n[format]\n signature = me\n attach = true\n coverLetter = true\n"
        " suffix = .txt\n[core]\n abbrev = 7\n[sendemail]\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert rendered(laboratory, start) == plain


def test_a_patch_that_does_not_apply_leaves_the_tree_alone(laboratory: Laboratory) -> None:
    start = git.line(laboratory.base, "rev-parse", "HEAD")
    laboratory.commit(laboratory.base, "mm/new.c", "int new = 3;\n", "mm: new")
    laboratory.commit(laboratory.base, "mm/two.c", "int two = 22;\n", "mm: two")
    series.write(rendered(laboratory, start), laboratory.patches)
    git.git(laboratory.base, "reset", "--quiet", "--hard", start)
    laboratory.commit(laboratory.base, "mm/two.c", "int other = 2;\n", "in the way")
    before = git.line(laboratory.base, "rev-parse", "HEAD")
    with pytest.raises(ApplyError) as caught:
        series.apply(laboratory.base, series.files(laboratory.patches)[1:])
    assert "0002-mm-two.patch" in caught.value.cause
    assert "mm/two.c" in caught.value.cause
    assert caught.value.exit_code == 3
    assert git.line(laboratory.base, "rev-parse", "HEAD") == before
    assert git.is_clean(laboratory.base)
    assert not (laboratory.base / ".git" / "rebase-apply").exists()


def test_a_file_that_is_no_patch_is_named(laboratory: Laboratory) -> None:
    broken = laboratory.patches / "0001-broken.patch"
    broken.write_text("From here on nothing makes sense\n")
    with pytest.raises(ApplyError, match="0001-broken.patch"):
        series.apply(laboratory.base, [broken])
    assert git.is_clean(laboratory.base)


def test_writing_replaces_what_changed_and_removes_what_went(tmp_path: Path) -> None:
    series.write({"0001-a.patch": b"a", "0002-b.patch": b"b"}, tmp_path)
    (tmp_path / "series.toml").write_text("stays")
    untouched = (tmp_path / "0001-a.patch").stat().st_ino
    difference = series.write({"0001-a.patch": b"a", "0002-c.patch": b"c"}, tmp_path)
    assert (difference.written, difference.stale) == (("0002-c.patch",), ("0002-b.patch",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001-a.patch", "0002-c.patch", "series.toml"]
    assert (tmp_path / "0001-a.patch").stat().st_ino == untouched
    assert not series.write({"0001-a.patch": b"a", "0002-c.patch": b"c"}, tmp_path)


def test_content_id_sees_edits_new_and_removed_files_and_no_leftovers(laboratory: Laboratory) -> None:
    tree = laboratory.base
    first = git.content_id(tree)
    assert first == git.tree_of(tree)
    (tree / "mm" / "two.c.orig").touch()
    (tree / ".checkpatch-camelcase.git.0123456").touch()
    assert git.is_clean(tree)
    (tree / "mm" / "fresh.c").touch()  # ignored by .gitignore, and yet part of the build
    assert git.content_id(tree) != first
    (tree / "mm" / "fresh.c").unlink()
    (tree / "mm" / "two.c").unlink()
    assert git.content_id(tree) != first
    assert git.line(tree, "status", "--porcelain") == "D mm/two.c"  # the index is as it was
