"""What agents of a library print is checked: it comes from a kernel under test."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
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
    "runtime": "Python 3.13.1",
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
    return route.read(PACK, "Python", json.dumps({**HELD, **changed}).encode(), complaints, code)


def test_figures_are_taken_over() -> None:
    assert read().as_json() == {**HELD, "verified": True}


def test_a_text_that_came_back_changed_is_the_kernel_s_fault() -> None:
    with pytest.raises(GuestFault, match="agents of Python: 1 of 6 texts came back changed"):
        read(differ=1)


@pytest.mark.parametrize("changed", [{"texts": 5}, {"agents": 1}])
def test_so_is_a_text_that_is_missing(changed: dict[str, Any]) -> None:
    with pytest.raises(GuestFault):
        read(**changed)


def test_a_call_that_failed_is_told_with_its_error() -> None:
    with pytest.raises(GuestFault, match="ended with 1: OSError: .Errno 12. Cannot allocate memory"):
        read(1, b"Traceback\nOSError: [Errno 12] Cannot allocate memory\n")


@pytest.mark.parametrize(
    "changed", [{"objects": -1}, {"objects": "4"}, {"objects": True}, {"objects": 1 << 60}, {"backend": 1}]
)
def test_a_figure_that_is_none_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="makes no sense"):
        read(**changed)


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b"x" * (route.MAX_OUTPUT + 1)])
def test_so_is_what_is_no_result(said: bytes) -> None:
    with pytest.raises(LabError, match="makes no sense"):
        route.read(PACK, "Python", said, b"", 0)


def told(monkeypatch: pytest.MonkeyPatch, outcomes: dict[str, route.Held | GuestFault], *names: str) -> Any:
    """What the demo has of these libraries, whose fleets end so."""

    def run(built: Kernel, pack: Pack, names: Sequence[str]) -> Iterator[tuple[str, route.Held]]:
        for name in names:
            if isinstance(outcome := outcomes[name], GuestFault):
                raise outcome
            yield name, outcome

    monkeypatch.setattr(route, "run", run)
    here = Path("nowhere")
    return demo._by_libraries(Kernel("lab", "x86", "key", "7.3", here, here, here, here, here), PACK, names)


def test_what_was_held_before_is_shown_though_a_later_library_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = GuestFault("the guest is dead")
    assert told(monkeypatch, {"c": read(), "python": trouble}, "c", "python") == ({"c": read().as_json()}, trouble)
    assert told(monkeypatch, {"c": trouble}, "c") == ({}, trouble)
    assert told(monkeypatch, {}) == ({}, None)


def test_each_library_has_a_column() -> None:
    result = {"libraries": {"c": {**read().as_json(), "runtime": "gcc 12"}, "node": read().as_json()}}
    rows = demo._library_rows(result)
    assert demo._languages(result) == ["C", "Node"] and {len(row) for row in rows} == {3}
    assert rows[:2] == [("runtime", "gcc 12", "Python 3.13.1"), ("backend", "kernel", "kernel")]
    assert rows[-1] == ("read back and compared", "all equal", "all equal")


@pytest.mark.parametrize(("text", "names"), [("c,python", ("c", "python")), ("node,node", ("node",)), ("none", ())])
def test_libraries_are_named(text: str, names: tuple[str, ...]) -> None:
    assert demo._libraries(text) == names


@pytest.mark.parametrize("text", ["", "C", "rust", "c,", "c,none"])
def test_what_is_no_library_is_told(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is none of c, python, node, none"):
        demo._libraries(text)


def test_the_default_is_of_them() -> None:
    assert set(demo.DEFAULT) < set(route.ROUTES)
