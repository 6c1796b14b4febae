# SPDX-License-Identifier: MIT
"""flame: what a recorded trace says; with the kernel's backend, recording."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from shell import PROGRAM, Shell, fleet

import agentmem
from agentmem.command import svg, trace
from agentmem.command.fold import Folded, lines

TRACE = Path(__file__).with_name("trace.txt")  # lines of a trace_pipe, of a fleet in a guest
DOCS = Path(__file__).parents[3] / "docs"
PAGE = Path(__file__).parents[1] / "man" / "agentmem.1"
SVG = "{http://www.w3.org/2000/svg}"


def event(name: str, told: str, comm: str = "agent", tid: int = 7) -> trace.Event:
    parsed = trace.parse(f"  {comm}-{tid}   [001] .....   12.345678: {name}: {told}")
    assert parsed
    return parsed


def folded(*events: trace.Event) -> Folded:
    made = Folded(lambda event: f"name of {event.comm}")
    for each in events:
        made.add(each)
    return made


def alloc(number: int, size: int, name: str = "smu_alloc") -> trace.Event:
    return event(name, f"ino={number} type=1 size={size} digest={number:064x}")


def compress(number: int, chunk: int, length: int, stored: int) -> trace.Event:
    return event("smu_compress", f"ino={number} chunk={chunk} len={length} stored={stored}", "kswapd0", 40)


# -- reading --


def test_lines_of_a_trace_are_understood() -> None:
    text = "    my agent-2-123     [000] d..1.  1234.567890: smu_dedup: ino=5 type=3 size=70 digest=ab"
    parsed = trace.parse(text)
    assert parsed == trace.Event(
        "smu_dedup", "my agent-2", 123, {"ino": "5", "type": "3", "size": "70", "digest": "ab"}
    )
    assert trace.parse("# tracer: nop") is trace.parse("bash-1 [000] ..... 1.2: sched_switch: prev_comm=x") is None
    assert trace.lost("CPU:1 [LOST 37 EVENTS]") == 37 and trace.lost(text) == 0


@pytest.mark.parametrize(
    "cut", ["", "ino=5", "ino=5 type=3 size=", "ino=5 type=x size=7 digest=ab", "ino=-1 type=1 size=7"]
)
def test_lines_that_are_not_whole_are_left_out(cut: str) -> None:
    assert trace.parse(f"  agent-7  [000] ..... 1.5: smu_alloc: {cut}") is None


def test_a_type_that_is_not_known_has_its_number() -> None:
    (stack,) = folded(event("smu_alloc", "ino=5 type=9 size=7 digest=ab")).bytes
    assert stack[2] == "type 9"


def test_a_real_trace_is_folded(shell: Shell) -> None:
    text = TRACE.read_text()
    stacks = shell.says("flame", "--read", str(TRACE)).splitlines()
    assert all(re.fullmatch(r"[^;]+(;[^;]+){4} \d+", line) for line in stacks)
    sizes = re.findall(r"(smu_alloc|smu_dedup|smu_attach): .*? size=(\d+)", text)
    assert sum(int(line.rsplit(" ", 1)[1]) for line in stacks) == sum(int(size) for _, size in sizes)
    told = shell.json("flame", "--read", str(TRACE))
    found = [each for each in told if "found equal" in each["stack"]]
    dedup = sum(int(size) for name, size in sizes if name == "smu_dedup")
    assert sum(each["saved"] for each in found) == sum(each["bytes"] for each in found) == dedup > 0
    assert any("compressed" in each["stack"] for each in told), "the archivist's"


def test_a_trace_comes_from_standard_input_too(shell: Shell) -> None:
    assert (
        shell.run("flame", "--read=-", input=TRACE.read_bytes()).stdout
        == shell.run("flame", "--read", str(TRACE)).stdout
    )


def test_what_is_no_trace_is_told(shell: Shell) -> None:
    assert "has no event of agent_mem" in shell.fails(1, "flame", "--read", str(DOCS / "c.md"))
    assert "No such file" in shell.fails(1, "flame", "--read", "/nonexistent")


def test_recording_says_what_it_needs(shell: Shell) -> None:
    if agentmem.backend() == "fallback":
        told = shell.fails(4, "flame", "--seconds=1")
        assert "the fallback has no tracepoints: this kernel, or the build of this package" in told
    elif os.geteuid():
        told = shell.fails(1, "flame", "--seconds=1")
        assert "tracing is for root" in told and 'sudo "$(command -v agentmem)" flame' in told
    else:
        assert shell.run("flame", "--seconds=0.1").returncode == 0


@pytest.mark.parametrize("path", [DOCS / "operator.md", PAGE, Path(trace.__file__)], ids=lambda path: path.name)
def test_sudo_is_shown_with_the_full_name(path: Path) -> None:
    """Its own path has no venv."""
    text = path.read_text().replace("\\-", "-")
    assert 'sudo "$(command -v agentmem)" flame' in text and "sudo agentmem" not in text


# -- folding --


def test_bytes_are_all_that_was_brought_and_saved_what_was_there() -> None:
    made = folded(alloc(1, 1000), alloc(1, 1000, "smu_dedup"), alloc(1, 1000, "smu_attach"))
    above, digest = ("name of agent", "agent", "system-prompt"), f"{1:064x}"[:12]
    assert made.bytes == {(*above, how, digest): 1000 for how in ("new", "found equal", "found by digest")}
    assert made.saved == {(*above, how, digest): 1000 for how in ("found equal", "found by digest")}


def test_a_compressed_chunk_counts_as_it_is_last_and_for_who_brought_the_object() -> None:
    made = folded(alloc(1, 300_000), compress(1, 0, 131_072, 60_000), compress(1, 1, 131_072, 50_000))
    made.add(compress(1, 0, 131_072, 40_000))
    (stack,) = made.saved
    assert stack[:4] == ("name of agent", "agent", "system-prompt", "compressed")
    assert made.saved[stack] == 2 * 131_072 - 90_000
    made.add(event("smu_free", "ino=1 type=1 size=300000 digest=ab"))
    made.add(alloc(1, 5))  # another object with the same number
    made.add(compress(1, 0, 5, 4))
    assert sum(made.saved.values()) == 2 * 131_072 - 90_000 + 1


def test_objects_from_before_the_recording_have_a_place() -> None:
    assert folded(compress(9, 0, 100, 40)).saved == {("(from before)", "compressed"): 60}


def test_names_cannot_break_the_format() -> None:
    assert list(lines(Counter({("a;b\nc", ""): 5}))) == ["a,b?c;? 5"]


# -- drawing --


def test_the_graph_has_each_stack_as_wide_as_it_is(shell: Shell) -> None:
    drawn = svg.draw(Counter({("a", "<&>"): 300, ("a", "y"): 100, ("b",): 400}), "Title")
    root = ElementTree.fromstring(drawn)
    groups = {
        str(group.findtext(f"{SVG}title")).split(":")[0]: group.find(f"{SVG}rect") for group in root.iter(f"{SVG}g")
    }
    wide = {name: float(rect.get("width", 0)) for name, rect in groups.items() if rect is not None}
    assert set(wide) == {"all", "a", "b", "<&>", "y"}
    assert wide["all"] == pytest.approx(1180, abs=1) and wide["a"] == pytest.approx(wide["b"], abs=1)
    assert wide["<&>"] == pytest.approx(3 * wide["y"], abs=2)
    assert "<script" not in drawn
    empty = ElementTree.fromstring(svg.draw(Counter(), "None"))
    assert "None: 0 B" in "".join(empty.itertext())


def test_the_graph_goes_to_the_file_that_is_named(shell: Shell) -> None:
    there = shell.place / "graph.svg"
    assert shell.says("flame", "--read", str(TRACE), "--by=saved", "--svg", str(there)) == ""
    assert "took no memory" in "".join(ElementTree.parse(there).getroot().itertext())
    assert "No such file" in shell.fails(1, "flame", "--read", str(TRACE), "--svg", "/nonexistent/graph.svg")


# -- recording --


@pytest.mark.records
def test_a_command_is_recorded_with_its_agents(shell: Shell, fresh: Callable[[int], bytes]) -> None:
    (shell.place / "text").write_bytes(content := fresh(10_000))
    code = "import agentmem, sys; agentmem.agent('painter'); d = open(sys.argv[1], 'rb').read(); " \
        "held = [agentmem.put(d, agentmem.Type.TOOL_DEF) for _ in range(3)]; sys.exit(9)"  # fmt: skip
    done = shell.run("flame", "--", sys.executable, "-c", code, str(shell.place / "text"))
    assert done.returncode == 9 and done.stderr == b"", done
    ours = [line for line in done.stdout.decode().splitlines() if "painter" in line]
    counts = {line.split(";")[3]: int(line.rsplit(" ", 1)[1]) for line in ours}
    assert counts == {"new": len(content), "found equal": 2 * len(content)}, done
    assert {line.split(";")[2] for line in ours} == {"tool-def"}
    assert not list((trace.TRACEFS / "instances").glob("agentmem-*"))


@pytest.mark.records
def test_a_signal_ends_a_recording_with_what_it_has(shell: Shell) -> None:
    started = subprocess.Popen([PROGRAM, "flame", "--json"], stdout=subprocess.PIPE, env=shell.env)
    instance = trace.TRACEFS / "instances" / f"agentmem-{started.pid}" / "events" / "agent_mem" / "smu_free" / "enable"
    while not instance.exists() or instance.read_text().strip() != "1":
        time.sleep(0.1)
    with fleet(shell, DOCS):
        started.send_signal(signal.SIGTERM)
        told = started.communicate()[0].decode()
    assert started.returncode == 0 and '"coder"' in told
    assert not instance.exists()
