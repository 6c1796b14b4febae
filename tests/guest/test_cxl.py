"""Memory behind CXL: each device of a topology is a node, holds what is put there, and tells what of it is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness import cxl, initramfs, selftests, topology
from harness.cache import REPO
from harness.errors import LabError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.selftests import Selftests

SOURCE = REPO / "tests" / "data" / "nodes" / "nodes.c"
NAMES = tuple(name for name, one in topology.NAMED.items() if one.bridges)
SIZE, PAGES = 1 << 18, 64  # nodes.c
SECONDS = 300.0
BUS = "/sys/bus/cxl/devices"
TRACE = "/sys/kernel/tracing"


@pytest.fixture(scope="module", params=NAMES)
def guest(request: pytest.FixtureRequest, kernels: Callable[[str], Kernel]) -> Iterator[tuple[str, Guest]]:
    built = kernels("lab")
    program = initramfs.compile_static([SOURCE], headers=built.headers, name="nodes", flags=["-D_GNU_SOURCE"])
    with Guest.start(built, topology=request.param, files={"/bin/nodes": program}) as started:
        yield request.param, started


def nodes(name: str) -> dict[int, int]:
    """Node -> MB, of the devices."""
    chosen = topology.named(name)
    return {len(chosen.nodes) + made.window: made.size_mb for made in chosen.regions}


def said(guest: Guest, script: str) -> str:
    done = guest.run(["sh", "-c", script], timeout=SECONDS)
    assert done.code == 0, done.stderr.decode()
    return done.stdout.decode()


def test_each_device_is_a_node_of_all_its_memory_without_processors(guest: tuple[str, Guest]) -> None:
    name, started = guest
    for node, size_mb in nodes(name).items():
        place = f"/sys/devices/system/node/node{node}"
        assert said(started, f"cat {place}/cpulist").strip() == ""
        total = said(started, f"grep MemTotal: {place}/meminfo").split()[-2]
        assert int(total) == size_mb << 10
    assert said(started, "cat /sys/devices/system/node/has_memory").strip() == f"0-{max(nodes(name))}"


def test_the_nodes_are_a_lower_tier(guest: tuple[str, Guest]) -> None:
    name, started = guest
    lines = said(started, "cd /sys/devices/virtual/memory_tiering; grep . memory_tier*/nodelist").splitlines()
    tiers = {int(line.partition("/")[0].removeprefix("memory_tier")): line.partition(":")[2] for line in lines}
    first, last = min(nodes(name)), max(nodes(name))
    assert [tiers[number] for number in sorted(tiers)] == ["0", str(first) if first == last else f"{first}-{last}"]


def test_every_device_of_the_topology_is_in_use(guest: tuple[str, Guest]) -> None:
    name, started = guest
    script = f"for d in {BUS}/region*; do cat $d/commit $d/interleave_ways $d/size; done"
    made = said(started, script).split()
    assert made == [word for size_mb in nodes(name).values() for word in ("1", "1", hex(size_mb << 20))]
    ports = said(started, f"for d in {BUS}/region*; do readlink -f {BUS}/$(cat $d/target0); done").splitlines()
    assert len({port.rsplit("/", 1)[0] for port in ports}) == len(nodes(name))  # decoders of different devices


def test_pages_move_there_and_back_and_objects_lie_where_they_are_marked(guest: tuple[str, Guest]) -> None:
    name, started = guest
    for node in nodes(name):
        done = started.run(["/bin/nodes", str(node)], timeout=SECONDS)
        assert (done.code, done.stderr) == (0, b"")
        found = {key: int(value) for key, value in (line.split() for line in done.stdout.decode().splitlines())}
        assert found == {
            **{"plain_moved": PAGES, "plain_equal": 1, "plain_back": PAGES, "plain_written": 1},
            **{"allocated_there": PAGES, "allocated_equal": 1, "allocated_lower": SIZE},
            **{"before_there": 0, "before_equal": 1, "before_lower": 0, "cold_resident": 0},
            **{"marked_there": PAGES, "marked_equal": 1, "marked_lower": SIZE, "marked_node": node},
        }


def test_a_node_can_be_taken_off_line_and_comes_back(guest: tuple[str, Guest]) -> None:
    name, started = guest
    node, size_mb = max(nodes(name).items())
    place = f"/sys/devices/system/node/node{node}"
    blocks = said(started, f"cd {place}; ls -d memory[0-9]*").split()
    _set(started, blocks, "offline")
    listed = said(started, "cat /sys/devices/system/node/has_memory").strip()
    assert str(node) not in listed.replace("-", ",").split(",")
    _set(started, blocks, "online_movable")
    assert said(started, f"grep MemTotal: {place}/meminfo").split()[-2] == str(size_mb << 10)


def _set(guest: Guest, blocks: list[str], state: str) -> None:
    said(guest, f"set -e; for b in {' '.join(blocks)}; do echo {state} > /sys/devices/system/memory/$b/state; done")


def test_damage_is_in_the_list_of_the_device_that_has_it_and_of_no_other(guest: tuple[str, Guest]) -> None:
    name, started = guest
    assert started.qemu is not None
    last = len(nodes(name)) - 1
    assert _poison(started) == set()
    cxl.inject_poison(started.qemu.monitor, last, 0x1000)
    cxl.inject_poison(started.qemu.monitor, last, 0x8040, 2 * cxl.LINE)
    serial = str(last + 1)
    assert _poison(started) == {(serial, "0x1000", "0x40"), (serial, "0x8040", "0x80")}
    with pytest.raises(LabError, match="QEMU refuses cxl-inject-poison"):
        cxl.inject_poison(started.qemu.monitor, last, 0x1001)


def _poison(guest: Guest) -> set[tuple[str, str, str]]:
    """Serial number, place and length of each entry, as the devices themselves tell them."""
    script = f"""
    echo > {TRACE}/trace && echo 1 > {TRACE}/events/cxl/cxl_poison/enable
    for device in {BUS}/mem*; do echo 1 > $device/trigger_poison_list; done
    echo 0 > {TRACE}/events/cxl/cxl_poison/enable && grep cxl_poison: {TRACE}/trace || true
    """
    lines = said(guest, script).splitlines()
    entries = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
    return {(entry["serial"], entry["dpa"], entry["dpa_length"]) for entry in entries}


def test_a_device_that_is_not_there_is_told(guest: tuple[str, Guest]) -> None:
    _, started = guest
    done = started.run([cxl.MAKE_REGION, "0", "99"], timeout=SECONDS)
    assert done.code == 1 and b"no device within 10 s for serial number 0x63" in done.stderr


def test_selftests_of_memory_pass(kernels: Callable[[str], Kernel]) -> None:
    """Among them: pages of an object move to the other node, and what is known of them stays true."""
    suite = Selftests(kernels("lab"), "cxl")
    try:
        source = suite.kernel.tree / selftests.SUITE / "memory_test.c"
        suite.run(source).judge_whole(selftests.listed(source))
    finally:
        suite.close()
