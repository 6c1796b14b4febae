"""The guest's first process called as a command: files in and out. The program is the real one, run here."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from harness import frames, initramfs, qemu


@pytest.fixture(scope="module")
def init() -> Path:
    return initramfs.compile_static(sorted(initramfs.SOURCES.glob("*.c")), headers=Path("/usr"), name="init")


def call(init: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([init, *arguments], input=stdin, capture_output=True, timeout=20)


def test_a_file_goes_in_with_its_permissions_and_its_directories(init: Path, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    target = tmp_path / "new" / "er" / "file"
    assert call(init, "put", "751", str(target), stdin=content).returncode == 0
    assert target.read_bytes() == content
    assert stat.S_IMODE(target.stat().st_mode) == 0o751
    assert call(init, "get", str(target)).stdout == content


def test_a_running_program_and_a_link_are_replaced(init: Path, tmp_path: Path) -> None:
    other, target = tmp_path / "other", tmp_path / "target"
    other.write_bytes(b"mine")
    target.symlink_to(other)
    assert call(init, "put", "644", str(target), stdin=b"new").returncode == 0
    assert (other.read_bytes(), target.read_bytes(), target.is_symlink()) == (b"mine", b"new", False)


def test_failures_are_told(init: Path, tmp_path: Path) -> None:
    done = call(init, "put", "644", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}: Is a directory\n".encode())
    done = call(init, "get", str(tmp_path / "no"))
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}/no: No such file or directory\n".encode())
    assert call(init, "put", "644", "/dev/full", stdin=b"x").returncode == 1
    assert call(init).returncode == call(init, "put").returncode == call(init, "what", "is").returncode == 2


def test_both_ends_have_the_same_numbers() -> None:
    header = (initramfs.SOURCES / "guest.h").read_text()
    for name, value in [("VERSION", frames.VERSION), ("STRINGS_MAX", frames.STRINGS_MAX)]:
        assert f"#define {name} {value}" in header
    assert f'#define PORT "{qemu.PORT}"' in header
    assert f"#define MAGIC {frames.MAGIC:#x}" in header
    assert f"#define FRAME_MAX ({frames.FRAME_MAX >> 10}u << 10)" in header
    assert f"#define WINDOW ({frames.WINDOW >> 10}u << 10)" in header
    for kind in frames.Kind:
        assert f"FRAME_{kind.name} = {kind.value}," in header
