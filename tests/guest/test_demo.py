"""The demo in a real guest, small; and the proof that its verification can fail there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import fleet, kernel, measure
from harness.cache import REPO
from harness.errors import LabError
from harness.fleet import Mode, Pack
from harness.guest import Guest
from harness.initramfs import compile_static
from harness.sessions import Agent

RECORDED = REPO.parent / "shared" / "corpus" / "dev.tar.zst"
BOOT_SECONDS = 30  # three times the 10 s that it should take: other tests run at the same time
AGENTS = tuple(
    Agent(f"agent-{k}", (b"You sell widgets.\n" * 300,), (b"tool" * 50,), (b"conversation %d " % k * 9000,))
    for k in range(3)
)


def demo(out: Path, *arguments: str) -> dict[str, Any]:
    argv = [sys.executable, "-m", "harness", "demo", "--json", "--out", str(out), *arguments]
    done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=1800, check=False, cwd=REPO)
    assert done.returncode == 0
    result: dict[str, Any] = json.loads(done.stdout)
    assert json.loads((out / "result.json").read_text()) == result
    return result


def check(result: dict[str, Any], out: Path) -> None:
    assert result["verified"] is True
    assert result["agents"] == 4
    assert result["accelerator"]["name"] in ("kvm", "tcg") and result["accelerator"]["reason"]
    assert 0 < result["boot_seconds"] < BOOT_SECONDS
    assert result["cpus"] == 2 and result["host"]["processors"] >= 1
    assert result["objects"] == result["distinct_texts"]
    assert result["dedup_hits"] == result["texts"] - result["objects"]
    assert result["private_used_bytes"] > result["logical_bytes"] * 0.9
    used = result["smu_used_bytes"]
    assert result["distinct_bytes"] / 10 < used < result["distinct_bytes"], "each text once, compressed"
    phase = result["phases"]["smu"]
    slab = phase["end"]["slab"] - phase["start"]["slab"]  # empty slabs that the allocator keeps come and go
    assert abs(result["smu_left_bytes"] - slab) < 1 << 20, "pages of objects must come back"
    assert (out / "memory.png").stat().st_size > 1000
    assert (out / "memory.svg").stat().st_size > 1000


def test_small_fleet_of_the_default_input(tmp_path: Path) -> None:
    result = demo(tmp_path, "--agents", "4", "--libraries", "c,python,node")
    check(result, tmp_path)
    assert result["input"]["conversations"] == 16
    figures = ("agents", "texts", "objects", "logical_bytes", "dedup_hits")
    assert list(result["libraries"]) == ["c", "python", "node"]
    for held in result["libraries"].values():
        assert held["verified"] is True
        assert held["backend"] == "kernel"
        assert [held[name] for name in figures] == [result[name] for name in figures]
        assert held["resident_bytes"] == 0 < held["stored_bytes"] < held["unique_bytes"]


if RECORDED.is_file():  # given to the project beside its repository, never part of it

    def test_small_fleet_of_the_recorded_corpus(tmp_path: Path) -> None:
        result = demo(tmp_path, "--agents", "4", "--corpus", str(RECORDED), "--libraries", "none")
        check(result, tmp_path)
        assert result["input"]["conversations"] == 843


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    built = kernel.build()
    program = compile_static(sorted(fleet.SOURCES.glob("*.c")), headers=built.headers, name="fleet")
    with Guest.start(built, memory_mb=measure.LEAST_MB, files={measure.PROGRAM: program}) as started:
        yield started


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return fleet.write_pack(AGENTS, tmp_path / "pack")


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("text", [0, 4, 8])
def test_one_altered_byte_fails_the_verification(guest: Guest, pack: Pack, mode: Mode, text: int) -> None:
    guest.push(pack.path, measure.PACK)
    argv = fleet.command(mode, measure.PACK, program=measure.PROGRAM, damage=text)
    phase = fleet.read_phase(mode, pack, guest.run(argv, timeout=300), guest.console)
    assert not phase.verified
    assert phase.differ == 1
    assert f"text {text}," in phase.first_difference
    guest.check()


def test_a_pack_damaged_on_its_way_is_not_blamed_on_the_kernel(guest: Guest, pack: Pack) -> None:
    content = bytearray(pack.path.read_bytes())
    content[-1] ^= 1
    pack.path.write_bytes(content)
    with pytest.raises(LabError, match="SHA-256 differs"):
        measure.run(guest, pack)


def test_whole_measurement_and_its_failure(guest: Guest, pack: Pack) -> None:
    good = measure.run(guest, pack)
    assert good.verified
    assert (good.smu.objects, good.smu.dedup_hits) == (5, 4)
    assert good.failure(guest.console) is None
    bad = measure.run(guest, pack, damage=2)
    assert not bad.verified
    assert isinstance(bad.failure(guest.console), LabError)
