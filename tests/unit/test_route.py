"""What agents of Python print is checked: it comes from a kernel under test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import route
from harness.errors import GuestFault, LabError
from harness.fleet import Pack
from harness.kernel import Kernel
from harness.verbs import demo

PACK = Pack(Path("pack"), agents=2, texts=6, distinct=4, logical_bytes=600, distinct_bytes=400, digest="00")
HELD: dict[str, Any] = {
    "python": "3.13.1",
    "backend": "kernel",
    "agents": 2,
    "texts": 6,
    "objects": 4,
    "logical_bytes": 600,
    "unique_bytes": 400,
    "resident_bytes": 0,
    "stored_bytes": 90,
    "dedup_hits": 2,
    "differ": 0,
}


def read(code: int = 0, complaints: bytes = b"", **changed: Any) -> route.Held:
    return route.read(PACK, json.dumps({**HELD, **changed}).encode(), complaints, code)


def test_figures_are_taken_over() -> None:
    assert read().as_json() == {**HELD, "verified": True}


def test_a_text_that_came_back_changed_is_the_kernel_s_fault() -> None:
    with pytest.raises(GuestFault, match="1 of 6 texts came back changed"):
        read(differ=1)


@pytest.mark.parametrize("changed", [{"texts": 5}, {"agents": 1}])
def test_so_is_a_text_that_is_missing(changed: dict[str, Any]) -> None:
    with pytest.raises(GuestFault):
        read(**changed)


def test_a_call_that_failed_is_told_with_its_error() -> None:
    with pytest.raises(GuestFault, match="ended with 1: OSError: .Errno 12. Cannot allocate memory"):
        read(1, b"Traceback\nOSError: [Errno 12] Cannot allocate memory\n")


@pytest.mark.parametrize("changed", [{"objects": -1}, {"objects": "4"}, {"objects": True}, {"objects": 1 << 60}])
def test_a_figure_that_is_none_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="makes no sense"):
        read(**changed)


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b"x" * (route.MAX_OUTPUT + 1)])
def test_so_is_what_is_no_result(said: bytes) -> None:
    with pytest.raises(LabError, match="makes no sense"):
        route.read(PACK, said, b"", 0)


def test_what_was_measured_before_is_shown_though_python_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = GuestFault("the guest is dead")

    def fails(built: Kernel, pack: Pack) -> route.Held:
        raise trouble

    monkeypatch.setattr(route, "run", fails)
    here = Path("nowhere")
    built = Kernel("lab", "x86", "key", "7.3", here, here, here, here, here)
    assert demo._by_python(built, PACK) == (None, trouble)
