# SPDX-License-Identifier: MIT
"""What the package promises: names, numbers, types."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

import agentmem
from agentmem import _native

HEADER = Path(__file__).parents[1] / "libagentmem" / "include" / "agentmem.h"
FIGURES = {"smu_stats": agentmem.SmuStats, "stats": agentmem.AgentStats}


def header() -> str:
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize(
    ("name", "prefix", "kind"),
    [
        ("type", "", agentmem.Type),
        ("temperature", "", agentmem.Temperature),
        ("state", "", agentmem.State),
        ("scope", "SCOPE_", agentmem.Scope),
        ("algorithm", "ALG_", agentmem.Algorithm),
    ],
)
def test_numbers_are_those_of_the_header(name: str, prefix: str, kind: type[IntEnum]) -> None:
    found = re.search(rf"enum agentmem_{name} {{(.*?)}}", header(), re.DOTALL)
    assert found
    words = [word.strip() for word in found[1].split(",")]
    first = int(words[0].partition("=")[2] or 0)
    members = [word.partition("=")[0].strip().removeprefix(f"AGENTMEM_{prefix}") for word in words]
    assert {member.name: member.value for member in kind} == {m: first + n for n, m in enumerate(members)}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_the_header(name: str) -> None:
    found = re.search(rf"struct agentmem_{name} {{(.*?)}};", header(), re.DOTALL)
    assert found
    members = re.findall(r"\w+ (\w+)(?:\[\w+\])?;", found[1])
    assert ["size", *FIGURES[name].__dataclass_fields__] == members


def test_what_is_exported_is_there_and_documented() -> None:
    for name in agentmem.__all__:
        assert getattr(agentmem, name).__doc__, name
    public = {name for name in dir(agentmem.Smu) if not name.startswith("_")}
    assert public == {
        *("append", "close", "closed", "dedup", "delta", "digest", "fileno", "hexdigest", "mark", "share", "stats"),
        "type",
    }


def test_an_smu_cannot_be_given_attributes() -> None:
    with agentmem.put("attributes") as smu:
        with pytest.raises(AttributeError):
            smu.note = 1  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            smu.digest = b""  # type: ignore[misc]
    with pytest.raises(TypeError):
        _native.Handle.close = None  # type: ignore[method-assign, assignment]


def test_a_repr_tells_digest_and_size() -> None:
    with agentmem.put("x" * 30) as smu:
        assert repr(smu) == f"<Smu {smu.hexdigest[:12]} 30 bytes>"
