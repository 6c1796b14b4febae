# SPDX-License-Identifier: MIT
"""Pictures of a fleet at work, as a tar on standard output: python pictures.py TEXTS | tar -x -C DIRECTORY.

For the kernel's backend, as root: `agentmem top` as it is on a terminal of 120 columns, and two flame graphs.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agentmem.command import trace
from agentmem.command.top import Top

HERE = Path(__file__).parent
TURNS, PAUSE = 60, 1.0
FONTS = re.compile(r"@font-face \{.*?\}\n?", re.S)
TAKEN, OWN = "font-family: Fira Code,", "font-family: ui-monospace, DejaVu Sans Mono,"


@contextlib.contextmanager
def fleet(texts: str) -> Iterator[None]:
    argv = [sys.executable, str(HERE / "fleet.py"), texts, str(TURNS), str(PAUSE)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdin and started.stdout
        started.stdout.readline()
        yield
        started.stdin.close()


@contextlib.contextmanager
def flames(place: Path) -> Iterator[None]:
    """Two at once; each records in an instance of its own."""
    command = [sys.executable, "-m", "agentmem.command", "flame"]
    graphs = {by: place / f"agentmem-flame-{by}.svg" for by in ("bytes", "saved")}
    started = [subprocess.Popen([*command, f"--by={by}", f"--svg={there}"]) for by, there in graphs.items()]
    for each in started:
        events = trace.TRACEFS / "instances" / f"agentmem-{each.pid}" / "events" / "agent_mem"
        last = events / list(trace.EVENTS)[-1] / "enable"
        while not last.exists() or last.read_text().strip() != "1":
            time.sleep(0.2)
    yield
    for each in started:
        each.terminate()
        each.wait()


async def screenshot(there: Path) -> None:
    app = Top()
    async with app.run_test(size=(120, 16)) as pilot:
        await pilot.pause(5)
        await pilot.press("down")
        await pilot.pause(1)
        picture = app.export_screenshot(title=app.title)
    # A picture of a page takes nothing from elsewhere: the machine's own letters do.
    there.write_text(FONTS.sub("", picture).replace("<svg ", '<svg xml:space="preserve" ', 1).replace(TAKEN, OWN))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with flames(place), fleet(sys.argv[1]):
            asyncio.run(screenshot(place / "agentmem-top.svg"))
        with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
            for path in sorted(place.iterdir()):
                archive.add(path, path.name)


if __name__ == "__main__":
    main()
