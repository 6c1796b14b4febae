"""The random calls: the same seed, the same program; what a program is made of; what is written down of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from harness.calls import campaign, failures, generate, model, ops, wire
from harness.calls.failures import Failure
from harness.errors import UsageError

HEADER = (campaign.SOURCES / "calls.h").read_text()


def test_a_seed_is_a_program() -> None:
    assert generate.program("one", 500) == generate.program("one", 500)
    assert generate.program("one", 500) != generate.program("two", 500)


def test_the_program_of_a_seed_is_the_same_on_every_machine() -> None:
    names = [type(call).__name__ for call in generate.program("fixed", 300)]
    assert names[:5] == ["Spawn"] * 5
    again = [type(call).__name__ for call in generate.program("fixed", 600)]
    assert again[:300] == names, "a shorter program is the beginning of a longer one"


def test_every_kind_of_call_occurs_and_can_be_made() -> None:
    calls = [call for number in range(5) for call in generate.program(f"all:{number}")]
    assert {type(call) for call in calls} == set(ops.CALLS)
    assert all(map(wire.fits, calls))


def test_what_is_wanted_is_frequent() -> None:
    allocs = [call for number in range(5) for call in generate.program(f"all:{number}") if isinstance(call, ops.Alloc)]
    flags = Counter(call.flags & 5 for call in allocs)
    assert min(flags[0], flags[ops.Flag.ATTACH], flags[ops.Flag.APPEND]) > len(allocs) // 10
    contents = Counter((call.offset, call.length) for call in allocs if not call.flags)
    assert sum(count > 1 for count in contents.values()) > len(contents) // 2, "duplicates"
    assert any(call.patch >= 0 for call in allocs), "near-duplicates"


def test_a_campaign_counts_its_calls() -> None:
    assert list(campaign.names("s", 4500)) == [("s:0", 2000), ("s:1", 2000), ("s:2", 500)]


def test_the_guest_program_knows_the_calls_by_the_same_numbers() -> None:
    enum = re.search(r"enum op \{(.*?)OP_COUNT", HEADER, re.DOTALL)
    assert enum
    names = re.findall(r"OP_(\w+)", enum[1])
    assert names == [kind.__name__.upper() for kind in ops.CALLS]
    for name in ("PROCS", "SLOTS", "MAPS", "DOMAINS", "SKIPPED"):
        found = re.search(rf"#define {name}\s+\(?(-?\d+)", HEADER)
        assert found and int(found[1]) == getattr(ops, name)
    assert all(len(words) <= 16 for words in ops.WORDS.values())


# -- what is written down --


def test_a_failure_comes_back_as_it_was(tmp_path: Path) -> None:
    programs = (tuple(generate.program("a", 400)), tuple(generate.program("b", 300)))
    failure = Failure("a", "call 3: predicted 0, got EINVAL", "key", programs)
    path = failures.write(tmp_path / "out" / "f.json", failure)
    assert failures.read(path) == failure
    assert len(path.read_text().splitlines()) > 700, "one call a line"


@pytest.mark.parametrize(
    "call",
    [
        {"call": "Nothing", "proc": 0},
        {"call": "Close"},
        {"call": "Close", "proc": 8, "fd": 0},
        {"call": "Close", "proc": 0, "fd": 24},
        {"call": "Close", "proc": 0, "fd": "0"},
        {"call": "Close", "proc": 0, "fd": 1.5},
        {"call": "Close", "proc": 0, "fd": 0, "more": 1},
        {"call": "Alloc", "proc": 0, "slot": -1},
        {"call": "Alloc", "proc": 0, "slot": 0, "offset": 524_000, "length": 300},
        {"call": "Alloc", "proc": 0, "slot": 0, "length": 3, "patch": 3},
        {"call": "Alloc", "proc": 0, "slot": 0, "digest": "00"},
        {"call": "Alloc", "proc": 0, "slot": 0, "node": 1 << 63},
        {"call": "Mark", "proc": 0, "fd": 0, "name": "00" * 257},
        {"call": "Mark", "proc": 0, "fd": 0, "name": "zz"},
        {"call": "Stats", "proc": 0, "scope": 0, "size": 4097},
        [],
        None,
    ],
)
def test_a_call_that_cannot_be_made_is_not_replayed(tmp_path: Path, call: object) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"seed": "", "fault": "", "kernel": "", "programs": [[call]]}))
    with pytest.raises(UsageError):
        failures.read(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"seed": "", "fault": "", "kernel": "", "programs": []}'])
def test_another_file_is_not_replayed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(UsageError):
        failures.read(path)
    with pytest.raises(UsageError):
        failures.read(tmp_path / "none.json")


def test_a_call_is_shown_by_what_is_not_usual() -> None:
    call = ops.Alloc(1, 2, length=3, size=3, digest=b"\1" * 32)
    assert model.shown(call) == "Alloc(proc=1, slot=2, length=3, size=3, digest=0101010101010101)"
