"""The gates a series passes before it is mailed. Each is a file of ci/gates: what to run, and what is a complaint.

A gate runs a command once for each item (a patch, a source), or make once for all objects. A line that matches
`complaint`, an exit code that is not 0 without one, or output without `require` fails it. An exception is data, too:
a pattern and the reason why such lines are right.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness import git, kbuild, kernel, logs, proc, series, tree
from harness.cache import REPO, locked, log_file, work_dir
from harness.errors import ApplyError, BuildError, ConfigError, GuestFault, UsageError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.pin import PATCHES
from harness.progress import Update

GATES = REPO / "ci" / "gates"
CHECKED = "agent_mem-check"  # branch of the worktree in which gates run
COMPILED = ("mm/", "drivers/", "lib/", "fs/")  # where the series' objects come from
HOOKED = (*COMPILED, "kernel/")  # where it changes what is there
Over = Literal["patch", "source", "added", "object", "changed", "compiled", "kunit"]


@dataclass(frozen=True)
class Exemption:
    match: str
    reason: str


@dataclass(frozen=True)
class Gate:
    """One file of ci/gates. command gets each item of `over` as its last argument; make gets all at once."""

    name: str
    summary: str
    over: Over
    command: tuple[str, ...] = ()
    make: tuple[str, ...] = ()
    flavour: str = "lab"
    complaint: str = ""
    require: str = ""
    exceptions: tuple[Exemption, ...] = ()

    def complaints(self, said: str) -> list[str]:
        """The lines of a tool's output that count against the series."""
        if not self.complaint:
            return []
        lines = [line.strip() for line in said.splitlines() if re.search(self.complaint, line)]
        return [line for line in lines if not any(re.search(one.match, line) for one in self.exceptions)]


@dataclass(frozen=True)
class Verdict:
    """What became of a gate: no complaint is a pass. `items` says over how many things it looked."""

    name: str
    summary: str
    items: int
    complaints: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.complaints


def read(directory: Path = GATES) -> list[Gate]:
    return [_gate(path) for path in sorted(directory.glob("*.toml"))]


def _gate(path: Path) -> Gate:
    try:
        with path.open("rb") as stream:
            table = tomllib.load(stream)
        exceptions = tuple(Exemption(**one) for one in table.pop("exception", []))
        for name in ("command", "make"):
            table[name] = tuple(table.get(name, ()))
        gate = Gate(path.stem, exceptions=exceptions, **table)
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if bool(gate.command) == bool(gate.make) or not (gate.complaint or gate.require):
        raise UsageError(f"{path} needs either command or make, and a complaint or require pattern")
    for pattern in (gate.complaint, gate.require, *(one.match for one in exceptions)):
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"{path}: {pattern!r} is no pattern: {error}") from error
    return gate


def run(gates: Sequence[Gate], update: Update) -> Iterator[Verdict]:
    """Export and apply first; the other gates need a tree that holds the patches."""
    yield exported()
    applied = applies(update)
    yield applied
    if not applied.good:
        return
    for gate in gates:
        update(gate.name)
        yield Runner(check_tree()).run(gate, update)


# -- the two gates that are no tool's ------------------------------------------------------------------------------


def exported() -> Verdict:
    """Branch and patches/ are the same; patches/ is not touched."""
    found = tree.differences()
    complaints = tuple(f"patches/{name}: {difference} (harness export writes it)" for name, difference in found.items())
    return Verdict("export", "patches/ holds exactly the branch", len(tree.commits(tree.main_tree())), complaints)


def check_tree() -> Path:
    return work_dir("check") / "linux"


def applies(update: Update) -> Verdict:
    """`git am` puts all patches on the plain base, and what comes out is the branch's content."""
    summary = "git am puts the patches on the plain base"
    patches = [*series.files(PATCHES / "fixes"), *series.files(PATCHES)]
    main, aside = tree.main_tree(), check_tree()
    base = git.line(main, "rev-parse", tree.BASE)
    with locked("check", shared=False):
        if not git.is_repository(aside):
            update("checking the base out once more")
            git.git(main, "worktree", "prune")
            git.git(main, "worktree", "add", "--quiet", "--force", "--detach", str(aside), base, timeout=1800)
        try:
            tree.move(aside, CHECKED, base, patches)
        except ApplyError as error:
            return Verdict("apply", summary, len(patches), (error.cause,))
    same = git.tree_of(aside) == git.tree_of(main, tree.BRANCH)
    return Verdict("apply", summary, len(patches), () if same else ("the result differs from the branch",))


def each_patch(update: Update) -> Iterator[Verdict]:
    """Builds the lab kernel after every commit of the series, the oldest first, and boots it."""
    main, aside = tree.main_tree(), check_tree()
    flavour = kbuild.flavours()["lab"]
    for number, commit in enumerate(tree.commits(main), start=1):
        subject = git.line(main, "log", "-1", "--format=%s", commit)
        update(subject)
        git.git(aside, "checkout", "--quiet", "--force", "--detach", commit)
        try:
            # A patch in the middle of the series need not know all options of the last one.
            _boots(kernel.build_tree(aside, flavour, strict=False))
            complaints: tuple[str, ...] = ()
        except (BuildError, ConfigError, GuestFault) as error:
            complaints = (f"{error.cause} (log: {error.log})",)
        yield Verdict(f"build {number}", subject, 1, complaints)
    git.git(aside, "checkout", "--quiet", "--force", CHECKED)


def _boots(built: Kernel) -> None:
    """Up to a program, without a splat. GuestFault: not so."""
    with Guest.start(built) as guest:
        guest.run(["true"])


# -- the others ----------------------------------------------------------------------------------------------------


def belongs(checked: Path, item: str, config: str) -> bool:
    """Whether a kernel of this configuration has the object, by the Makefile of its directory."""
    path = Path(item)
    makefile = (checked / path.parent / "Makefile").read_text().replace("\\\n", " ")
    options = re.findall(rf"^obj-\$\((CONFIG_\w+)\).*\s{re.escape(path.name)}(?:\s|$)", makefile, re.MULTILINE)
    return not options or any(f"{option}=y" in config.splitlines() for option in options)


class Runner:
    """Runs gates in one tree that holds the series."""

    def __init__(self, checked: Path) -> None:
        self._tree = checked

    def run(self, gate: Gate, update: Update) -> Verdict:
        items = self.items(gate.over)
        complaints: list[str] = []
        if gate.make:
            complaints = self._made(gate, items, update) if items else []
        else:
            for item in items:
                complaints.extend(self._said(gate, item))
        return Verdict(gate.name, gate.summary, len(items), tuple(complaints))

    def items(self, over: Over) -> list[str]:
        """What a gate looks at: patches by path, the rest by name in the tree."""
        if over == "patch":
            return [str(path) for name in ("fixes", ".", "optional") for path in series.files(PATCHES / name)]
        base = git.line(self._tree, "rev-parse", tree.BASE)
        added = git.line(self._tree, "diff", "--diff-filter=A", "--name-only", base, "HEAD").splitlines()
        changed = git.line(self._tree, "diff", "--diff-filter=M", "--name-only", base, "HEAD").splitlines()
        hooked = [name for name in changed if name.endswith(".c") and name.startswith(HOOKED)]
        kernel_code = [name for name in added if name.endswith(".c") and name.startswith(COMPILED)]
        choices: dict[Over, Callable[[], list[str]]] = {
            "added": lambda: added,
            "source": lambda: [name for name in added if name.endswith((".c", ".h")) and not name.startswith("tools/")],
            "object": lambda: [f"{name[:-2]}.o" for name in kernel_code if not name.endswith("_kunit.c")],
            "changed": lambda: [f"{name[:-2]}.o" for name in hooked],
            "compiled": lambda: [*choices["object"](), *choices["changed"]()],
            "kunit": lambda: [f"{name[:-2]}.o" for name in kernel_code if name.endswith("_kunit.c")],
        }
        return choices[over]()

    def _said(self, gate: Gate, item: str) -> list[str]:
        done = proc.run([*gate.command, item], cwd=self._tree, check=False, timeout=600)
        said = done.stdout + done.stderr
        complaints = [f"{Path(item).name}: {line}" for line in gate.complaints(said)]
        if gate.require and not re.search(gate.require, said):
            complaints.append(f"{item}: nothing matches {gate.require}")
        if not complaints and done.code != 0 and not (gate.exceptions and re.search(gate.complaint, said)):
            complaints.append(f"{item}: exit code {done.code}: {said.strip()[-300:]}")
        return complaints

    def _made(self, gate: Gate, items: list[str], update: Update) -> list[str]:
        flavour = kbuild.flavours()[gate.flavour]
        plan = kbuild.plan(self._tree, flavour, log_file(f"check-{gate.name}"))
        logs.fresh(plan.log)
        config = kbuild.configure(plan).read_text()
        items = [item for item in items if belongs(self._tree, item, config)]
        failed = []
        try:
            kbuild.make(plan, [*gate.make, *items], update)
        except BuildError as error:
            failed = [f"{error.cause} (log: {error.log})"]
        said = plan.log.read_text(errors="replace")
        if gate.require and not re.search(gate.require, said, re.MULTILINE):
            failed.append(f"nothing matches {gate.require}: the tool did not run (log: {plan.log})")
        return [*gate.complaints(said), *failed]
