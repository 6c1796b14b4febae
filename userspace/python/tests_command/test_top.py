# SPDX-License-Identifier: MIT
"""top: textual's own pilot presses the keys."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from shell import PATIENCE, PROGRAM, Shell, fleet
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

import agentmem
from agentmem import State
from agentmem.command.columns import NAMES
from agentmem.command.sample import Sampler
from agentmem.command.top import Top

DOCS = Path(__file__).parents[3] / "docs"
ROLES = ["archivist", "coder", "planner", "reviewer", "tester"]


@pytest.fixture
def agents(shell: Shell) -> Iterator[None]:
    with fleet(shell, DOCS):
        yield


def drive(steps: Callable[[Top, Pilot[None]], Awaitable[None]], sort: str = "agent") -> None:
    async def session() -> None:
        app = Top(0.2, sort)
        async with app.run_test(size=(140, 30)) as pilot:
            await steps(app, pilot)

    asyncio.run(session())


def column(app: Top, name: str) -> list[str]:
    table = app.query_one(DataTable)
    return [str(table.get_cell(key, name)).strip() for key in table.rows]


def ours(app: Top, name: str) -> dict[str, str]:
    """A column of the fleet's agents."""
    shown = dict(zip(column(app, "agent"), column(app, name), strict=True))
    return {role: shown[role] for role in ROLES}


async def until(pilot: Pilot[None], ready: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE / 0.1)):
        if ready():
            return
        await pilot.pause(0.1)
    raise AssertionError("it did not happen")


def said(app: Top, where: str = "#said") -> str:
    return str(app.query_one(where, Static).visual)


@pytest.mark.usefixtures("agents")
@pytest.mark.guest
def test_agents_are_shown_and_sorted_by_keys() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        names = [name for name in column(app, "agent") if name in ROLES]
        assert names == ROLES
        assert ours(app, "state")["coder"] == "active" and int(ours(app, "smus")["coder"]) >= 5
        assert "logical" in said(app, "#total") and agentmem.backend() in said(app, "#total")
        await pilot.press("r")
        assert [name for name in column(app, "agent") if name in ROLES] == ROLES[::-1]
        await pilot.press("s", "s")
        assert app.sort_by == "importance"
        shown = [int(number) for number in column(app, "importance")]
        assert shown == sorted(shown, reverse=True) and shown[0] == 900
        await pilot.press("S", "S", "S", "S")
        assert app.sort_by == NAMES[-1], "after the first comes the last"

    drive(steps)


@pytest.mark.usefixtures("agents")
@pytest.mark.guest
def test_keys_mark_the_agent_under_the_cursor() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        table = app.query_one(DataTable)
        table.move_cursor(row=column(app, "agent").index("planner"))
        pid = int(ours(app, "pid")["planner"])
        await pilot.press("c")
        assert "planner: marked cold" in said(app)
        assert agentmem.stats(pid=pid).stored_bytes > 0
        await pilot.press("p")
        await until(pilot, lambda: ours(app, "state")["planner"] == "paused")
        assert agentmem.stats(pid=pid).state is State.PAUSED
        await pilot.press("r")  # the row is another one now, and the cursor is on it
        await pilot.press("p")
        await until(pilot, lambda: ours(app, "state")["planner"] == "active")
        before = agentmem.stats(pid=pid).resident_top
        await pilot.press("h")
        assert agentmem.stats(pid=pid).resident_top > before

    drive(steps)


@pytest.mark.usefixtures("agents")
def test_it_stands_still_and_goes_on(fresh: Callable[[int], bytes]) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("space")
        before = said(app, "#total")
        held = agentmem.put(fresh(5_000_000))
        await pilot.pause(1)
        assert said(app, "#total") == before and "stands still" in said(app)
        await pilot.press("space")
        await until(pilot, lambda: said(app, "#total") != before)
        held.close()

    drive(steps)


def test_a_mark_that_fails_is_told_and_it_goes_on(shell: Shell) -> None:
    with fleet(shell, DOCS) as started:

        async def steps(app: Top, pilot: Pilot[None]) -> None:
            app.query_one(DataTable).move_cursor(row=column(app, "agent").index("tester"))
            await pilot.press("space")
            started.communicate(timeout=PATIENCE)
            await pilot.press("w")
            assert "the process has ended" in said(app)
            await pilot.press("space")
            await until(pilot, lambda: "tester" not in column(app, "agent"))

        drive(steps)


def test_hits_of_a_second_are_what_became_of_them(fresh: Callable[[int], bytes]) -> None:
    content, sampler = fresh(5000), Sampler()
    first = sampler.take()
    assert first.rate == 0
    with agentmem.put(content):
        for _ in range(30):
            agentmem.put(content).close()
    second = sampler.take()
    assert second.total.dedup_hits - first.total.dedup_hits >= 30
    assert second.rate > 0
    assert sampler.take().rate == 0


def test_it_runs_on_a_terminal_and_ends_with_a_key(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    env = {**shell.env, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "30"}
    process = subprocess.Popen([PROGRAM, "top"], stdin=theirs, stdout=theirs, stderr=theirs, env=env, close_fds=True)
    os.close(theirs)
    seen = bytearray()

    def read() -> None:
        try:
            while part := os.read(ours, 65536):
                seen.extend(part)
                if b"Quit" in seen and b"asked" not in seen:
                    seen.extend(b"asked")
                    os.write(ours, b"q")
        except OSError:
            pass  # the other side is gone

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(PATIENCE) == 0
    reader.join()
    assert b"ratio" in seen and b"Traceback" not in seen
    os.close(ours)


def test_without_a_terminal_or_the_library_it_says_what_to_do(shell: Shell) -> None:
    assert "needs a terminal" in shell.fails(1, "top")
    (shell.place / "textual.py").write_text("raise ModuleNotFoundError('no', name='textual')\n")
    told = shell.fails(4, "top", PYTHONPATH=str(shell.place))
    assert "top needs textual" in told and "pip install 'agentmem[top]'" in told


def test_only_top_needs_the_library(shell: Shell) -> None:
    (shell.place / "textual.py").write_text("raise ModuleNotFoundError('no', name='textual')\n")
    env = {**shell.env, "PYTHONPATH": str(shell.place)}
    code = "import sys, agentmem.command.parser as p; p.build(); sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0
