# SPDX-License-Identifier: MIT
"""The command line: what is wrong is told, with a status; what is there is documented."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Shell

from agentmem.command import main
from agentmem.command.trouble import Exit

PAGE = Path(__file__).parents[1] / "man" / "agentmem.1"
VERBS = ("run", "put", "get", "append", "share", "mark", "stat", "agents", "top", "explain", "flame")


WRONG = """
frobnicate|get|run name|run name --|run -i x y -- z|run -i 0 y -- z|run -t 0 y -- z|run -t soon y -- z
put|put text --as=X|put text --as=A=B -- true
put text --json -- true|put text --with=1 --as=X -- true|put text --type=novel|put text --node=-2
stat --js|top -d soon|top --sort=weight
flame --seconds=1 -- true|flame --read=x --seconds=1
"""


@pytest.mark.parametrize("line", ["", *re.split(r"[|\n]", WRONG.strip())])
def test_what_was_said_in_a_wrong_way_is_told(shell: Shell, line: str) -> None:
    verb = next((word for word in line.split() if word in VERBS), "")
    assert f"usage: agentmem {verb}" in shell.fails(2, *line.split())


def test_what_is_wrong_about_a_command_is_told_with_the_next_step(shell: Shell) -> None:
    assert "there is no command to run: agentmem run foo -- COMMAND" in shell.fails(2, "run", "foo")
    assert "ls (a command and its arguments come after --)" in shell.fails(2, "run", "foo", "ls")
    assert "there is no command after --" in shell.fails(2, "put", "text", "--")
    assert "agentmem put ... -- COMMAND" in shell.fails(2, "put", "text", "--as=X")
    assert "'A=B' cannot be the name" in shell.fails(2, "put", "text", "--as=A=B", "--", "true")


def test_help_is_there_for_each_verb(shell: Shell) -> None:
    assert set(VERBS) <= set(re.findall(r"^ {4}(\w+) ", shell.says("--help"), re.M))
    for verb in VERBS:
        assert shell.says(verb, "--help").startswith(f"usage: agentmem {verb}")
    assert re.fullmatch(r"agentmem \d+\.\d+\.\d+\n", shell.says("--version"))


def test_the_help_has_the_defaults_and_what_a_word_may_be(shell: Shell) -> None:
    told = shell.says("--help")
    for word in ("exit status:", "  127  ", "example:\n  prompt=$(agentmem put"):
        assert word in told
    for verb in ("get", "append", "share"):
        assert "64 hexadecimal digits, or the first 6 or more" in " ".join(shell.says(verb, "--help").split())
    assert "AGENT a process id, or an agent's name" in " ".join(shell.says("share", "--help").split())
    defaults = {"run": ("500", "10"), "put": ("conversation", "SMU"), "top": ("1", "logical"), "flame": ("bytes",)}
    for verb, values in defaults.items():
        told = " ".join(shell.says(verb, "--help").split())
        assert [value for value in values if f"(default {value})" not in told] == []


def test_an_empty_name_is_told(shell: Shell) -> None:
    assert "one character or more" in shell.fails(2, "run", "", "--", "true")
    assert "one character or more" in shell.fails(2, "mark", str(shell.holder.pid), "--name=")


def test_backends_that_are_not_there_are_told(shell: Shell) -> None:
    assert "no such backend" in shell.fails(2, "stat", AGENTMEM_BACKEND="cloud")


def test_the_kernels_backend_is_had_or_missed(shell: Shell) -> None:
    if shell.json("stat")["backend"] == "kernel":
        assert shell.run("stat", AGENTMEM_BACKEND="kernel").returncode == 0
    else:
        assert "has not got the calls" in shell.fails(4, "stat", AGENTMEM_BACKEND="kernel")


def test_mistakes_of_its_own_are_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError("of no use")

    monkeypatch.setattr("agentmem.command.figures.agents", broken)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with contextlib.redirect_stderr(io.StringIO()) as told:
        assert main(["agents"]) == Exit.FAILED
    assert "a mistake of agentmem's own: ZeroDivisionError: of no use" in told.getvalue()
    monkeypatch.setenv("AGENTMEM_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["agents"])


def test_an_output_that_is_full_is_told(shell: Shell, fresh: Callable[[int], bytes]) -> None:
    digest = shell.put(fresh(100_000))
    for words, cause in ((["agents"], b""), (["get", digest], b"standard output: ")):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(["agentmem", *words], stdout=full, stderr=subprocess.PIPE, env=shell.env)
        assert (done.returncode, done.stderr) == (1, b"error: " + cause + b"No space left on device\n"), words
    assert "/dev/full: No space left on device" in shell.fails(1, "get", digest, "--output=/dev/full")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_streams_that_are_closed_are_as_if_they_were_empty(shell: Shell, closed: str) -> None:
    (shell.place / "text").write_bytes(content := os.urandom(1000))
    script = f'agentmem put --with={shell.holder.pid} "$0" {closed} && agentmem agents {closed}'
    done = subprocess.run(["sh", "-c", script, shell.place / "text"], capture_output=True, env=shell.env)
    assert (done.returncode, done.stderr) == (0, b"")
    digest = hashlib.sha256(content).hexdigest()
    assert shell.run("get", digest).stdout == content, "what it holds has not the place of a stream"
    done = subprocess.run(["sh", "-c", f"agentmem put - {closed}"], capture_output=True, env=shell.env)
    assert (done.returncode, done.stderr) == (1, b"error: standard input is empty; an object has one byte or more\n")


def test_a_thread_is_no_process(shell: Shell, fresh: Callable[[int], bytes]) -> None:
    digest, ended = shell.put(fresh(1000)), threading.Event()
    (thread := threading.Thread(target=ended.wait)).start()
    try:
        number = str(thread.native_id)
        for words in (
            ["stat", number],
            ["mark", number],
            ["share", digest, number],
            ["put", f"--with={number}", __file__],
        ):
            assert f"{number}: there is no such process" in shell.fails(3, *words)
        assert "no such process" in shell.fails(3, "stat", "9999999999")
    finally:
        ended.set()


def test_errors_are_not_for_standard_output(shell: Shell) -> None:
    done = subprocess.run(["sh", "-c", "agentmem get abcdefab 2>&-"], capture_output=True, env=shell.env)
    assert (done.returncode, done.stdout) == (3, b"")


def test_names_that_cannot_be_shown_are_shown_as_far_as_they_can(shell: Shell) -> None:
    shell.says("mark", str(shell.holder.pid), "--name", "Übung 7")
    shown = shell.run("agents", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0 and b" ?bung 7 " in shown.stdout
    told = json.loads(shell.run("agents", "--json", PYTHONIOENCODING="ascii").stdout)
    assert [each["name"] for each in told if each["pid"] == shell.holder.pid] == ["Übung 7"]


def test_names_may_have_any_bytes(shell: Shell) -> None:
    name = os.fsdecode(b"caf\xe9")  # Latin-1
    shell.says("mark", str(shell.holder.pid), "--name", name)
    assert shell.json("stat", name)["name"] == "caf\ufffd"


# -- run --


def test_run_is_agentmem_run_with_what_was_said(shell: Shell) -> None:
    """A stand-in that shows its arguments: what agentmem-run does with them has tests of its own."""
    (shell.place / "agentmem-run").write_text('#!/bin/sh\nprintf "%s|" "$@"; exit 9\n')
    (shell.place / "agentmem-run").chmod(0o755)
    path = f"{shell.place}{os.pathsep}{shell.env['PATH']}"
    words = ("-i", "800", "--idle=0.5", "-n", "reviewer", "--", "sh", "-c", "exit 3", "--", "-n")
    done = shell.run("run", *words, PATH=path)
    assert done.stdout.decode() == "--importance=800|--idle=0.5|--no-preload|reviewer|--|sh|-c|exit 3|--|-n|"
    assert done.returncode == 9


def test_run_without_agentmem_run_says_what_to_install(shell: Shell) -> None:
    told = shell.fails(4, "run", "reviewer", "--", "true", PATH="/nonexistent")
    assert "agentmem-run is not installed" in told and "in a checkout of agent_mem" in told


# -- the man page --


def test_the_man_page_has_every_verb_option_and_status(shell: Shell) -> None:
    page = PAGE.read_text().replace("\\-", "-")
    for verb in VERBS:
        assert f".B {verb}\n" in page or f'.BI "agentmem {verb} ' in page
        for option in set(re.findall(r"(?<![\w-])--[a-z][\w-]*", shell.says(verb, "--help"))) - {"--help"}:
            assert option in page, f"{verb} {option}"
    statuses = {int(number) for number in re.findall(r"^\.TP\n(\d+)$", page, re.M)}
    assert {int(status) for status in Exit} == statuses
    assert statuses - {int(number) for number in re.findall(r"^  (\d+)  ", shell.says("--help"), re.M)} == set()
