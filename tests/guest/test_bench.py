"""The benchmark in real guests, small: it runs and its result is whole. Nothing that depends on time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from harness.bench import core
from harness.cache import REPO


def test_core_gives_every_figure(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "harness", "bench", "core", "--quick", "--json", "--out", str(tmp_path)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=1500, check=False, cwd=REPO)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["bench"] == "core" and result["quick"] is True
    rows = {row["key"]: row for row in result["rows"]}
    wanted = {
        *(f"attach.{kind}.{what}" for kind in ("other", "own") for what in (*core.QUICK.objects, "growth")),
        *(f"attach.{kind}" for kind in ("growing", "held", "close", "miss", "open")),
        *(f"alloc.{kind}.{size}" for kind in ("first", "duplicate") for size, _ in core.QUICK.alloc),
        *(f"fault.{size}" for size, _ in core.QUICK.fault),
        *(f"parallel.{name}" for name in ("alloc", "memfd", "compute")),
        *(f"slab.{name}" for name in ("object", "again", "again.dentries", "other", "other.dentries")),
        *("read.time", "read.instructions", "empty"),
    }
    assert set(rows) == wanted
    assert all(row["verdict"] in ("met", "missed", "undecided", "") for row in rows.values())
    assert all(row["measured"] > 0 for key, row in rows.items() if not key.startswith("slab."))
    assert rows["slab.other.dentries"]["measured"] == 0  # all files of an object share one
    for chart in result["charts"]:
        assert Path(chart["png"]).stat().st_size > 1000 and Path(chart["svg"]).stat().st_size > 1000
    assert "<svg" in (tmp_path / "report.html").read_text()
