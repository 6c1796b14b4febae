"""Topologies: what they say to QEMU, that QEMU takes it, and what is refused."""

from __future__ import annotations

import pytest

from harness import accel, cxl, emulator, proc, topology
from harness.cxl import Bridge, Device, Switch
from harness.errors import UsageError
from harness.topology import Node, Topology

NEAR = Node(share=1, latency_ns=100, bandwidth_gb=100)


def far(share: int = 1, distance: int = 30) -> Node:
    return Node(share=share, latency_ns=300, bandwidth_gb=20, cpus=False, distance=distance)


def test_plain_memory_has_no_tables() -> None:
    uma = topology.named("uma")
    assert uma.arguments(1024) == ["-m", "1024M"]
    assert uma.machine == ""


def test_two_nodes_with_their_latencies() -> None:
    said = " ".join(topology.named("hmat").arguments(1024))
    assert topology.named("hmat").machine == ",hmat=on"
    for part in (
        "memory-backend-ram,id=node0,size=512M",
        "node,nodeid=1,memdev=node1,initiator=0",
        "dist,src=0,dst=1,val=30",
        "target=0,hierarchy=memory,data-type=access-latency,latency=100",
        "target=1,hierarchy=memory,data-type=access-latency,latency=300",
    ):
        assert part in said


FULL = Bridge((Device(512), Switch((Device(),) * 3)))
LARGEST = Topology("largest", "all that the rules allow", (NEAR, far()), (FULL,) * cxl.MAX_BRIDGES)


@pytest.mark.parametrize("chosen", [*topology.NAMED.values(), LARGEST], ids=lambda one: one.name)
@pytest.mark.parametrize("memory_mb", [1024, 1000, 4096])
def test_qemu_takes_every_topology(chosen: Topology, memory_mb: int) -> None:
    """The probe's firmware runs on it: QEMU builds the tables before the first instruction."""
    argv = emulator.program(chosen.least_qemu)
    argv += ["-machine", accel.MACHINE + chosen.machine, "-cpu", accel.CPU, "-accel", "tcg"]
    argv += ["-smp", "cpus=2,sockets=1", *chosen.arguments(memory_mb), "-bios", str(accel.firmware()), "-nodefaults"]
    argv += ["-display", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    done = proc.run(argv, timeout=30, check=False)
    assert (done.code, done.stderr) == (accel.GOOD, "")


def test_all_memory_is_given_out_in_whole_blocks() -> None:
    hmat = topology.named("hmat")
    assert hmat.memory(1024) == [512, 512]
    assert hmat.memory(1000) == [616, 384]
    assert Topology("t", "", (NEAR, far(3))).memory(1024) == [256, 768]


@pytest.mark.parametrize("memory_mb", [0, 128, 255])
def test_too_little_memory_for_the_nodes(memory_mb: int) -> None:
    with pytest.raises(UsageError, match="--memory 256 or more"):
        topology.named("hmat").arguments(memory_mb)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="uma, hmat, "):
        topology.named("cube")


@pytest.mark.parametrize(
    "nodes",
    [
        (far(), NEAR),
        (NEAR, NEAR),
        (far(),),
        (NEAR, far(0)),
        (NEAR, far(distance=10)),
        (NEAR, far(distance=255)),
        (Node(share=1, latency_ns=0, bandwidth_gb=1),),
        (Node(share=1, latency_ns=1 << 16, bandwidth_gb=1),),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_written_down(nodes: tuple[Node, ...]) -> None:
    with pytest.raises(ValueError, match="broken: "):
        Topology("broken", "", nodes)


# -- CXL


def test_a_device_is_seen_through_a_window_of_its_bridge() -> None:
    said = " ".join(topology.named("cxl").arguments(1024))
    assert topology.named("cxl").machine == ",hmat=on,cxl=on"
    for part in (
        "pxb-cxl,bus=pcie.0,bus_nr=32,hdm_for_passthrough=on,id=bridge0",
        "cxl-rp,bus=bridge0,port=0,chassis=0,slot=1,id=port1",
        "memory-backend-ram,id=mem0-memory,size=256M",
        "cxl-type3,bus=port1,volatile-memdev=mem0-memory,sn=1,id=mem0",
        "-machine cxl-fmw.0.targets.0=bridge0,cxl-fmw.0.size=256M",
    ):
        assert part in said


def test_devices_behind_a_switch_have_a_port_and_a_window_each() -> None:
    chosen = topology.named("cxl-switch")
    said = " ".join(chosen.arguments(1024))
    for part in (
        "cxl-upstream,bus=port1,id=switch1",
        "cxl-downstream,bus=switch1,port=0,chassis=0,slot=2,id=port2",
        "cxl-downstream,bus=switch1,port=1,chassis=0,slot=3,id=port3",
        "cxl-type3,bus=port3,volatile-memdev=mem1-memory,sn=2,id=mem1",
        "cxl-fmw.1.targets.0=bridge0,cxl-fmw.1.size=256M",
    ):
        assert part in said
    assert [(made.window, made.serial) for made in chosen.regions] == [(0, 1), (1, 2)]


def test_two_bridges_have_buses_and_windows_of_their_own() -> None:
    two = (Bridge((Device(512),)), Bridge((Switch((Device(), Device())),)))
    said = " ".join(Topology("t", "", (NEAR,), two).arguments(1024))
    for part in ("bus_nr=32,", "bus_nr=64,", "cxl-fmw.0.targets.0=bridge0,cxl-fmw.0.size=512M"):
        assert part in said
    assert "cxl-fmw.2.targets.0=bridge1,cxl-fmw.2.size=256M" in said


@pytest.mark.parametrize("size_mb", [0, -256, 255, 384])
def test_a_device_has_whole_units(size_mb: int) -> None:
    with pytest.raises(ValueError, match=f"a CXL device has a multiple of 256 MB, not {size_mb}"):
        Device(size_mb)


def test_a_switch_and_a_bridge_have_something_below_them() -> None:
    with pytest.raises(ValueError, match="a CXL switch has a device below it"):
        Switch(())
    with pytest.raises(ValueError, match="a CXL host bridge has a root port with something below it"):
        Bridge(())


def test_a_bridge_has_a_decoder_for_each_device() -> None:
    assert len(Bridge((Switch((Device(),) * 3), Device())).devices) == cxl.DECODERS
    with pytest.raises(ValueError, match="a CXL host bridge has 4 decoders, too few for 5 devices"):
        Bridge((Switch((Device(),) * 4), Device()))


def test_cxl_needs_a_node_for_the_processors() -> None:
    """QEMU ends with a segmentation fault when memory is onlined that no table gives a node."""
    with pytest.raises(ValueError, match="broken: without a node of its processors"):
        Topology("broken", "", (), (Bridge((Device(),)),))


def test_bus_numbers_end() -> None:
    with pytest.raises(ValueError, match="broken: 4 CXL host bridges have bus numbers, not 5"):
        Topology("broken", "", (NEAR,), (Bridge((Device(),)),) * 5)


def test_memory_behind_cxl_is_beside_the_guests_own() -> None:
    with pytest.raises(UsageError, match="cxl needs --memory 512 or more, not 511"):
        topology.named("cxl").arguments(511)


def test_nothing_is_measured_where_memory_is_emulated() -> None:
    assert topology.measured("hmat").name == "hmat"
    with pytest.raises(UsageError, match="nothing is measured on topology cxl: .* access by access"):
        topology.measured("cxl")
