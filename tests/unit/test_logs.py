"""Logs of earlier runs are packed, bounded in number, and can be read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zstandard

from harness import cache, logs


@pytest.fixture(autouse=True)
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "REPO", tmp_path)
    return tmp_path / ".work" / "logs" / "old"


def unpacked(path: Path) -> bytes:
    with path.open("rb") as stream:
        return zstandard.ZstdDecompressor().stream_reader(stream).read()


def test_a_new_run_packs_the_log_of_the_one_before(old: Path, tmp_path: Path) -> None:
    log = tmp_path / "build-lab.log"
    log.write_bytes(b"CC mm/agent_mem.o\n" * 1000)
    os.utime(log, (0, 86400))
    assert logs.fresh(log).read_bytes() == b""
    (packed,) = old.iterdir()
    assert packed.name == "build-lab-19700102T000000.log.zst"
    assert unpacked(packed) == b"CC mm/agent_mem.o\n" * 1000
    assert packed.stat().st_size < 200


def test_a_first_run_and_an_empty_log_pack_nothing(old: Path, tmp_path: Path) -> None:
    logs.fresh(logs.fresh(tmp_path / "kunit.log"))
    assert not old.exists()


def test_only_so_many_are_kept_and_those_are_the_newest(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "KEPT", 3)
    for second in range(5):
        log = tmp_path / "console.log"
        log.write_text(f"boot {second}\n")
        os.utime(log, (second, second))
        logs.store(log, "guest")
    assert sorted(path.name for path in old.iterdir()) == [f"guest-19700101T00000{n}.log.zst" for n in (2, 3, 4)]


def test_the_tail_has_whole_lines_and_nothing_a_terminal_obeys(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"x" * (1 << 20) + b"\none\n\x1b[2Jtwo\x07\n" + b"y" * 1000)
    assert logs.tail(log, 3) == ["one", "two", "y" * logs.WIDTH]
    assert logs.tail(tmp_path / "none.log", 3) == []
