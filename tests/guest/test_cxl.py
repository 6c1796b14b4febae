"""Memory behind CXL: each device of a topology is a node, holds what is put there, and tells what of it is damaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from harness import cxl, initramfs, selftests, topology
from harness.cache import REPO
from harness.errors import LabError
from harness.frames import Kind
from harness.guest import Guest
from harness.kernel import Kernel
from harness.selftests import Selftests

SOURCE = REPO / "tests" / "data" / "nodes" / "nodes.c"
NAMES = tuple(name for name, one in topology.NAMED.items() if one.bridges)
SIZE, PAGES, DAMAGED, NONE = 1 << 18, 64, 5, -1  # nodes.c
SOUND = {"read": PAGES, "mapped": PAGES, "eio": NONE, "sigbus": NONE}  # of each object that it holds
OBJECTS = ("resident", "neighbour", "cold")
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


def test_objects_on_a_node_survive_that_it_is_taken_off_line(guest: tuple[str, Guest]) -> None:
    name, started = guest
    node = max(nodes(name))
    place = f"/sys/devices/system/node/node{node}"
    blocks = said(started, f"cd {place}; ls -d memory[0-9]*").split()
    compressed = _compressed_pages(started, node)
    with Held(started, node) as held:
        assert [held.first[f"{one}_there"] for one in OBJECTS] == [PAGES] * 3
        assert _compressed_pages(started, node) > compressed  # those of the cold object
        _set(started, blocks, "offline")
        assert _compressed_pages(started, node) == 0
        found = held.look()
        _set(started, blocks, "online_movable")
        later = held.look()
    assert (found["cold_compressed"], later["cold_compressed"]) == (1, 0)  # it is read after the node is gone
    for key, value in {**SOUND, "there": 0}.items():
        assert [found[f"{one}_{key}"] for one in OBJECTS] == [value] * 3
        assert [later[f"{one}_{key}"] for one in OBJECTS] == [value] * 3


class Held:
    """A run of `nodes NODE hold`: its objects exist as long as the `with` block."""

    def __init__(self, guest: Guest, node: int) -> None:
        self._guest = guest
        self._session = guest.open(["/bin/nodes", str(node), "hold"])

    def __enter__(self) -> Held:
        self.first = self._report()
        return self

    def __exit__(self, *_: object) -> None:
        self._session.end_input()
        while not self._session.ended:
            self._guest.take(self._session)

    def look(self) -> dict[str, int]:
        """Compares all bytes of the objects."""
        self._session.write(b"\n")
        return self._report()

    def _report(self) -> dict[str, int]:
        text, end = b"", time.monotonic() + SECONDS
        while not text.endswith(b"end\n"):
            assert time.monotonic() < end, text
            frame = self._guest.take(self._session)
            assert frame is None or frame.kind is Kind.OUTPUT, frame
            text += frame.payload if frame else b""
        return {key: int(value) for key, value in (line.split() for line in text.decode().splitlines()[:-1])}


def _compressed_pages(guest: Guest, node: int) -> int:
    return int(said(guest, f"grep nr_zspages /sys/devices/system/node/node{node}/vmstat").split()[1])


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


def test_a_page_that_is_damaged_is_an_error_of_one_object_in_one_place(guest: tuple[str, Guest]) -> None:
    """QEMU raises no machine check for poison, so the kernel is told of the page by hard_offline_page."""
    name, started = guest
    assert started.qemu is not None
    node = max(nodes(name))
    device = len(nodes(name)) - 1
    with Held(started, node) as held:
        address = held.first["resident_address"]
        start = address - _start_of_region(started, address)
        cxl.inject_poison(started.qemu.monitor, device, start)
        listed = [entry for entry in _poison_list(started) if entry["dpa"] == hex(start)]
        assert [(entry["serial"], entry["hpa"]) for entry in listed] == [(str(device + 1), hex(address))]
        said(started, f"echo {address:#x} > /sys/devices/system/memory/hard_offline_page")
        found = held.look()
    damaged = {"read": PAGES - 1, "mapped": PAGES - 1, "eio": DAMAGED, "sigbus": DAMAGED}
    for key, value in SOUND.items():
        assert [found[f"{one}_{key}"] for one in OBJECTS] == [damaged[key], value, value]


def _start_of_region(guest: Guest, address: int) -> int:
    """Where the region begins that has this physical address. It is all memory of one device, from its byte 0 on."""
    words = said(guest, f"for r in {BUS}/region*; do cat $r/resource $r/size; done").split()
    starts = zip((int(word, 16) for word in words[::2]), (int(word, 16) for word in words[1::2]), strict=True)
    (found,) = [start for start, size in starts if start <= address < start + size]
    return found


def _poison(guest: Guest) -> set[tuple[str, str, str]]:
    """Serial number, place and length of each entry."""
    return {(entry["serial"], entry["dpa"], entry["dpa_length"]) for entry in _poison_list(guest)}


def _poison_list(guest: Guest) -> list[dict[str, str]]:
    """Each entry as the devices themselves tell it, and where the kernel says that place is."""
    script = f"""
    echo > {TRACE}/trace && echo 1 > {TRACE}/events/cxl/cxl_poison/enable
    for device in {BUS}/mem*; do echo 1 > $device/trigger_poison_list; done
    echo 0 > {TRACE}/events/cxl/cxl_poison/enable && grep cxl_poison: {TRACE}/trace || true
    """
    lines = said(guest, script).splitlines()
    return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]


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
