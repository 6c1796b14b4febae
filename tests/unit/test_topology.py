"""Topologies: what they say to QEMU, that QEMU takes it, and what is refused."""

from __future__ import annotations

import pytest

from harness import accel, proc, topology
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


@pytest.mark.parametrize("name", topology.NAMED)
@pytest.mark.parametrize("memory_mb", [1024, 1000, 4096])
def test_qemu_takes_every_topology(name: str, memory_mb: int) -> None:
    """The probe's firmware runs on it: QEMU builds the tables before the first instruction."""
    chosen = topology.named(name)
    argv = [accel.QEMU, "-machine", accel.MACHINE + chosen.machine, "-cpu", accel.CPU, "-accel", "tcg"]
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
    with pytest.raises(UsageError, match="uma: .*hmat: "):
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
