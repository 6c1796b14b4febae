"""The console log while it grows."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from harness import witness as module
from harness.witness import Witness

PANIC = b"[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n"
WARNING = (
    b"[    2.000000] ------------[ cut here ]------------\r\n"
    b"[    2.000001] WARNING: CPU: 0 PID: 1 at mm/agent_mem.c:12 agent_mem_alloc+0x1/0x2\r\n"
    b"[    2.000002] ---[ end trace 0000000000000000 ]---\r\n"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "console.log"
    path.write_bytes(b"[    0.000000] Linux version\r\n")
    return path


def add(log: Path, text: bytes) -> None:
    with log.open("ab") as stream:
        stream.write(text)


@pytest.mark.parametrize("cut", [0, 5, 20, 40, len(PANIC)])
def test_a_panic_is_seen_however_it_comes(log: Path, cut: int) -> None:
    witness = Witness(log)
    add(log, PANIC[:cut])
    seen = witness.panic()
    add(log, PANIC[cut:])
    seen = seen or witness.panic()
    assert seen is not None and seen.startswith("Kernel panic - not syncing")
    assert witness.panic() is None


def test_what_was_there_before_is_not_ours_to_tell(log: Path) -> None:
    add(log, WARNING + PANIC)
    witness = Witness(log)
    assert witness.splats() == []
    assert witness.panic() is None


def test_each_splat_is_told_once(log: Path) -> None:
    witness = Witness(log)
    add(log, WARNING)
    (splat,) = witness.splats()
    assert splat.kind == "warning"
    assert witness.splats() == []
    add(log, WARNING)
    assert len(witness.splats()) == 1


def test_the_tail_does_nothing_to_a_terminal(log: Path) -> None:
    add(log, b"\x1b]0;evil\x07\x1b[2Jplain \x9b31m text\r\n\r\n" + b"w" * 1000 + b"\n")
    shown = Witness(log).tail()
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "plain" in shown
    assert max(map(len, shown.splitlines())) <= module.WIDTH + 10


def test_stacks_are_told_without_registers_and_guesses(log: Path) -> None:
    start = Witness(log).size
    kept = [
        "[    9.1][    T9] task:sh              state:D stack:0     pid:70    tgid:70",
        "[    9.1][    T9]  schedule+0x3a/0xe0",
        "[    9.2][    C1] NMI backtrace for cpu 1",
        "[    9.2][    C1] RIP: 0010:pv_native_safe_halt+0xf/0x20",
    ]
    left = ["[    9.1][    T9]  ? lock_release+0x1/0x2", "[    9.2][    C1] RAX: 0000000000000001", "[    9.2] End"]
    add(log, "\r\n".join([kept[0], left[0], kept[1], kept[2], left[1], kept[3], left[2]]).encode())
    assert Witness(log).stacks(start).splitlines() == ["", *(f"  | {line}" for line in kept)]


def test_a_mark_is_waited_for_from_where_it_can_be(log: Path) -> None:
    witness = Witness(log)
    threading.Timer(0.1, add, (log, b"the mark\n")).start()
    assert witness.holds(b"the mark", witness.size, 5)
    assert not witness.holds(b"the mark", witness.size, 0.05)


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (b"[    9.1] reboot: Power down\r\n", True),
        (b"[    9.1] reboot: Restarting system\n", True),
        (b"[    9.1] something\n", False),
    ],
)
def test_an_end_that_a_program_asked_for(log: Path, line: bytes, asked: bool) -> None:
    add(log, line)
    assert Witness(log).asked_off() is asked


def test_a_flood_is_noticed_and_not_read_whole(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    witness = Witness(log)
    with log.open("r+b") as stream:
        stream.truncate(module.MAX_BYTES + 1)
    began = time.monotonic()
    assert witness.flooded
    monkeypatch.setattr(module, "MAX_SCAN", 1 << 16)
    assert witness.panic() is None
    assert time.monotonic() - began < 2
