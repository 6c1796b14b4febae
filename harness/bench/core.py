"""What the calls cost: instructions in a guest that counts them, the clock where two processors are compared.

Two guests, one after the other. All figures of one line come from the same guest; nothing is compared across guests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.bench import parallel, program, rows, stats
from harness.bench.program import Machine, Output
from harness.bench.rows import Row
from harness.errors import UsageError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.measure import host_available_mb
from harness.progress import Update

OBJECT_BYTES = 6144  # of guest memory, roomy: a page, the inode and what belongs to it
BASE_MB = 768
TEXT = "Documentation/admin-guide/kernel-parameters.txt"  # of the tree: what is compressed
TIMED_MB = 1024


@dataclass(frozen=True)
class Scale:
    """How much is measured: (bytes, repeats); of parallel: (milliseconds, rounds)."""

    objects: tuple[int, int]
    samples: int
    alloc: tuple[tuple[int, int], ...]
    fault: tuple[tuple[int, int], ...]
    read: tuple[int, int]
    warm: tuple[int, int]
    spawn: tuple[int, int]
    parallel: tuple[int, int]
    slab: int
    append: tuple[tuple[int, int], tuple[int, int]]

    @property
    def memory_mb(self) -> int:
        return BASE_MB + -(-max(self.objects) * OBJECT_BYTES // (64 << 20)) * 64


KB, MB = 1 << 10, 1 << 20
FULL = Scale(
    objects=(1_000, 1_000_000),
    samples=5_000,
    alloc=((4 * KB, 400), (64 * KB, 100), (MB, 21), (50 * MB, 3)),
    fault=((4 * KB, 400), (64 * KB, 400), (MB, 100), (16 * MB, 11)),
    read=(4 * MB, 401),
    warm=(128 * KB, 201),
    spawn=(150 * MB, 3),
    parallel=(400, 15),
    slab=20_000,
    append=((10 * KB + 1, 200), (10 * MB + 1, 200)),
)
QUICK = Scale(
    objects=(1_000, 100_000),
    samples=500,
    alloc=((4 * KB, 60), (64 * KB, 11), (MB, 3)),
    fault=((4 * KB, 60), (MB, 11)),
    read=(MB, 101),
    warm=(128 * KB, 21),
    spawn=(8 * MB, 3),
    parallel=(100, 3),
    slab=5_000,
    append=((10 * KB + 1, 50), (MB + 1, 50)),
)


@dataclass(frozen=True)
class Core:
    """All lines, and the distributions behind the instruction counts (by name: quantiles)."""

    rows: tuple[Row, ...]
    series: dict[str, dict[str, float]]
    attach: dict[int, tuple[int, ...]]  # objects in the domain -> instructions of each ATTACH by another agent

    @property
    def missed(self) -> list[Row]:
        return [row for row in self.rows if row.verdict == "missed"]

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": [row.as_json() for row in self.rows],
            "missed": [row.key for row in self.missed],
            "series": self.series,
        }


def measure(built: Kernel, scale: Scale, topology: str, update: Update = lambda _: None) -> Core:
    """Boots what it needs and measures all. UsageError: the machine has not the memory for so many objects."""
    available = host_available_mb()
    if scale.memory_mb > available * 9 // 10:
        cause = f"this takes a guest of {scale.memory_mb} MB, the machine has {available} MB available"
        raise UsageError(cause, hint="harness bench core --quick")
    files = {program.PROGRAM: program.build(built), program.TEXT: built.tree / TEXT}
    update("boot, instructions counted")
    with Guest.start(built, topology=topology, memory_mb=scale.memory_mb, cpus=1, counted=True, files=files) as guest:
        counted = dict(_counted(guest, scale, update))
        clock = program.clock(guest)
    update("boot, two processors")
    with Guest.start(built, topology=topology, memory_mb=TIMED_MB, cpus=2, files=files) as guest:
        update("two processors")
        together = parallel.measure(guest, *scale.parallel)
        update("reading")
        timed = program.run(guest, "read", *scale.read)
    attach = {count: counted[f"attach {count}"] for count in scale.objects}
    lines = [
        *rows.attach(clock, attach),
        *rows.alloc(clock, {count: counted[f"alloc {count}"] for count, _ in scale.alloc}),
        *rows.append(clock, {count: counted[f"append {count}"] for count, _ in scale.append}),
        *rows.read(counted[f"read {scale.read[0]}"], timed),
        *rows.fault(clock, {count: counted[f"fault {count}"] for count, _ in scale.fault}),
        *rows.warm(counted[f"warm {scale.warm[0]}"], clock),
        rows.spawn(counted[f"spawn {scale.spawn[0]}"], clock, scale.spawn[0]),
        *rows.parallel(together),
        *rows.slab(counted[f"slab {scale.slab}"]),
    ]
    series = {
        f"{run}: {name}": stats.quantiles(values)
        for run, output in counted.items()
        for name, values in output.series.items()
    }
    reading = round(clock.reading)
    calls = {
        count: tuple(value - reading for value in output.series["attach.other"]) for count, output in attach.items()
    }
    return Core(tuple(lines), series, calls)


def _counted(guest: Machine, scale: Scale, update: Update) -> Iterator[tuple[str, Output]]:
    """Name of the run -> what it measured; the small before the large, for what is freed is not at once reused."""
    runs: list[tuple[str, tuple[int, ...]]] = [
        ("attach", (scale.objects[0], scale.samples)),
        *(("alloc", one) for one in scale.alloc),
        *(("append", one) for one in scale.append),
        *(("fault", one) for one in scale.fault),
        ("read", (scale.read[0], scale.read[1] // 10 + 1)),
        ("warm", scale.warm),
        ("spawn", scale.spawn),
        ("slab", (scale.slab,)),
        ("attach", (scale.objects[1], scale.samples)),
    ]
    for name, numbers in runs:
        update(f"{name} {numbers[0]:,}")
        yield f"{name} {numbers[0]}", program.run(guest, name, *numbers)
