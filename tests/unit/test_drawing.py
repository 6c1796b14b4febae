"""Drawings: every part of a topology is in them, where it hangs."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness import cli, drawing, topology
from harness.errors import UsageError

SVG = "{http://www.w3.org/2000/svg}"
SWITCH = """\
cxl-switch: one node, and two CXL devices behind a switch that become two more; for function tests only
├─ node 0: processors and memory; 2048 MB, 100 ns, 100 GB/s
└─ CXL host bridge 0
   └─ root port 0
      └─ CXL switch
         ├─ downstream port 0
         │  └─ mem0: 256 MB, volatile; node 1, through window 0
         └─ downstream port 1
            └─ mem1: 256 MB, volatile; node 2, through window 1
"""


def test_a_tree_of_text(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["boot", "--topology", "cxl-switch", "--memory", "2048", "--draw"]) == 0
    assert capfd.readouterr().out == SWITCH


@pytest.mark.parametrize("name", topology.NAMED)
def test_every_box_is_in_the_picture_and_none_covers_another(name: str) -> None:
    drawn = drawing.boxes(topology.named(name), 1024)
    root = ElementTree.fromstring(drawing.svg(drawn))
    said = {text.text for text in root.iter(f"{SVG}text")}
    boxes = list(_all(drawn))
    assert {box.title for box in boxes[1:]} <= said and {line for box in boxes[1:] for line in box.lines} <= said
    places = [(float(rect.get("x", "")), float(rect.get("y", ""))) for rect in root.iter(f"{SVG}rect")]
    assert len(places) == len(boxes) and len(list(root.iter(f"{SVG}path"))) == len(boxes) - 1
    width, height = (float(root.get(side, "")) for side in ("width", "height"))
    for number, (x, y) in enumerate(places):
        assert 0 <= x <= width - drawing.WIDTH and drawing.GAP / 2 <= y <= height - drawing.HEIGHT
        for left, top in places[:number]:
            assert abs(x - left) >= drawing.WIDTH or abs(y - top) >= drawing.HEIGHT


def test_it_is_written_where_it_is_asked_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "hmat.svg"
    assert cli.main(["boot", "--topology", "hmat", "--draw", str(target)]) == 0
    assert "300 ns" in target.read_text()
    assert cli.main(["boot", "--draw", str(tmp_path / "hmat.png")]) == UsageError.exit_code
    assert cli.main(["boot", "--draw", str(tmp_path / "none" / "hmat.svg")]) == UsageError.exit_code
    assert "cannot be written" in capfd.readouterr().err


def _all(box: drawing.Box) -> list[drawing.Box]:
    return [box, *(one for below in box.below for one in _all(below))]
