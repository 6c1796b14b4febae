"""Which functions KCSAN is told to watch: those that are written in our files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import races
from harness.errors import LabError

OURS = """
#include "other.h"
int agent_thing(int x) { return x + from_header(x); }
static int __attribute__((noinline)) helper(int x) { return x * 3; }
int main(void) { return agent_thing(helper(2)); }
"""
HEADER = "static int __attribute__((noinline)) from_header(int x) { return x - 1; }\n"
THEIRS = "int agent_like(int x) { return x; }\n"


def linked(place: Path, *files: tuple[str, str]) -> Path:
    for name, text in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    sources = [name for name, _ in files if name.endswith(".c")]
    subprocess.run(["gcc", "-g", "-O1", "-o", "image", *sources], cwd=place, check=True)
    return place / "image"


def test_functions_of_our_files_and_not_of_headers_or_other_files(tmp_path: Path) -> None:
    image = linked(tmp_path, ("mm/agent_mem_x.c", OURS), ("mm/other.h", HEADER), ("mm/slub.c", THEIRS))
    assert races.functions(image) == ["agent_thing", "helper", "main"]


def test_a_kernel_without_our_files_is_refused(tmp_path: Path) -> None:
    image = linked(tmp_path, ("mm/slub.c", THEIRS + "int main(void) { return 0; }\n"))
    with pytest.raises(LabError, match="no function of ours"):
        races.functions(image)
