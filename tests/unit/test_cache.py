"""Whatever is kept is whole: also when the writer fails, or is killed in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import cache
from harness.errors import LabError

WRITER = """
import sys, time
from pathlib import Path
from harness import cache
with cache.{kind}(Path({target!r})) as aside:
    (aside if aside.is_file() else aside / "part").write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_new_file_appears_with_all_its_content(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with cache.new_file(target) as aside:
        aside.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert names(target.parent) == ["file"]


def test_a_failed_file_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(RuntimeError), cache.new_file(target) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_new_directory_takes_the_old_ones_place(tmp_path: Path) -> None:
    target = tmp_path / "dir"
    target.mkdir()
    (target / "old").touch()
    with cache.new_dir(target) as aside:
        (aside / "new").touch()
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(tmp_path) == ["dir"]


@pytest.mark.parametrize("kind", ["new_file", "new_dir"])
def test_a_killed_writer_leaves_no_half_target(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    script = WRITER.format(kind=kind, target=str(target))
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "begun\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert not target.exists()
    with getattr(cache, kind)(target) as aside:
        (aside if aside.is_file() else aside / "part").write_text("whole")
    assert (target if target.is_file() else target / "part").read_text() == "whole"


def test_a_lock_is_waited_for_and_its_holder_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_MEM_CACHE", str(tmp_path))
    script = "from harness import cache\nwith cache.locked('one'):\n print('held', flush=True)\n input()"
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LabError, match="another run holds one.lock"), cache.locked("one", timeout=0.2):
        pass
    holder.kill()  # the lock goes with its holder
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    started = time.monotonic()
    with cache.locked("one", timeout=5):
        assert time.monotonic() - started < 4
