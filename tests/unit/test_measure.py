"""What is computed from two phases, and the charts of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import charts, measure
from harness.errors import GuestFault, LabError, UsageError
from harness.fleet import Gauge, Mode, Pack, Phase, write_pack
from harness.measure import MB, Measurement
from harness.sessions import Agent

IDLE = Gauge(900 * MB, 800 * MB, 10 * MB, 0, MB, MB, 5 * MB)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return write_pack([Agent("a", (b"p",), (b"t",), (b"c" * MB,))], tmp_path / "pack")


def gauge(less: int, parked: int = 0) -> Gauge:
    """The idle machine with `less` bytes in use, and `parked` bytes more in per-CPU lists."""
    return Gauge(900 * MB - less - parked, 800 * MB, 10 * MB + parked, 0, MB, MB, 5 * MB + less)


def phase(mode: Mode, used: int, *, parked: int = 0, left: int = 0, differ: int = 0) -> Phase:
    held, after = gauge(used, parked), gauge(left, parked)
    return Phase(mode, IDLE, IDLE, held, after, after, 2, 3, differ == 0, differ, "a byte" * differ, ())


def test_free_pages_of_per_cpu_lists_are_not_used(pack: Pack) -> None:
    made = Measurement(pack, phase(Mode.PRIVATE, 30 * MB, parked=7 * MB), phase(Mode.SMU, 10 * MB, left=MB))
    result = made.as_json()
    assert (result["private_used_bytes"], result["smu_used_bytes"]) == (30 * MB, 10 * MB)
    assert (result["private_memcg_bytes"], result["smu_memcg_bytes"]) == (30 * MB, 10 * MB)
    assert (result["private_left_bytes"], result["smu_left_bytes"]) == (0, MB)
    assert (result["ratio"], result["verified"], result["dedup_hits"], result["objects"]) == (3.0, True, 2, 3)
    assert json.loads(json.dumps(result))["phases"]["smu"]["mode"] == "smu"
    assert made.failure(Path("log")) is None


@pytest.mark.parametrize("used", [0, -MB])
def test_no_ratio_without_a_measurable_use(pack: Pack, used: int) -> None:
    made = Measurement(pack, phase(Mode.PRIVATE, MB), phase(Mode.SMU, used))
    assert made.ratio is None
    assert made.as_json()["ratio"] is None


def test_whose_fault_a_different_byte_is(pack: Pack) -> None:
    good, bad = phase(Mode.PRIVATE, MB), phase(Mode.PRIVATE, MB, differ=1)
    assert isinstance(Measurement(pack, good, phase(Mode.SMU, MB, differ=2)).failure(Path("l")), GuestFault)
    assert isinstance(Measurement(pack, bad, phase(Mode.SMU, MB, differ=2)).failure(Path("l")), LabError)


def test_guest_memory_follows_the_fleet(pack: Pack) -> None:
    assert measure.memory_mb(pack) == measure.LEAST_MB
    larger = Pack(pack.path, 100, 1, 1, 400 * MB, MB, "")
    assert measure.memory_mb(larger) >= measure.FIXED_MB + 100 + 600


def test_a_fleet_that_no_guest_can_hold(pack: Pack) -> None:
    with pytest.raises(UsageError, match="needs a guest of"):
        measure.memory_mb(Pack(pack.path, 10, 1, 1, 1 << 50, 1 << 49, ""))


def draw(stem: Path, *values: int) -> tuple[bytes, bytes]:
    bars = [charts.Bar(f"bar {value}", value, "#2e75b6") for value in values]
    png, svg = charts.draw(bars, "title <&>", "subtitle", stem)
    return png.read_bytes(), svg.read_bytes()


def test_chart_is_drawn_and_reproducible(tmp_path: Path) -> None:
    png, svg = draw(tmp_path / "a", 3 * MB, 2 * MB)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"</svg>" in svg
    assert draw(tmp_path / "b", 3 * MB, 2 * MB) == (png, svg)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]


def test_chart_of_nothing_and_less(tmp_path: Path) -> None:
    draw(tmp_path / "zero", 0, 0)
    draw(tmp_path / "negative", MB, -MB)
