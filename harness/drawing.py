"""A topology as a person sees it: a tree of boxes, as text or as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from harness.cxl import Bridge, Device, Switch
from harness.topology import Node, Topology

WIDTH, HEIGHT, GAP = 190, 62, 26  # of a box in SVG, and between two
FONT = 'font-family="sans-serif" font-size="12"'


@dataclass(frozen=True)
class Box:
    title: str
    lines: tuple[str, ...] = ()
    below: tuple[Box, ...] = ()

    @property
    def leaves(self) -> int:
        return sum(box.leaves for box in self.below) or 1

    @property
    def depth(self) -> int:
        return 1 + max((box.depth for box in self.below), default=0)


def boxes(topology: Topology, memory_mb: int) -> Box:
    """UsageError: it cannot be with so much memory."""
    if not topology.nodes:
        return Box(topology.name, (topology.summary,), (Box("memory", (f"{memory_mb} MB",)),))
    sizes = topology.memory(memory_mb)
    below = [_node(number, node, size) for number, (node, size) in enumerate(zip(topology.nodes, sizes, strict=True))]
    numbers = iter(range(1 << 8))
    below += [_bridge(number, bridge, len(below), numbers) for number, bridge in enumerate(topology.bridges)]
    return Box(topology.name, (topology.summary,), tuple(below))


def _node(number: int, node: Node, size_mb: int) -> Box:
    kind = "processors and memory" if node.cpus else f"memory only, distance {node.distance}"
    return Box(f"node {number}", (kind, f"{size_mb} MB, {node.latency_ns} ns, {node.bandwidth_gb} GB/s"))


def _bridge(number: int, bridge: Bridge, nodes: int, numbers: Iterator[int]) -> Box:
    ports = (Box(f"root port {port}", (), (_port(below, nodes, numbers),)) for port, below in enumerate(bridge.ports))
    return Box(f"CXL host bridge {number}", (), tuple(ports))


def _port(below: Device | Switch, nodes: int, numbers: Iterator[int]) -> Box:
    if isinstance(below, Device):
        return _device(below, nodes, next(numbers))
    ports = (
        Box(f"downstream port {port}", (), (_device(device, nodes, next(numbers)),))
        for port, device in enumerate(below.devices)
    )
    return Box("CXL switch", (), tuple(ports))


def _device(device: Device, nodes: int, number: int) -> Box:
    return Box(f"mem{number}", (f"{device.size_mb} MB, volatile", f"node {nodes + number}, through window {number}"))


def text(box: Box) -> str:
    return "\n".join(_lines(box, "", "")) + "\n"


def _lines(box: Box, first: str, others: str) -> Iterator[str]:
    yield f"{first}{box.title}{': ' if box.lines else ''}{'; '.join(box.lines)}"
    for below in box.below:
        last = below is box.below[-1]
        yield from _lines(below, others + ("└─ " if last else "├─ "), others + ("   " if last else "│  "))


def svg(box: Box) -> str:
    """From left to right, one column for each level; what is told of the whole stands above."""
    width, height = (WIDTH + GAP) * box.depth - GAP + 2, (HEIGHT + GAP) * box.leaves + GAP
    head = f"{escape(box.title)}: {escape('; '.join(box.lines))}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {FONT}>',
        f'<text x="2" y="16" font-weight="bold">{head}</text>',
        *_drawn(Box(box.title, (), box.below), 0, 0.0),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _middle(box: Box, row: float) -> float:
    return GAP + (row + box.leaves / 2) * (HEIGHT + GAP) - GAP / 2


def _drawn(box: Box, column: int, row: float) -> Iterator[str]:
    left, middle = column * (WIDTH + GAP) + 1, _middle(box, row)
    for below in box.below:
        right, bend = left + WIDTH, left + WIDTH + GAP / 2
        path = f"M{right} {middle} H{bend} V{_middle(below, row)} H{right + GAP}"
        yield f'<path d="{path}" fill="none" stroke="#888"/>'
        yield from _drawn(below, column + 1, row)
        row += below.leaves
    top = middle - HEIGHT / 2
    yield f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#f4f6fa" stroke="#456"/>'
    for number, line in enumerate((box.title, *box.lines)):
        weight = "" if number else ' font-weight="bold"'
        yield f'<text x="{left + 8}" y="{top + 20 + 17 * number}"{weight}>{escape(line)}</text>'
