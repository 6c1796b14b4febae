"""Contents stay right, and all is given back, while temperatures, tiers, limits, nodes and swap change at random.

The guest program is tests/data/chaos/*.c: agents that compare each byte, and weather. A failure tells the seed; the
same seed makes the same choices, though not in the same order.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import corpus, fleet, initramfs, selftests
from harness.cache import REPO
from harness.errors import GuestFault, LabError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.sessions import Session, Source, deal

SOURCES = REPO / "tests" / "data" / "chaos"
RECORDED = REPO.parent / "shared" / "corpus" / "dev.tar.zst"
PROGRAM, TEXTS, PACK = "/bin/chaos", "/tmp/texts", "/tmp/pack"
TEXTS_MAX = 8 << 20  # bytes that objects are cut from
SECONDS = 600.0
# Half of each node can be taken off-line.
MOVABLE = "movablecore=50%"
# Nothing has to come of these: memory may be enough, the kernel may not let go of that page.
MAY_BE_NONE = {"short", "oom_killed", "soft_offlined", "swap_off", "node_off", "node_on", "migrated", "locked"}
OPERATIONS = {"lab": 4000, "debug": 600}
MORE = 20  # times, with --all
SCANS = f"echo scan > {selftests.KMEMLEAK}; echo scan > {selftests.KMEMLEAK}; cat {selftests.KMEMLEAK}"


@pytest.fixture(scope="module")
def source(kernels: Callable[[str], Kernel]) -> Source:
    if RECORDED.is_file():  # given to the project beside its repository, never part of it
        return corpus.load(RECORDED)
    files = sorted((kernels("lab").tree / "mm").glob("*.c"))
    sessions = tuple(Session(path.name, path.read_bytes()[:2000], (), path.read_bytes()) for path in files)
    return Source("test", "memory management", "of the kernel tree", sessions)


@pytest.fixture(scope="module")
def texts(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chaos") / "texts"
    path.write_bytes(b"".join(dict.fromkeys(_texts(source.sessions)))[:TEXTS_MAX])
    return path


def _texts(sessions: tuple[Session, ...]) -> Iterator[bytes]:
    for session in sessions:
        yield session.system_prompt
        yield session.conversation


def start(kernel: Kernel, topology: str, memory_mb: int, append: str = "") -> Guest:
    other = [fleet.SOURCES / "pack.c", fleet.SOURCES / "failure.c"]
    program = initramfs.compile_static(
        [*sorted(SOURCES.glob("*.c")), *other],
        headers=kernel.headers,
        name="chaos",
        flags=["-I", str(fleet.SOURCES)],
    )
    files = {PROGRAM: program}
    return Guest.start(kernel, topology=topology, memory_mb=memory_mb, cpus=2, files=files, append=append)


def chaos(guest: Guest, *arguments: object, timeout: float = SECONDS) -> dict[str, dict[str, Any]]:
    """Its events by name, the last of each. What it finds wrong is the kernel's fault."""
    argv = [PROGRAM, *map(str, arguments)]
    done = guest.run(argv, timeout=timeout)
    guest.check()  # a splat tells more
    found = [json.loads(line) for line in done.stdout.splitlines()]
    told = " ".join(argv) + ": " + "; ".join(event["what"] for event in found if "what" in event)
    if done.code == 1:
        raise GuestFault(told, log=guest.console)
    if done.code != 0:
        raise LabError(f"exit code {done.code}: {told}", log=guest.console)
    return {event["event"]: event for event in found}


def storm(kernel: Kernel, texts: Path, operations: int, agents: int, timeout: float = SECONDS) -> None:
    seed = secrets.randbits(32)
    with start(kernel, "hmat", selftests.MEMORY_MB, MOVABLE) as guest:
        guest.push(texts, TEXTS)
        told = chaos(guest, "storm", TEXTS, seed, operations, agents, timeout=timeout)["storm"]
        if kernel.flavour == "debug":
            assert guest.run(["sh", "-c", SCANS], timeout=SECONDS).stdout == b""
    assert told["operations"] >= operations
    assert [kind for kind, count in told["counts"].items() if not count and kind not in MAY_BE_NONE] == []
    assert told["most"]["stored_bytes"] > 0 and told["most"]["objects_all"] > agents


@pytest.mark.parametrize("flavour", ["lab", pytest.param("debug", marks=pytest.mark.long)])
def test_no_byte_is_wrong_and_nothing_is_left(kernels: Callable[[str], Kernel], flavour: str, texts: Path) -> None:
    storm(kernels(flavour), texts, OPERATIONS[flavour], 8)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("flavour", OPERATIONS)
def test_nor_after_many_more(kernels: Callable[[str], Kernel], flavour: str, texts: Path) -> None:
    storm(kernels(flavour), texts, MORE * OPERATIONS[flavour], 16, timeout=6000)


def test_a_page_before_one_that_stayed_can_be_read(kernels: Callable[[str], Kernel], texts: Path) -> None:
    with start(kernels("lab"), "uma", 512) as guest:
        guest.push(texts, TEXTS)
        told = chaos(guest, "hole", TEXTS, 0, 0, 0, timeout=20)
    assert told["hole"]["resident"] == 4096  # the one that is mapped
    assert "read" in told


@pytest.mark.parametrize(("share", "swap_mb"), [(0.7, 0), (0.35, 64)], ids=["compressed", "swapped"])
def test_every_text_comes_back_under_a_limit(
    kernels: Callable[[str], Kernel], source: Source, tmp_path: Path, share: float, swap_mb: int
) -> None:
    pack = fleet.write_pack(deal(source.sessions, len(source.sessions)), tmp_path / "pack")
    with start(kernels("lab"), "uma", 512) as guest:
        guest.push(pack.path, PACK)
        told = chaos(guest, "corpus", PACK, secrets.randbits(32), int(share * pack.distinct_bytes) >> 10, swap_mb)
    assert (told["put"]["objects"], told["put"]["bytes"]) == (pack.distinct, pack.distinct_bytes)
    assert told["cold"]["resident"] == 0 < told["cold"]["stored"] < pack.distinct_bytes / 2
    assert (told["cold"]["swapped"] > 0) == bool(swap_mb)
    assert told["compared"]["bytes"] == pack.distinct_bytes
    assert 0 < told["compared_again"]["bytes"] == told["dropped"]["left"] < pack.distinct_bytes
    assert told["limit"]["hits"] > 0 and told["limit"]["oom_kills"] == 0
