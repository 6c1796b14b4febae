"""The benchmark in real guests, small: it runs and its result is whole. Nothing that depends on time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bench import core, parallel
from harness.bench.tiers.contest import Contestant
from harness.cache import REPO

PAGE = 4096


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
        *("append.growth", "append.alone"),
        *(f"parallel.{name}" for name in parallel.OPERATIONS),
        *(f"slab.{name}" for name in ("object", "again", "again.dentries", "other", "other.dentries")),
        *("read.time", "read.instructions", "empty", "warm.decode", "warm.swap", "spawn"),
    }
    assert set(rows) == wanted
    assert all(row["verdict"] in ("met", "missed", "undecided", "") for row in rows.values())
    assert all(row["measured"] > 0 for key, row in rows.items() if not key.startswith("slab."))
    assert rows["slab.other.dentries"]["measured"] == 0  # all files of an object share one
    for chart in result["charts"]:
        assert Path(chart["png"]).stat().st_size > 1000 and Path(chart["svg"]).stat().st_size > 1000
    assert "<svg" in (tmp_path / "report.html").read_text()


@pytest.mark.long
def test_tiers_tells_where_memory_lies_and_who_waits(tmp_path: Path) -> None:
    """Long for its kernel, which has zram with zstd, and pressure; with that at hand it takes a minute."""
    argv = [sys.executable, "-m", "harness", "bench", "tiers", "--quick", "--json", "--out", str(tmp_path)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=3000, check=False, cwd=REPO)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert list(result["contestants"]) == [one.value for one in Contestant]
    for told in result["contestants"].values():
        assert 0 < told["memcg_bytes"] <= result["limit_bytes"] * 1.05
        assert told["steps"] > result["agents"] and told["checked"] >= told["steps"]
        assert len(told["rest"]) == result["turns"] + 1
        assert 0 <= told["stalls"]["share"] <= told["stalls"]["reading"] < 1
    own, plain = result["contestants"]["agent_mem"], result["contestants"]["zram"]
    assert plain["tier_bytes"]["swap"]["peak"] > 0 and plain["tier_bytes"]["compressed"]["peak"] == 0
    assert own["tier_bytes"]["compressed"]["peak"] > 0 and own["decompressed_chunks"] > 0
    assert own["moves"]["demoted_pages"] > 0 and own["moves"]["lost_events"] == 0
    dropped = sum(pages for why in own["moves"]["evicted_pages"].values() for pages in why.values())
    assert 0 < dropped * PAGE < result["distinct_bytes"] * (result["turns"] + 1)
    stalls = {f"stall.{one}" for one in Contestant}
    assert {row["key"] for row in result["rows"]} == stalls | {"floor", "tiers"}
    for chart in result["charts"]:
        assert Path(chart["png"]).stat().st_size > 1000 and Path(chart["svg"]).stat().st_size > 1000
    assert (tmp_path / "report.html").read_text().count("<svg") == 3
