"""Children: output, exit codes, time-outs, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import proc
from harness.errors import LabTimeout, ToolError


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_output_and_code_are_kept_apart() -> None:
    done = proc.run(["sh", "-c", "echo out; echo err >&2; exit 7"], check=False)
    assert (done.stdout, done.stderr, done.code) == ("out\n", "err\n", 7)


def test_a_failure_is_an_error_that_quotes_the_tool() -> None:
    with pytest.raises(ToolError, match="no such luck"):
        proc.run(["sh", "-c", "echo no such luck >&2; exit 1"])


def test_a_missing_program_names_the_cure() -> None:
    with pytest.raises(ToolError, match="no-such-program is not installed") as caught:
        proc.run(["no-such-program"])
    assert caught.value.hint == "./lab doctor --fix"


def test_stdin_reaches_the_child() -> None:
    assert proc.run(["cat"], stdin="words").stdout == "words"


def test_a_time_out_ends_the_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(LabTimeout):
        proc.run(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], timeout=0.5)
    assert gone_within(int(note.read_text()), 5)


def test_logged_output_is_seen_line_by_line_and_kept(tmp_path: Path) -> None:
    log, seen = tmp_path / "log", list[str]()
    code = proc.run_logged(["sh", "-c", "echo one; echo two >&2; exit 3"], log, on_line=seen.append)
    assert (code, seen, log.read_text()) == (3, ["one", "two"], "one\ntwo\n")


def test_a_logged_time_out_names_the_log(tmp_path: Path) -> None:
    with pytest.raises(LabTimeout) as caught:
        proc.run_logged(["sh", "-c", "echo begun; sleep 60"], tmp_path / "log", timeout=0.5)
    assert caught.value.log == tmp_path / "log"
    assert (tmp_path / "log").read_text() == "begun\n"


def test_children_end_with_a_killed_laboratory(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"from harness import proc; proc.run(['sh', '-c', 'echo $$ > {note}; exec sleep 60'])"
    parent = subprocess.Popen([sys.executable, "-c", script])
    end = time.monotonic() + 10
    while not (note.exists() and note.read_text().strip()) and time.monotonic() < end:
        time.sleep(0.02)
    child = int(note.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert gone_within(child, 5)
