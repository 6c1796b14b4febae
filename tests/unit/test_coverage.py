"""What gcov tells of our files, line by line, and the reasons for lines that are not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import coverage
from harness.coverage import Coverage, Line, Reason
from harness.errors import UsageError


def report(file: str, *lines: tuple[int, int]) -> dict[str, object]:
    told = [{"line_number": number, "count": count, "function_name": "f"} for number, count in lines]
    return {"file": file, "lines": told}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm" / "agent_mem.h").write_text("one\ntwo\nthree\n")
    return tmp_path


def test_a_line_of_a_header_counts_once_and_is_run_if_any_file_runs_it(tree: Path) -> None:
    header = "/somewhere/linux/mm/agent_mem.h"
    lines = coverage._lines([report(header, (1, 0), (3, 0)), report(header, (1, 7), (3, 0))], tree)
    assert [(line.number, line.text, line.count) for line in lines] == [(1, "one", 7), (3, "three", 0)]
    assert Coverage(tuple(lines)).ratio == 0.5
    assert [line.number for line in Coverage(tuple(lines)).missed] == [3]


def test_files_that_are_not_ours_do_not_count(tree: Path) -> None:
    assert coverage._lines([report("include/linux/fs.h", (1, 0)), report("mm/agent_memory/x.c", (1, 0))], tree) == []


def test_a_reason_covers_its_function_and_what_its_text_matches() -> None:
    line = Line("mm/agent_mem.c", 9, "agent_mem_init", '\tpanic("no")', 0)
    assert Reason("why", "agent_mem_init").covers(line)
    assert Reason("why", "agent_mem_.*", "panic").covers(line)
    assert not Reason("why", "agent_mem_init", "return").covers(line)
    assert not Reason("why", "agent_mem").covers(line)


def test_the_reasons_of_this_repository_can_be_read_and_each_says_why() -> None:
    assert all(reason.why for reason in coverage.reasons())


def test_a_file_of_reasons_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[[reason]]\nfunction = 'f'\n")
    with pytest.raises(UsageError, match=r"bad\.toml"):
        coverage.reasons(tmp_path / "bad.toml")
