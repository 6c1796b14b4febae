# SPDX-License-Identifier: MIT
"""Completion: the files are what the parser says; the shells, each at a terminal, make of a line what it has to be."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from prompt import SHELLS, Prompt, prompt
from shell import Agent, Shell

COMPLETED = {
    "ex": "explain",
    "mark 1 co": "mark 1 cold",
    "put --ty": "put --type",
    "put --type tool-d": "put --type tool-def",
    "stat --js": "stat --json",
}


@pytest.fixture(params=SHELLS)
def at(request: pytest.FixtureRequest, shell: Shell) -> Iterator[Prompt]:
    with prompt(request.param, shell.place, shell.env) as started:
        yield started


def test_verbs_options_and_their_values(at: Prompt) -> None:
    assert {words: at.line(f"agentmem {words}\t") for words in COMPLETED} == {
        words: f"agentmem {there} " for words, there in COMPLETED.items()
    }


def test_digests_of_objects_that_are_held(at: Prompt, shell: Shell) -> None:
    digest = shell.put(os.urandom(100))
    assert at.line(f"agentmem get {digest[:5]}\t") == f"agentmem get {digest} "


def test_names_of_agents(at: Prompt) -> None:
    agent = Agent("surveyor", os.urandom(64))
    assert at.line("agentmem mark surv\t") == "agentmem mark surveyor "
    agent.end()


def test_files_of_a_text_that_is_put(at: Prompt, shell: Shell) -> None:
    (shell.place / "instructions.md").write_text("text")
    assert at.line("agentmem put instr\t") == "agentmem put instructions.md "


def test_the_files_are_what_the_parser_says() -> None:
    from completions import generate

    for shell, name in generate.NAMES.items():
        assert (generate.HERE / name).read_text() == generate.completion(shell), "python completions/generate.py"
