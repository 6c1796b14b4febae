"""What the measuring program prints is read with suspicion: it comes from a kernel under test."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.bench import program
from harness.bench.program import Output
from harness.errors import GuestFault, LabError
from harness.guest import Result

LOG = Path("/no/console.log")
DONE = {"event": "done"}


def printed(*events: Any, code: int = 0) -> Result:
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return Result(code, b"\n".join(lines) + b"\n", b"")


def read(*events: Any, code: int = 0) -> Output:
    return program.read("test", printed(*events, code=code), LOG)


def series(name: Any = "a.b", values: Any = (1, 2, 3)) -> dict[str, Any]:
    return {"event": "series", "name": name, "values": values}


def slab(**changed: Any) -> dict[str, Any]:
    return {"event": "slab", "name": "memfd", "count": 10, "bytes": 100, "dentries": 10, "files": 10, **changed}


def work(done: Any = (4, 0)) -> dict[str, Any]:
    return {"event": "work", "name": "alloc", "done": done}


def test_what_is_there_is_read() -> None:
    output = read(series(), slab(bytes=-8192), work(), DONE)
    assert output.series == {"a.b": (1, 2, 3)} and output.median("a.b") == 2
    assert output.slabs["memfd"].each == -819.2
    assert output.work == {"alloc": (4, 0)}


@pytest.mark.parametrize(
    "event",
    [
        b"not JSON",
        b"[" * 100_000,
        [],
        {"event": "what"},
        {"event": []},
        series(name=7),
        series(name="x" * 41),
        series(name="\x1b[2J"),
        series(values=[]),
        series(values=[-1]),
        series(values=[True]),
        series(values=[1.5]),
        series(values=[1 << 54]),
        series(values=None),
        slab(count=0),
        slab(bytes="1"),
        work((-1, 1)),
        work((1, 2, 3)),
        {"event": "series"},
    ],
    ids=lambda event: str(event)[:50],
)
def test_what_cannot_be_is_refused(event: Any) -> None:
    with pytest.raises(LabError, match="makes no sense"):
        read(event, DONE)


def test_a_run_that_broke_off_is_no_result() -> None:
    for events, code in (
        ([series()], 0),
        ([DONE, series()], 0),
        ([series(), DONE], 3),
        ([series(), series(), DONE], 0),
    ):
        with pytest.raises(LabError, match="makes no sense"):
            read(*events, code=code)


def test_output_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MAX_OUTPUT", 100)
    with pytest.raises(LabError, match="bytes"):
        read(series(values=[1] * 200), DONE)
    monkeypatch.setattr(program, "MAX_OUTPUT", 1 << 20)
    monkeypatch.setattr(program, "MAX_EVENTS", 3)
    with pytest.raises(LabError, match="lines"):
        read(*[work()] * 4, DONE)


def test_a_call_that_failed_is_the_kernels() -> None:
    error = {"event": "error", "what": "ATTACH \x1b[2J", "error": "Bad address", "errno": 14}
    with pytest.raises(GuestFault) as caught:
        read(series(), error, code=3)
    assert caught.value.cause == "bench test failed: ATTACH ?[2J: Bad address (errno 14)"


@dataclass
class Pretended:
    """A guest whose clock has these readings."""

    pair: int
    loop: int
    empty: int
    console: Path = LOG
    asked: list[list[str]] = field(default_factory=list)

    def run(self, argv: list[str], *, timeout: float) -> Result:
        self.asked.append(argv)
        readings = (("clock.pair", self.pair), ("clock.loop", self.loop), ("clock.empty", self.empty))
        return printed(*(series(name, [value] * 3) for name, value in readings), DONE)

    def check(self) -> None:
        pass


def test_a_clock_that_counts_instructions() -> None:
    guest = Pretended(4, 2_000_005, 232)
    assert program.clock(guest) == program.Clock(4, 228)
    assert guest.asked == [["/bin/bench", "clock", "50"]]


@pytest.mark.parametrize("loop", [1_999_999, 2_500_000, 700_000_000])
def test_a_clock_that_does_not_is_found_out(loop: int) -> None:
    with pytest.raises(LabError, match="does not count"):
        program.clock(Pretended(4, loop, 232))
