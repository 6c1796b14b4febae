# SPDX-License-Identifier: MIT
"""The verb top: agents as they are now, on a terminal."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import agentmem
from agentmem import State, Temperature
from agentmem.command.columns import COLUMNS, NAMES, WORDS, Row
from agentmem.command.sample import Sample, Sampler
from agentmem.command.show import memory, plain, ratio, size, word
from agentmem.command.trouble import Exit, Trouble, of_system

try:
    from rich.text import Text
    from textual.app import App, ComposeResult
    from textual.css.query import NoMatches
    from textual.widgets import DataTable, Footer, Sparkline, Static
except ModuleNotFoundError as error:
    raise Trouble(f"top needs {error.name}", "pip install 'agentmem[top]'", Exit.NOT_HERE) from None

KEPT = 120  # rates for the line of the last minutes

COLOURS = {State.ACTIVE: "green", State.IDLE: "yellow", State.PAUSED: "red"}


class Top(App[None]):
    """The figures of all agents, and keys for what is done to the one under the cursor."""

    TITLE = "agentmem top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #total { padding: 0 1; height: 3; }
    #rate { height: 2; margin: 0 1; }
    #said { padding: 0 1; height: 1; color: $text-muted; }
    DataTable { height: 1fr; }
    """
    BINDINGS = [
        ("q", "quit", "Quit"),
        ("space", "stand_still", "Stand still"),
        ("s", "sort(1)", "Sort by next"),
        ("S", "sort(-1)", "by former"),
        ("r", "reverse", "Reverse"),
        ("h", "mark('HOT')", "Hot"),
        ("w", "mark('WARM')", "Warm"),
        ("c", "mark('COLD')", "Cold"),
        ("p", "pause", "Pause/resume agent"),
    ]

    def __init__(self, interval: float = 1.0, sort: str = "logical") -> None:
        super().__init__()
        self.interval, self.sort_by, self.reversed, self.still = interval, sort, sort not in WORDS, False
        self._sampler, self._sample = Sampler(), Sample(agentmem.stats(agentmem.Scope.DOMAIN), 0.0, ())
        self._rates: deque[float] = deque([0.0], maxlen=KEPT)

    def compose(self) -> ComposeResult:
        yield Static(id="total")
        yield Sparkline(self._rates, id="rate")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static(id="said")
        yield Footer()

    def on_mount(self) -> None:
        self.tick()
        self.set_interval(self.interval, self.tick)

    def tick(self) -> None:
        if self.still:
            return
        try:
            self._sample = self._sampler.take()
        except OSError as error:
            self.say(of_system(error).cause)
            return
        self._rates.append(self._sample.rate)
        with suppress(NoMatches):  # a timer's last tick comes when all is taken down
            self.show()

    # -- keys --

    def action_stand_still(self) -> None:
        self.still = not self.still
        self.say("stands still; space goes on" if self.still else "")

    def action_sort(self, step: int) -> None:
        self.sort_by = NAMES[(NAMES.index(self.sort_by) + step) % len(NAMES)]
        self.reversed = self.sort_by not in WORDS
        self.show()

    def action_reverse(self) -> None:
        self.reversed = not self.reversed
        self.show()

    def action_mark(self, name: str) -> None:
        temperature = Temperature[name]
        self._do(lambda row: agentmem.mark(temperature, pid=row.pid), f"marked {word(temperature)}")

    def action_pause(self) -> None:
        def turn(row: Row) -> None:
            paused = row.stats.state is State.PAUSED
            agentmem.mark(state=State.ACTIVE if paused else State.PAUSED, pid=row.pid)

        self._do(turn, "state changed")

    def _do(self, deed: Callable[[Row], None], done: str) -> None:
        """To the agent under the cursor; what fails is said in the line below."""
        table = self.query_one(DataTable)
        row = next((row for row in self._sample.rows if str(row.pid) == self._selected(table)), None)
        if row is None:
            self.say("there is no agent")
            return
        try:
            deed(row)
        except OSError as error:
            self.say(f"{row.pid}: {of_system(error).cause}")
            return
        self.say(f"{row.pid} {plain(row.stats.name)}: {done}")
        self.tick()

    # -- what is seen --

    def show(self) -> None:
        self.query_one("#total", Static).update(_total(self._sample))
        self.query_one(Sparkline).data = list(self._rates)
        table = self.query_one(DataTable)
        selected, scrolled = self._selected(table), table.scroll_y
        by = COLUMNS[NAMES.index(self.sort_by)].key
        rows = sorted(self._sample.rows, key=by, reverse=self.reversed)
        mark = "▼" if self.reversed else "▲"
        cells = [[column.shown(row) for row in rows] for column in COLUMNS]
        table.clear(columns=True)
        for name, column in zip(NAMES, cells, strict=True):
            head = f"{name} {mark}" if name == self.sort_by else name
            wide = max(map(len, (head, *column)))
            side = str.ljust if name in WORDS else str.rjust
            column[:] = (side(cell, wide) for cell in column)
            table.add_column(side(head, wide), key=name)
        for row, line in zip(rows, zip(*cells, strict=True), strict=True):
            table.add_row(*(_coloured(row, *cell) for cell in zip(NAMES, line, strict=True)), key=str(row.pid))
        if any(str(row.pid) == selected for row in rows):
            table.move_cursor(row=table.get_row_index(selected), scroll=False)
        table.scroll_to(y=scrolled, animate=False)

    def say(self, words: str) -> None:
        self.query_one("#said", Static).update(Text(words))

    @staticmethod
    def _selected(table: DataTable[Text]) -> str:
        if not table.row_count:
            return ""
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value or ""


def _total(sample: Sample) -> Text:
    total = sample.total
    seen = f"{len(sample.rows)} agents  {total.smus} SMUs held  {agentmem.backend()} backend\n"
    where = f"logical {size(total.logical_bytes)}  unique {size(total.unique_bytes)}"
    where += f"  top tier {size(total.resident_top)}  lower tiers {size(total.resident_lower)}"
    where += f"  stored {size(total.stored_bytes)}"
    hits = f"\nratio {ratio(total.logical_bytes, memory(total))}  dedup hits {total.dedup_hits}, {sample.rate:.1f}/s"
    return Text(f"{seen}{where}{hits}")


def _coloured(row: Row, name: str, words: str) -> Text:
    return Text(words, COLOURS.get(row.stats.state, "") if name == "state" and row.stats.state else "")


def top(args: Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Trouble("top needs a terminal", "agentmem agents --json", Exit.FAILED)
    Top(args.interval, args.sort).run()
    return Exit.DONE
