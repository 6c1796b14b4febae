# SPDX-License-Identifier: MIT
"""stat, agents, explain, mark: what is shown of whom, and what is said."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from shell import Agent, Shell

import agentmem
from agentmem import Scope, State, Temperature, Type

Fresh = Callable[[int], bytes]
KERNEL = agentmem.backend() == "kernel"


@pytest.fixture
def agent(fresh: Fresh) -> Iterator[Agent]:
    made = Agent(f"tester {os.urandom(4).hex()}", fresh(64))
    yield made
    made.end()


def row(text: str, pid: int) -> str:
    return next(line for line in text.splitlines() if line.split()[0] == str(pid))


@pytest.mark.guest
def test_agents_are_listed_with_what_they_hold(shell: Shell, agent: Agent) -> None:
    (told,) = [each for each in shell.json("agents") if each["pid"] == agent.pid]
    assert (told["name"], told["importance"], told["state"], told["smus"]) == (agent.name, 300, "active", 1)
    assert told["logical_bytes"] == 192_000 and told["resident_top"] >= 192_000
    shown = row(shell.says("agents"), agent.pid)
    assert agent.name in shown and "187.5 KiB" in shown and "active" in shown


@pytest.mark.guest
def test_stat_tells_of_objects_agents_and_all(shell: Shell, agent: Agent) -> None:
    smu = shell.json("stat", agent.digest)
    assert (smu["length"], smu["type"], smu["digest"]) == (192_000, "tool-def", agent.digest)
    assert smu["holders"] == 2, "the agent, and who looks"
    assert smu["backend"] == agentmem.backend()
    assert shell.json("stat", agent.name)["smus"] == shell.json("stat", str(agent.pid))["smus"] == 1
    with agentmem.put(b"one more", Type.TOOL_DEF):
        before = agentmem.stats(Scope.DOMAIN)
        assert shell.json("stat")["logical_bytes"] == before.logical_bytes
    assert "length          187.5 KiB (192000)" in shell.says("stat", agent.digest[:12])


def test_looking_for_an_object_is_no_use_of_it(shell: Shell, fresh: Fresh) -> None:
    with agentmem.put(fresh(100_000)) as smu:
        smu.mark(Temperature.COLD)
        before = agentmem.stats(Scope.DOMAIN)
        shell.says("explain")
        assert shell.json("stat", str(os.getpid()))["smus"] == before.smus
        shell.fails(3, "get", "000000" if smu.hexdigest[0] != "0" else "111111")
        after = agentmem.stats(Scope.DOMAIN)
    assert (after.attach_hits, after.decompressions) == (before.attach_hits, before.decompressions)


def test_stat_of_the_system_is_for_the_kernel_and_root(shell: Shell) -> None:
    if KERNEL:
        assert shell.json("stat", "--system")["smus"] >= 0
    else:
        assert "this backend has not got that" in shell.fails(4, "stat", "--system")


@pytest.mark.guest
def test_marks_reach_the_agent(shell: Shell, agent: Agent) -> None:
    words = ("cold", "--state=paused", "--importance=9", "--name=archivist")
    assert shell.says("mark", agent.name, *words) == ""
    stats = agentmem.stats(pid=agent.pid)
    assert (stats.name, stats.state, stats.importance) == ("archivist", State.PAUSED, 9)
    assert stats.stored_bytes and not stats.resident_top
    shell.says("mark", str(agent.pid))
    assert agentmem.stats(pid=agent.pid).resident_top >= 192_000


@pytest.mark.guest
def test_a_mark_that_others_overrule_is_told(shell: Shell, agent: Agent) -> None:
    done = shell.run("mark", agent.digest, "cold")
    with agentmem.attach(agent.digest) as smu:
        temperature = smu.stats().temperature
    if KERNEL:
        assert b"it stays hot, as others who hold it say" in done.stderr and temperature is Temperature.HOT
    else:
        assert done.stderr == b"" and temperature is Temperature.COLD
    assert done.returncode == 0


def test_marks_that_make_no_sense_are_told(shell: Shell, agent: Agent) -> None:
    assert "has no state" in shell.fails(2, "mark", agent.digest, "--state=idle")
    assert "no agent has this name" in shell.fails(3, "mark", "nobody at all", "hot")
    assert "no such process" in shell.fails(3, "mark", "4000000", "hot")
    assert "not from 1 to 1000" in shell.fails(2, "mark", str(agent.pid), "--importance=0")
    assert "invalid choice" in shell.fails(2, "mark", str(agent.pid), "tepid")


def test_a_name_that_two_have_is_told(shell: Shell, agent: Agent, fresh: Fresh) -> None:
    other = Agent(agent.name, fresh(64))
    told = shell.fails(2, "mark", agent.name, "hot")
    assert "several processes" in told and str(agent.pid) in told and str(other.pid) in told
    other.end()


def test_a_beginning_that_two_have_is_told(shell: Shell) -> None:
    """The SHA-256 of these numbers, as text, have six digits in common."""
    digests = [shell.put(str(number).encode()) for number in (4163, 8864)]
    assert "2 objects begin with this" in shell.fails(2, "get", digests[0][:6])


def test_explain_leaves_agents_at_work_alone(shell: Shell, agent: Agent) -> None:
    assert not any("idle or paused" in each["what"] for each in shell.json("explain")["savings"])


def test_explain_says_where_it_is_and_what_would_save_more(shell: Shell, agent: Agent) -> None:
    agentmem.mark(state=State.IDLE, pid=agent.pid)
    told = shell.json("explain")
    assert told["backend"] == agentmem.backend() and told["types"]["tool-def"]["length"] >= 192_000
    assert agent.digest in {each["digest"] for each in told["largest"]}
    saving = next(each for each in told["savings"] if "idle or paused" in each["what"])
    assert saving["bytes"] >= 192_000 and str(agent.pid) in saving["command"]
    text = shell.says("explain")
    assert saving["command"] in text and "TYPE" in text
    assert ("The fallback compresses what is marked" in text) is not KERNEL


@pytest.mark.guest
def test_what_explain_says_saves_that(shell: Shell, agent: Agent) -> None:
    agentmem.mark(state=State.IDLE, pid=agent.pid)
    saving = next(each for each in shell.json("explain")["savings"] if "idle or paused" in each["what"])
    before = agentmem.stats(pid=agent.pid)
    done = subprocess.run(["sh", "-c", saving["command"]], env=shell.env, capture_output=True)
    assert done.returncode == 0, done
    after = agentmem.stats(pid=agent.pid)
    taken = [stats.resident_top + stats.stored_bytes for stats in (before, after)]
    assert after.stored_bytes and (KERNEL or taken[1] < taken[0] // 10)
    again = [each for each in shell.json("explain")["savings"] if "idle or paused" in each["what"]]
    assert not any(str(agent.pid) in each["command"] for each in again)


def test_explain_tells_of_short_appends(shell: Shell, fresh: Fresh) -> None:
    """30 states, each with 100 bytes more: the last one rests on all others."""
    smu = agentmem.put(fresh(5000))
    for _ in range(30):
        former, smu = smu, smu.append(fresh(100))
        former.close()
    before = agentmem.stats(Scope.DOMAIN)
    saving = next(each for each in shell.json("explain")["savings"] if "whole pages" in each["what"])
    taken = before.resident_top + before.resident_lower + before.stored_bytes
    assert saving["bytes"] == pytest.approx(taken - before.unique_bytes, rel=0.1) and "append more" in saving["command"]
    smu.close()


def test_names_do_not_reach_the_terminal_as_they_are(shell: Shell, agent: Agent) -> None:
    agentmem.mark(name="red \x1b[31m\n", pid=agent.pid)
    assert "red ?[31m?" in row(shell.says("agents"), agent.pid)


def test_completion_has_words(shell: Shell, agent: Agent) -> None:
    agentmem.mark(name="completable", pid=agent.pid)
    assert {str(agent.pid), "completable"} <= set(shell.says("_words", "agents").split())
    assert agent.digest in shell.says("_words", "objects").split()


def test_json_is_for_every_verb_that_reports(shell: Shell) -> None:
    for verb in ("stat", "agents", "explain"):
        json.loads(shell.says(verb, "--json"))
