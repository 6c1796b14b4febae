"""Which QEMU: the machine's own where it is new enough; else what is in the cache, or a clear word."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import accel, emulator, topology
from harness.errors import LabError, ToolError
from tests.unit.laboratory import Laboratory


def stand_in(path: Path, said: str) -> Path:
    """A program that tells a version, and does nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {said}\n")
    path.chmod(0o755)
    return path


def test_the_machines_own_is_used_where_it_is_new_enough(laboratory: Laboratory) -> None:
    own = emulator.installed()
    assert emulator.program(own) == [accel.QEMU] and emulator.at_hand(own)
    assert not emulator.at_hand((own[0] + 1, 0))


def test_processors_emulated_in_parallel_need_one_that_sees_code_change(monkeypatch: pytest.MonkeyPatch) -> None:
    uma, cxl = topology.named("uma"), topology.named("cxl")
    monkeypatch.setattr(accel, "probe", lambda machine: accel.Accel("tcg", "for this test"))
    assert emulator.least(uma, 2) == emulator.PARALLEL > emulator.least(uma, 1) == uma.least_qemu
    assert emulator.least(cxl, 2) == cxl.least_qemu
    monkeypatch.setattr(accel, "probe", lambda machine: accel.Accel("kvm", "for this test"))
    assert emulator.least(uma, 2) == uma.least_qemu


def test_versions_are_numbers(tmp_path: Path) -> None:
    said = "QEMU emulator version 10.0.2 '(Debian 1:10.0.2+ds-2)'"
    assert emulator.version(str(stand_in(tmp_path / "new", said))) == (10, 0) > (7, 2)
    with pytest.raises(ToolError, match="does not tell its version"):
        emulator.version(str(stand_in(tmp_path / "odd", "hello")))


def test_what_was_unpacked_before_is_used_with_its_firmware(laboratory: Laboratory) -> None:
    place = laboratory.cache / "qemu" / "backport"
    program = stand_in(place / "usr" / "bin" / accel.QEMU, "QEMU emulator version 99.1.0")
    assert emulator.at_hand((99, 0))
    firmware = ["-L", str(place / "usr/share/qemu"), "-L", str(place / "usr/share/seabios")]
    assert emulator.program((99, 0)) == [str(program), *firmware]
    stand_in(program, "QEMU emulator version 98.0.0")
    with pytest.raises(LabError, match="is older than 99.0"):
        emulator.program((99, 0))


def test_a_release_without_a_newer_one_is_told(
    laboratory: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a Debian that there is not: its mirror refuses."""
    release = tmp_path / "os-release"
    release.write_text('VERSION_CODENAME="buzz"\n')
    monkeypatch.setattr(emulator, "RELEASE", release)
    told = r"QEMU 99.0 or newer is needed, [\d.]+ is installed, and buzz-backports gives none"
    with pytest.raises(LabError, match=told):
        emulator.program((99, 0))
    assert not (laboratory.cache / "qemu" / "backport").exists()


def test_a_machine_of_another_system_is_told(tmp_path: Path) -> None:
    for content in ("ID=other\n", ""):
        (tmp_path / "os-release").write_text(content)
        with pytest.raises(LabError, match="names no Debian release"):
            emulator.codename(tmp_path / "os-release")
    with pytest.raises(LabError, match="names no Debian release"):
        emulator.codename(tmp_path / "none")
