"""From measurements to verdicts and pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench import core, draw, isolation, rows
from harness.bench.parallel import OPERATIONS, Phase, Round, Usage, usages
from harness.bench.program import Clock, Output, Slab
from harness.bench.rows import Row
from harness.errors import GuestFault, LabError

CLOCK = Clock(4, 228)
KINDS = ("other", "own", "growing", "held", "close", "miss", "open")


def attach(instructions: int) -> Output:
    return Output(series={f"attach.{kind}": (instructions + 4,) * 5 for kind in KINDS})


def by_key(lines: list[Row]) -> dict[str, Row]:
    return {row.key: row for row in lines}


def test_verdicts() -> None:
    assert Row("k", "t", "ratio", 1.0, 1.0).verdict == "met"
    assert Row("k", "t", "ratio", 1.1, 1.0).verdict == "missed"
    assert Row("k", "t", "ratio", 1.1, 1.0, at_least=True).verdict == "met"
    assert Row("k", "t", "ratio", 1.1, 1.8, at_least=True, undecided="a busy machine").verdict == "undecided"
    assert Row("k", "t", "ratio", 1.9, 1.8, at_least=True, undecided="a busy machine").verdict == "met"
    assert Row("k", "t", "ratio", 1.1).verdict == ""
    assert Row("k", "t", "ratio", 0.9, 1.8, at_least=True).share == 2.0
    assert Row("k", "t", "", 0, 0).share is None


def test_attach_by_its_number_of_objects() -> None:
    told = by_key(rows.attach(CLOCK, {1000: attach(1900), 100_000: attach(2300)}))
    assert (told["attach.other.1000"].measured, told["attach.other.1000"].verdict) == (1900, "met")
    assert told["attach.own.100000"].verdict == "missed"
    assert told["attach.other.growth"].verdict == "missed"
    assert "beyond an empty call 1672" in told["attach.other.1000"].detail
    assert told["empty"].measured == 228


def test_allocation_against_copy_and_hash() -> None:
    values = {"first": 1304, "duplicate": 1404, "copy": 104, "hash": 904}
    output = Output(series={f"alloc.{kind}": (value,) for kind, value in values.items()})
    told = by_key(rows.alloc(CLOCK, {4096: output}))
    assert (told["alloc.first.4096"].measured, told["alloc.first.4096"].verdict) == (1.3, "met")
    assert (told["alloc.duplicate.4096"].measured, told["alloc.duplicate.4096"].verdict) == (1.4, "missed")
    assert "without SHA-256 on both sides 4.00" in told["alloc.first.4096"].detail
    assert [rows.size(count) for count in (50 << 20, 64 << 10, 100)] == ["50 MB", "64 KB", "100 B"]


def test_a_busy_machine_decides_nothing_about_two_processors() -> None:
    def measured(compute: int, alloc: int) -> dict[str, list[Round]]:
        both = dict.fromkeys(OPERATIONS, alloc) | {"compute": compute, "memfd": compute}
        alone = Phase((100, 0), (1.0, 1.0)), Phase((0, 100), (1.0, 1.0))
        return {name: [Round(alone[0], Phase((n, n), (1.0, 1.0)), alone[1])] for name, n in both.items()}

    assert [row.verdict for row in rows.parallel(measured(95, 92))] == ["met", "met", "met", "", ""]
    assert rows.parallel(measured(95, 70))[0].verdict == "missed"
    busy = rows.parallel(measured(60, 57))[0]
    assert busy.verdict == "undecided" and "computing alone gains 1.20 here" in busy.undecided


def test_what_the_machine_took_away_is_given_back() -> None:
    alone = Phase((50, 0), (0.5, 1.0)), Phase((0, 100), (0.1, 1.0))
    one = Round(alone[0], Phase((40, 60), (0.5, 0.6)), alone[1])
    assert one.scaling == pytest.approx(1.8)
    assert one.plain == pytest.approx(200 / 150)


def test_usage_of_the_processors_threads(tmp_path: Path) -> None:
    def thread(number: int, name: str, ran: int, waited: int) -> None:
        place = tmp_path / "7" / "task" / str(number)
        place.mkdir(parents=True, exist_ok=True)
        (place / "comm").write_text(name + "\n")
        (place / "schedstat").write_text(f"{ran} {waited} 3\n")

    thread(7, "qemu-system-x86", 1, 1)
    thread(9, "CPU 1/TCG", 300, 100)
    with pytest.raises(LabError, match="not among its threads"):
        usages(7, tmp_path)
    thread(8, "CPU 0/TCG", 20, 20)
    before = usages(7, tmp_path)
    assert before == [Usage(20, 20), Usage(300, 100)]
    assert (Usage(50, 30).share(before[0]), before[1].share(before[1])) == (0.75, 1.0)


def test_kernel_memory() -> None:
    grown = {
        "memfd": Slab(10, 10_000, 10, 10),
        "object": Slab(10, 11_500, 10, 10),
        "again": Slab(10, 1_950, 0, 10),
        "other": Slab(10, 2_900, 10, 10),
        "file": Slab(21, 4_096, 0, 21),
    }
    told = by_key(rows.slab(Output(slabs=grown)))
    assert (told["slab.object"].measured, told["slab.object"].verdict) == (150, "missed")
    assert told["slab.again"].verdict == told["slab.again.dentries"].verdict == told["slab.other"].verdict == "met"
    assert told["slab.other.dentries"].verdict == "missed"


def output_of(elsewhere: tuple[int, ...], own: tuple[int, ...]) -> Output:
    nobody = (900, 910, 920) * 100
    series = {"attach.elsewhere": elsewhere, "attach.own": own, "alloc.elsewhere": nobody, "alloc.own": own}
    return Output(
        series={
            **series,
            **{f"{call}.{name}": nobody for call in ("attach", "alloc") for name in ("nowhere", "not_own")},
        }
    )


def test_isolation_is_judged_with_its_control() -> None:
    same, other = (900, 910, 920) * 100, (1800,) * 300
    good = isolation.judge(output_of(same, other), reading=4)
    assert good.failure(Path("/log")) is None and good.as_json()["good"] is True
    assert min(good.lines[0].first) == 896
    told = isolation.judge(output_of(other, other)).failure(Path("/log"))
    assert isinstance(told, GuestFault) and "can be told by time" in told.cause
    blind = isolation.judge(output_of(same, same)).failure(Path("/log"))
    assert isinstance(blind, LabError) and "looks like what is not" in blind.cause


def test_pictures(tmp_path: Path) -> None:
    lines = rows.attach(CLOCK, {1000: attach(1900), 100_000: attach(2300)})
    judged = isolation.judge(output_of((900, 910, 920) * 100, (1800,) * 300))
    drawn = [
        draw.goals(lines, tmp_path / "goals"),
        draw.attach({1000: (1900, 1910), 100_000: (1900, 2000)}, tmp_path / "attach"),
        draw.isolation(judged, tmp_path / "isolation"),
    ]
    for png, svg in drawn:
        assert png.read_bytes().startswith(b"\x89PNG") and "<svg" in svg.read_text()


@pytest.mark.parametrize("scale", [core.FULL, core.QUICK])
def test_the_guest_has_room_for_its_objects(scale: core.Scale) -> None:
    assert scale.memory_mb << 20 > max(scale.objects) * 5600 + (256 << 20)
