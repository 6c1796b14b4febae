"""What a result says of the machine below it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import accel, emulator, host


def test_the_machine_is_described(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Processor 7\nprocessor\t: 1\n")
    (tmp_path / "meminfo").write_text("MemTotal:        2097152 kB\nMemFree:          100 kB\n")
    told = host.describe(tmp_path)
    assert (told["cpu"], told["memory_mb"], told["processors"]) == ("A Processor 7", 2048, os.cpu_count())
    assert "model name" not in host.shown(told) and "A Processor 7" in host.shown(told)


def test_a_processor_without_a_name_is_told_by_its_architecture(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    (tmp_path / "meminfo").write_text("MemTotal:        2097152 kB\n")
    assert host.describe(tmp_path)["cpu"] == os.uname().machine


def test_so_is_what_runs_the_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "probe", lambda machine: accel.Accel("kvm", "for this test"))
    told = host.with_guests(("uma", 2, False), ("uma", 1, True))
    plain, counted = told["guests"]
    assert (plain["accelerator"], plain["reason"], plain["processors"]) == ("kvm", "for this test", 2)
    assert (counted["accelerator"], counted["reason"]) == ("tcg", "instructions are counted")
    assert plain["qemu"] == emulator.release(accel.QEMU)
    line = host.shown(told)
    assert f"2 processors by QEMU {plain['qemu']} (kvm)" in line and "1 processor by" in line
