"""The probe: the real firmware on the real QEMU, emulated; and what is said when a machine cannot run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import accel
from harness.accel import Accel
from tests.unit.laboratory import Laboratory


def test_the_firmware_computes_in_64_bit_mode() -> None:
    assert accel.firmware().stat().st_size == 64 << 10
    assert accel.execute("tcg", accel.MACHINE, accel.CPU) == ""


def test_a_processor_without_64_bit_mode_is_found_out() -> None:
    assert "64-bit code" in accel.execute("tcg", accel.MACHINE, "qemu32")


def test_qemus_own_words_are_told() -> None:
    assert "no-such-cpu" in accel.execute("tcg", accel.MACHINE, "no-such-cpu")


def test_a_guest_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    idle = bytearray(64 << 10)
    idle[0xFFF0:0xFFF3] = b"\xf4\xeb\xfd"  # hlt; jmp to it
    rom = tmp_path / "idle.rom"
    rom.write_bytes(idle)
    monkeypatch.setattr(accel, "firmware", lambda: rom)
    monkeypatch.setattr(accel, "PATIENCE", 0.5)
    assert "hangs" in accel.execute("tcg", accel.MACHINE, accel.CPU)


def test_without_kvm_it_is_emulation_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accel, "KVM", tmp_path / "kvm")
    assert accel.probe() == Accel("tcg", f"this machine has no {tmp_path}/kvm")


def test_something_that_opens_but_executes_nothing_is_not_trusted(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretender = tmp_path / "kvm"
    pretender.touch()
    monkeypatch.setattr(accel, "KVM", pretender)
    found = accel.probe(cpu="no-such-cpu")  # no KVM can execute anything under it
    assert found.name == "tcg"
    assert str(pretender) in found.reason and "opens, but" in found.reason


def test_a_verdict_holds_for_one_boot_of_the_host_and_one_machine(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretender, boot = tmp_path / "kvm", tmp_path / "boot_id"
    pretender.touch()
    boot.write_text("one\n")
    monkeypatch.setattr(accel, "KVM", pretender)
    monkeypatch.setattr(accel, "BOOT_ID", boot)
    first = accel.probe(cpu="no-such-cpu")
    (kept,) = (laboratory.cache / "accel").iterdir()
    assert Accel(**json.loads(kept.read_text())) == first
    kept.write_text('{"name": "kvm", "reason": "remembered"}')
    assert accel.probe(cpu="no-such-cpu").reason == "remembered"
    assert accel.probe(cpu="no-other-cpu").name == "tcg"
    boot.write_text("two\n")
    assert accel.probe(cpu="no-such-cpu") == first
    boot.write_text("one\n")
    kept.write_text("half a fi")
    assert accel.probe(cpu="no-such-cpu") == first
