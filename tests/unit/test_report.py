"""Report pages: whole, self-contained, and with nothing of the input able to act in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from harness import charts, host, report
from harness.cache import REPO
from harness.verbs import demo


def result() -> dict[str, object]:
    phase = {"verified": True, "differ": 0}
    return {
        "agents": 2, "texts": 4, "objects": 3, "logical_bytes": 5 << 20, "dedup_hits": 1, "ratio": 1.5,
        "private_used_bytes": 5 << 20, "smu_used_bytes": 3 << 20, "private_memcg_bytes": None, "smu_memcg_bytes": 1,
        "private_left_bytes": 0, "smu_left_bytes": 0, "phases": {"private": phase, "smu": phase},
        "kernel": "7.3.4-test", "flavour": "lab", "memory_mb": 768, "topology": "uma",
        "cpus": 2, "accelerator": {"name": "tcg", "reason": "this machine has no /dev/kvm"},
        "host": {"cpu": "Sample <CPU>", "processors": 4, "memory_mb": 8000, "kernel": "6.1.0"},
        "input": {"kind": "corpus", "name": "<script>alert(1)</script>", "sha256": "0" * 64, "conversations": 4,
                  "notes": ["a & b"]},
        "libraries": {"c": {
            "runtime": "<b>gcc", "backend": "kernel", "texts": 4, "objects": 3, "logical_bytes": 5 << 20,
            "unique_bytes": 4 << 20, "resident_bytes": 0, "stored_bytes": 1 << 20, "dedup_hits": 1, **phase,
        }},
    }  # fmt: skip


def test_page_holds_every_row_and_the_chart_itself(tmp_path: Path) -> None:
    shown = result()
    demo._keep(shown, tmp_path)
    page = (tmp_path / "report.html").read_text()
    for name, private, smu in demo._rows(shown):
        assert f"<tr><td>{name}</td><td>{private}</td><td>{smu}</td></tr>" in page
    assert "<tr><td>runtime</td><td>&lt;b&gt;gcc</td></tr>" in page
    for name, value in demo._library_rows(shown)[1:]:
        assert f"<tr><td>{name}</td><td>{value}</td></tr>" in page
    assert page.count("<svg") == 1 and "<?xml" not in page
    assert "src=" not in page and "@import" not in page, "nothing is loaded from elsewhere"
    assert json.loads((tmp_path / "result.json").read_text())["report"] == str(tmp_path / "report.html")


def test_the_readme_shows_every_row() -> None:
    readme = (REPO / "README.md").read_text()
    assert [name for name, *_ in demo._rows(result()) if f"\n| {name} | " not in readme] == []


def test_what_it_ran_on_is_told() -> None:
    told = dict(demo._ran_on(result()))
    assert told["guest"] == "768 MB, 2 processors, topology uma"
    assert told["accelerator"] == "none, the processors are emulated (TCG): this machine has no /dev/kvm"
    assert told["host"] == "Sample <CPU>, 4 processors, 8,000 MB, Linux 6.1.0"
    here = host.describe()
    assert here["cpu"] and here["processors"] >= 1 and here["memory_mb"] > 256


def test_what_the_input_calls_itself_is_escaped(tmp_path: Path) -> None:
    demo._keep(result(), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page and "a &amp; b" in page


def test_missing_figure_is_an_error_and_leaves_no_page(tmp_path: Path) -> None:
    _, svg = charts.draw((charts.Bar("a", 1, "#000000"),), "t", "s", tmp_path / "c")
    with pytest.raises(UndefinedError):
        report.render("demo.html.j2", tmp_path / "page.html", result={}, rows=(), ran_on=(), chart=svg.read_text())
    assert not (tmp_path / "page.html").exists()
