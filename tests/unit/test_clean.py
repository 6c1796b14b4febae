"""clean frees what can be made again, says how much, and loses no work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cache, cli, tree
from tests.unit.laboratory import Laboratory


def fill(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "file").write_bytes(b"x" * 65536)
    return path


def freed(capfd: pytest.CaptureFixture[str]) -> int:
    return int(json.loads(capfd.readouterr().out)["freed_bytes"])


def test_without_options_tree_cache_and_newest_kernels_stay(
    laboratory: Laboratory, capfd: pytest.CaptureFixture[str]
) -> None:
    tree.apply(patches=laboratory.patches)
    gone = [fill(laboratory.repo / ".work" / name) for name in ("build", "numbers", "check", "logs")]
    gone.append(fill(laboratory.cache / "source" / ".linux-7.3.4.a1b2c3d4"))  # a killed fetch's
    stays = [laboratory.tree, fill(laboratory.cache / "source" / "linux-7.3.4"), fill(laboratory.cache / "ccache")]
    for number in range(4):
        (fill(laboratory.cache / "kernels" / str(number)) / "kernel.json").write_text("{}")
    assert cli.main(["clean", "--json"]) == 0
    assert freed(capfd) >= 7 * 65536
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stays)
    assert len(list((laboratory.cache / "kernels").iterdir())) == 2


def test_all_takes_the_rest_but_no_unexported_work(laboratory: Laboratory, capfd: pytest.CaptureFixture[str]) -> None:
    tree.apply(patches=laboratory.patches)
    laboratory.commit(laboratory.tree, "mm/new.c", "int new;\n", "mm: new")
    fill(laboratory.cache / "ccache")
    assert cli.main(["clean", "--all"]) == 2
    assert "harness export" in capfd.readouterr().err
    assert laboratory.tree.exists()
    assert cli.main(["clean", "--all", "--force", "--json"]) == 0
    assert freed(capfd) >= 65536
    assert not laboratory.tree.exists()
    assert [path.name for path in laboratory.cache.iterdir()] == ["locks"]


def test_while_another_run_works_nothing_is_removed(
    laboratory: Laboratory, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.verbs import clean

    monkeypatch.setattr(clean, "PATIENCE", 0.2)
    build = fill(laboratory.repo / ".work" / "build")
    with cache.locked("source"):
        assert cli.main(["clean"]) == 4
    assert build.exists()
    assert "another run holds" in capfd.readouterr().err
