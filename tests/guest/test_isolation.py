"""No domain learns by time what another one holds: instruction counts of what is elsewhere and of what is nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import kernel
from harness.bench import isolation, program
from harness.bench.isolation import Isolation
from harness.guest import Guest


@pytest.fixture(scope="module")
def measured() -> Iterator[Isolation]:
    """That the answers are right (ENOENT, no DEDUP) is checked with each call, in the guest."""
    built = kernel.build()
    files = {program.PROGRAM: program.build(built)}
    with Guest.start(built, memory_mb=isolation.MEMORY_MB, cpus=1, counted=True, files=files) as guest:
        yield isolation.probe(guest, isolation.QUICK)


@pytest.mark.parametrize("place", range(len(isolation.PROBES)), ids=[probe.key for probe in isolation.PROBES])
def test_distributions_of_instruction_counts(measured: Isolation, place: int) -> None:
    """What is elsewhere looks like what is nowhere; what is one's own does not, by the same statistic."""
    line = measured.lines[place]
    assert min(len(line.first), len(line.second)) > isolation.QUICK.samples * 0.9
    assert line.differs == line.probe.control, line.as_json()
    if line.probe.control:
        assert line.comparison.distance > 0.9
