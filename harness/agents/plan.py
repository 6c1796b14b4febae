"""What the scripted model does: it explores one part of a kernel tree, read-only, another way for each seed.

A plan is made from the tree itself (its files, the functions defined in them), so that commands find what
they look for, as a model's would, and now and then do not. Standard library only: run_agent.py imports it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PARTS = (
    "arch/x86/kvm", "block", "crypto", "drivers/base", "drivers/i2c", "drivers/md", "drivers/nvme/host",
    "drivers/pci", "drivers/scsi", "drivers/spi", "drivers/usb/core", "fs/btrfs", "fs/ext4", "fs/fuse",
    "fs/nfs", "fs/overlayfs", "fs/xfs", "io_uring", "ipc", "kernel/bpf", "kernel/sched", "kernel/time",
    "kernel/trace", "lib", "net/core", "net/ipv4", "net/ipv6", "net/mac80211", "net/netfilter", "net/sctp",
    "security/selinux", "sound/core", "virt/kvm",
)  # fmt: skip
FUNCTIONS = (5, 16)  # looked into in one session: least and most
DEFINITION = re.compile(r"^(?:static |noinline |inline |__\w+ )*[a-z_][\w ]*[ *]+\*?([a-z_]\w{4,})\([^;]*$")
LOCKS = r"mutex_lock\|spin_lock\|rcu_read_lock\|down_read\|down_write"

TASKS = (
    "`{function}` in {file} may be called with bad state after an error. Find its callers and check each.",
    "Explain how {part} takes its locks, starting from {file}. Can `{function}` run without them?",
    "We want to change the return type of `{function}` ({file}). List every place that has to change.",
    "Review the error paths around `{function}` in {file}: what could be leaked, and by which path?",
    "Somebody reports a crash in `{function}` ({file}). Read the code around it: what could be NULL there?",
    "Write down for a newcomer how {part} is put together: files, entry points, what `{function}` is for.",
)
READ_ONLY = " Report only; do not change the tree."


@dataclass(frozen=True)
class Step:
    thought: str
    command: str


@dataclass(frozen=True)
class Plan:
    task: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Function:
    name: str
    file: str
    line: int


def make(tree: Path, part: str, seed: int) -> Plan:
    """The plan of one session over `part` (a directory of the tree)."""
    chance = random.Random(f"{part} {seed}")
    files = sorted(str(path.relative_to(tree)) for path in (tree / part).glob("*.c"))
    focus = chance.sample(files, min(len(files), chance.randint(2, 5)))
    functions = [f for file in focus for f in defined(tree, file)] or [f for x in files for f in defined(tree, x)]
    chosen = chance.sample(functions, min(len(functions), chance.randint(*FUNCTIONS)))
    task = chance.choice(TASKS).format(function=chosen[0].name, file=chosen[0].file, part=part)
    steps = [*_orientation(part, focus, chance)]
    for function in chosen:
        steps += _look_into(function, part, chance)
        if chance.random() < 0.35:
            steps.append(_aside(function, part, chance))
    return Plan(task + READ_ONLY, tuple(steps))


def defined(tree: Path, file: str) -> list[Function]:
    """The functions that a C file defines, told by style: at the start of a line, no semicolon."""
    lines = (tree / file).read_text("utf-8", "replace").split("\n")
    found = ((number, DEFINITION.match(line)) for number, line in enumerate(lines, 1))
    return [Function(match[1], file, number) for number, match in found if match]


def _orientation(part: str, focus: list[str], chance: random.Random) -> Iterator[Step]:
    yield Step(f"I start with an overview of {part}.", f"ls {part} | head -n 80")
    yield Step("How large are the files?", f"wc -l {part}/*.c | sort -n | tail -n 25")
    if chance.random() < 0.6:
        yield Step("The Makefile tells which files belong together.", f"cat {part}/Makefile")
    for file in focus:
        length = chance.choice((60, 90, 140))
        yield Step(f"Now {file}: its head says what it is about.", f"sed -n '1,{length}p' {file}")
        if chance.random() < 0.5:
            yield Step("Which locks does it take?", f'grep -n "{LOCKS}" {file} | head -n {chance.choice((30, 60))}')


def _look_into(function: Function, part: str, chance: random.Random) -> Iterator[Step]:
    name, file, line = function.name, function.file, function.line
    start, end = max(1, line - chance.randint(4, 25)), line + chance.choice((40, 60, 90, 140))
    yield Step(f"Who uses `{name}`?", f"git grep -n -w {name} -- {part}")
    yield Step(
        f"`{name}` is defined at line {line}; I read it with what surrounds it.",
        f"sed -n '{start},{end}p' {file}",
    )
    if chance.random() < 0.4:
        yield Step("Is it known outside of this directory?", f"git grep -n -w {name} -- include kernel | head -n 20")
    if chance.random() < 0.3:
        yield Step("The lines that follow matter, too.", f"nl -ba {file} | sed -n '{end},{end + 70}p'")


def _aside(function: Function, part: str, chance: random.Random) -> Step:
    """A step beside the main path, some of which come to nothing, as they do."""
    stem = function.file.rsplit("/", 1)[-1].removesuffix(".c")
    return chance.choice(
        (
            Step("Is there a header of its own?", f"cat {part}/{stem}.h"),
            Step("Which symbols are exported?", f"grep -n EXPORT_SYMBOL {function.file} | head -n 40"),
            Step("What do the headers here hold?", f"find {part} -maxdepth 1 -name '*.h' | sort | xargs wc -l"),
            Step("Is it documented?", f"git grep -l -w {function.name} -- Documentation | head -n 20"),
            Step("Where can it fail?", f'grep -n "goto \\|return -E" {function.file} | head -n 80'),
            Step("Which structures are declared here?", f"grep -n '^struct .* {{' {part}/*.[ch] | head -n 50"),
            Step("What does Kconfig say?", f"sed -n '1,70p' {part}/Kconfig"),
            Step(
                "Are there self-tests that call it?",
                f"git grep -n -w {function.name} -- tools/testing | head -n 20",
            ),
        )
    )
