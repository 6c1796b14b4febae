# SPDX-License-Identifier: MIT
"""A flame graph as SVG: no script in it, each frame says what it is when it is pointed at."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field
from xml.etree import ElementTree

from agentmem.command.show import plain, size

WIDTH, ROW, MARGIN, HEAD = 1200, 18, 10, 46  # pixels
LETTER = 6.6  # pixels of one, of the font below
LEAST = 0.3  # pixels: what is narrower is not drawn
FONT = "font: 11px ui-monospace, 'DejaVu Sans Mono', monospace"
HUES = (8, 48)  # degrees, from red to yellow


@dataclass
class Frame:
    """A name with what is above it."""

    name: str
    amount: int = 0
    parts: dict[str, Frame] = field(default_factory=dict)

    def depth(self) -> int:
        return 1 + max((part.depth() for part in self.parts.values()), default=0)


def draw(stacks: Counter[tuple[str, ...]], title: str) -> str:
    """The graph, all at the bottom, objects on top."""
    everything = Frame("all")
    for stack, amount in stacks.items():
        frame = everything
        frame.amount += amount
        for name in stack:
            frame = frame.parts.setdefault(name, Frame(name))
            frame.amount += amount
    height = HEAD + everything.depth() * ROW + MARGIN
    box = {"viewBox": f"0 0 {WIDTH} {height}", "width": str(WIDTH), "height": str(height), "style": FONT}
    svg = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **box})
    ElementTree.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": "#fffdf8"})
    head = ElementTree.SubElement(svg, "text", {"x": str(MARGIN), "y": "24", "style": "font-size: 15px"})
    head.text = f"{plain(title)}: {size(everything.amount)}"
    if everything.amount:
        scale = (WIDTH - 2 * MARGIN) / everything.amount
        _frame(svg, everything, MARGIN, height - MARGIN - ROW, scale, everything.amount)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _frame(svg: ElementTree.Element, frame: Frame, x: float, y: float, scale: float, whole: int) -> None:
    width = frame.amount * scale
    if width < LEAST:
        return
    group = ElementTree.SubElement(svg, "g")
    name = plain(frame.name)
    ElementTree.SubElement(group, "title").text = f"{name}: {size(frame.amount)}, {frame.amount / whole:.1%}"
    place = {"x": f"{x:.1f}", "y": str(y), "width": f"{max(width - 0.5, LEAST):.1f}", "height": str(ROW - 1)}
    ElementTree.SubElement(group, "rect", {**place, "fill": _colour(frame.name), "rx": "1"})
    room = int((width - 6) / LETTER)
    if room >= 3:
        text = ElementTree.SubElement(group, "text", {"x": f"{x + 3:.1f}", "y": str(y + 13)})
        text.text = name if len(name) <= room else name[: room - 1] + "…"
    for part in sorted(frame.parts.values(), key=lambda part: (-part.amount, part.name)):
        _frame(svg, part, x, y - ROW, scale, whole)
        x += part.amount * scale


def _colour(name: str) -> str:
    """The same for the same name, in every graph."""
    low, high = HUES
    number = zlib.crc32(name.encode(errors="replace"))
    return f"hsl({low + number % (high - low)}, 85%, {62 + number // 256 % 12}%)"
