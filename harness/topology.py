"""The guest's memory as typed data, rendered to QEMU arguments; what cannot be is refused here, before a boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import cxl
from harness.cxl import Bridge, Device, Region, Switch
from harness.errors import UsageError

BLOCK_MB = 128  # a node starts and ends where Linux has a memory block, so that all of it can be moved or removed
LEAST_QEMU = (7, 2)  # Debian 12's
LOCAL, FARTHEST = 10, 254  # ACPI's range of distances


@dataclass(frozen=True)
class Node:
    """One NUMA node. share: parts of the guest's memory; latency_ns and bandwidth_gb (GB/s) are what HMAT tells."""

    share: int
    latency_ns: int
    bandwidth_gb: int
    cpus: bool = True  # the guest's processors are all in one node
    distance: int = LOCAL  # as seen from the node with the processors


@dataclass(frozen=True)
class Topology:
    """A machine's memory. No nodes: plain memory, and QEMU makes no tables about it. bridges: what is behind CXL."""

    name: str
    summary: str
    nodes: tuple[Node, ...] = field(default=())
    bridges: tuple[Bridge, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.bridges:
            cxl.check(self.name, self.bridges, len(self.nodes))
        if not self.nodes:
            return
        if [node.cpus for node in self.nodes].count(True) != 1 or not self.nodes[0].cpus:
            raise ValueError(f"{self.name}: the first node has the processors, and only that one")
        for node in self.nodes:
            if node.share < 1 or not 0 < node.latency_ns < 1 << 16 or node.bandwidth_gb < 1:
                raise ValueError(f"{self.name}: share, latency and bandwidth are positive")
            if (node.distance == LOCAL) != node.cpus or not LOCAL <= node.distance <= FARTHEST:
                raise ValueError(f"{self.name}: distance {LOCAL} is the own node's, another one's is up to {FARTHEST}")

    @property
    def machine(self) -> str:
        """Options of -machine, beginning with a comma if there are any."""
        return (",hmat=on" if self.nodes else "") + (",cxl=on" if self.bridges else "")

    @property
    def emulated(self) -> str:
        """Why the processors cannot be the host's, empty if they can."""
        return "memory behind CXL is emulated access by access, no processor runs code in it" if self.bridges else ""

    @property
    def command_line(self) -> str:
        """Words for the guest's kernel."""
        return cxl.COMMAND_LINE if self.bridges else ""

    @property
    def least_qemu(self) -> tuple[int, int]:
        return cxl.LEAST_QEMU if self.bridges else LEAST_QEMU

    @property
    def files(self) -> Mapping[str, Path]:
        """What the guest needs to make them: path in the guest -> local file."""
        return {cxl.MAKE_REGION: cxl.SOURCE} if self.bridges else {}

    @property
    def regions(self) -> list[Region]:
        """What has to be made in the guest before its memory is there."""
        return cxl.regions(self.bridges)

    def memory(self, total_mb: int) -> list[int]:
        """MB for each node. UsageError if a node would have less than one memory block."""
        parts = sum(node.share for node in self.nodes)
        rest = [total_mb * node.share // parts // BLOCK_MB * BLOCK_MB for node in self.nodes[1:]]
        sizes = [total_mb - sum(rest), *rest]
        if min(sizes) < BLOCK_MB:
            least = BLOCK_MB * parts
            raise UsageError(f"topology {self.name} needs --memory {least} or more, not {total_mb}")
        return sizes

    def arguments(self, total_mb: int) -> list[str]:
        """QEMU's arguments for memory and nodes."""
        argv = ["-m", f"{total_mb}M"]
        if not self.nodes:
            return argv
        if self.bridges:
            cxl.check_memory(self.name, total_mb)
        for number, (node, size) in enumerate(zip(self.nodes, self.memory(total_mb), strict=True)):
            owner = "" if node.cpus else ",initiator=0"
            argv += ["-object", f"memory-backend-ram,id=node{number},size={size}M"]
            argv += ["-numa", f"node,nodeid={number},memdev=node{number}{owner}"]
        argv += ["-numa", "cpu,node-id=0,socket-id=0"]
        for number, node in enumerate(self.nodes):
            if not node.cpus:
                argv += ["-numa", f"dist,src=0,dst={number},val={node.distance}"]
            path = f"hmat-lb,initiator=0,target={number},hierarchy=memory"
            argv += ["-numa", f"{path},data-type=access-latency,latency={node.latency_ns}"]
            argv += ["-numa", f"{path},data-type=access-bandwidth,bandwidth={node.bandwidth_gb}G"]
        return argv + cxl.arguments(self.bridges)


NAMED: Mapping[str, Topology] = {
    one.name: one
    for one in (
        Topology("uma", "one memory, all alike"),
        Topology(
            "hmat",
            "two nodes, 100 and 300 ns; the second is memory only",
            (
                Node(share=1, latency_ns=100, bandwidth_gb=100),
                Node(share=1, latency_ns=300, bandwidth_gb=20, cpus=False, distance=30),
            ),
        ),
        Topology(
            "cxl",
            "one node, and a CXL device that becomes a second one; for function tests only",
            (Node(share=1, latency_ns=100, bandwidth_gb=100),),
            (Bridge((Device(),)),),
        ),
        Topology(
            "cxl-switch",
            "one node, and two CXL devices behind a switch that become two more; for function tests only",
            (Node(share=1, latency_ns=100, bandwidth_gb=100),),
            (Bridge((Switch((Device(), Device())),)),),
        ),
    )
}


def named(name: str) -> Topology:
    """The topology of that name; UsageError lists what there is."""
    if name not in NAMED:
        raise UsageError(
            f"there is no topology {name!r}; it is one of: {', '.join(NAMED)}", hint="harness boot --topology T --draw"
        )
    return NAMED[name]


def measured(name: str) -> Topology:
    """The same, for figures. UsageError: it is not for figures."""
    chosen = named(name)
    if chosen.emulated:
        raise UsageError(f"nothing is measured on topology {name}: {chosen.emulated}", hint="--topology hmat")
    return chosen


def described(topologies: Sequence[Topology] = tuple(NAMED.values())) -> str:
    """For a help text."""
    return "; ".join(f"{one.name}: {one.summary}" for one in topologies)
