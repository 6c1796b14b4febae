"""What a kernel's console says went wrong. Pure: text in, splats out.

A splat is a report of the kernel about itself: WARN, BUG, oops, a sanitizer's or lockdep's finding, a stall, a panic.
An OOM kill or a failed allocation is none: those are the kernel doing its work. A console is hostile input, so what
is kept is bounded: SPLATS reports of LINES lines of WIDTH characters; each pattern is anchored and runs in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.allowances import Allowance, read

SPLATS = 50
LINES = 150
WIDTH = 500
CONTEXT = 4  # lines kept from "cut here" or a ruler to the headline
GAP = 5.0  # seconds of kernel time without a line of the same report: it is over
DEPTH = 3  # functions in a fingerprint

STAMP = re.compile(r"\[ {0,10}(\d{1,10}\.\d{6})\](?:\[ {0,6}([TC]\d{1,10})[^\]\n]{0,40}\])? ?")
UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]|[^\x20-\x7e]")
LEVEL = re.compile(r"<\d{1,3}>")

LOCKDEP = "|".join(
    (
        r"WARNING: (?:possible circular locking|possible recursive locking|inconsistent lock state|suspicious RCU)",
        r"WARNING: (?:possible irq lock inversion|\S+-safe -> \S+-unsafe lock order|chain_key collision)",
        r"WARNING: (?:held lock freed|lock held when returning to user space|bad unlock balance|bad contention)",
        r"WARNING: (?:Nested lock was not taken|.{1,40} still has locks held)",
        r"\[ BUG: Invalid wait context \]",
        r"INFO: trying to register non-static key",
        r"BUG: (?:MAX_(?:LOCK|STACK_TRACE)\w* too low|looking up invalid subclass|key \w+ has not been registered)",
    )
)

# Kind -> how its report begins, after timestamp and caller. The first that matches names the splat.
HEADLINES = {
    "kasan": r"BUG: KASAN: ",
    "kcsan": r"BUG: KCSAN: ",
    "kmsan": r"BUG: KMSAN: ",
    "kfence": r"BUG: KFENCE: ",
    "ubsan": r"UBSAN: ",
    "lockdep": LOCKDEP,
    "atomic": r"BUG: (?:sleeping function called from invalid context|scheduling while atomic|scheduling in a non-bl)",
    "soft-lockup": r"(?:watchdog: )?BUG: soft lockup",
    "hard-lockup": r"(?:NMI )?(?:watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP",
    "workqueue-lockup": r"BUG: workqueue lockup",
    "hung-task": r"INFO: task .{1,80} blocked(?: in I/O wait)? for more than \d+ seconds",
    "rcu-stall": r"(?:rcu: )?(?:INFO: .{1,60}detected (?:expedited )?stalls?\b|\S{1,40} kthread starved for )",
    "kmemleak": r"kmemleak: (?:[1-9]\d* new suspected memory leaks|unreferenced object)|unreferenced object.{0,20} 0x",
    "refcount": r"refcount_t: ",
    "list-corruption": r"(?:h?list_\w{3,20}|slist_\w{3,20}|plist_\w{3,20}) corruption",
    "bad-page": r"BUG: Bad (?:page state|page map|page cache|rss-counter)|BUG: non-zero pgtables_bytes",
    "slab": r"BUG \S{1,80} \(.{1,80}\): ",
    "page-table-check": r"(?:kernel BUG at|WARNING:) (?:\S{1,100}/)?mm/page_table_check\.c:",
    "stack-guard": r"BUG: (?:\S{1,20} )?stack guard page was hit",
    "usercopy": r"(?:usercopy: )?Kernel memory (?:exposure|overwrite) attempt detected"
    r"|\w{1,40}: detected (?:buffer overflow|field-spanning write)",
    "oops": r"BUG: (?:kernel NULL pointer dereference|unable to handle)|Oops(?::| - )|Internal error: |double fault:"
    r"|Unable to handle kernel |general protection fault[:,]|(?:traps: )?PANIC: double fault|divide error: \d{4} \[#",
    "panic": r"Kernel panic - not syncing",
    "csd": r"(?:smp: )?csd: \S{1,40} non-responsive CSD lock",
    "warning": r"WARNING: (?:CPU: \d{1,5} PID: \d{1,10} )?(?:\S{1,200}:\d{1,6} )?at |unchecked MSR access error: "
    r"|WARNING: kernel stack (?:regs|frame pointer) at |WARNING: stack recursion on stack type",
    "bug": r"kernel BUG at |\S{0,20} ?BUG: ",
}
_KINDS = tuple(HEADLINES)
_HEADLINE = re.compile("|".join(f"(?P<k{number}>{HEADLINES[kind]})" for number, kind in enumerate(_KINDS)))

# One event, two headlines: the kernel says what is wrong, then calls WARN or BUG; BUG and page faults end in an Oops.
CARRIERS = frozenset({"warning", "bug", "oops"})
CAUSES = frozenset({"refcount", "list-corruption", "slab", "page-table-check", "usercopy", "stack-guard"})
CONTINUED = frozenset({("bug", "oops"), ("oops", "oops"), ("rcu-stall", "rcu-stall"), ("kmemleak", "kmemleak")})
STALLS = frozenset({"hard-lockup", "soft-lockup", "rcu-stall", "workqueue-lockup"})
ENDS_AT_TASK = frozenset({"lockdep", "atomic", "slab", "bad-page", "hung-task", "soft-lockup", "hard-lockup"})

RULER = re.compile(r"={20,}$")
CUT_HERE = re.compile(r"-{4,}\[ cut here \]-{4,}$")
END_TRACE = re.compile(r"---\[ end ")
BACKTRACE = re.compile(r"NMI backtrace for cpu \d")

FRAME = re.compile(r"(?:RIP: 0010:)?([A-Za-z_][\w.$]{0,120})\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}(?: |$)")
SUFFIX = re.compile(r"\.(?:cold|isra|constprop|part|llvm|lto_priv)\b.*")
# The machinery that reports, not what it reports.
REPORTER = re.compile(
    r"(?:dump_stack|show_stack|print_|kasan_|__asan_|__kasan_|check_region|check_slab_|ubsan_|__ubsan_|kcsan_|__tsan_"
    r"|__warn|report_bug|handle_bug|handle_exception|exc_|asm_|__might_|___might_|__schedule|schedule|lockdep_"
    r"|__lock_acquire|lock_acquire|lock_release|__lock_release|validate_chain|mark_lock"
    r"|check_\w*(?:noncircular|deadlock|prev_add|wait_context)|bad_page|slab_err|object_err|slab_bug"
    r"|refcount_warn_saturate|__list_(?:add|del)|panic|vpanic|nmi_|watchdog_|sched_show_task"
    r"|_raw_(?:spin|read|write)_|memset$|memcpy$|mem(?:set|cpy|move)_|__fortify_)"
)


@dataclass(frozen=True)
class Splat:
    """One report. title: its headline; lines: all of it without timestamps; fingerprint: equal for the same defect."""

    kind: str
    title: str
    lines: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class _Line:
    stamp: float | None  # seconds; None: not the kernel's, or a kernel that prints no time
    caller: str  # "T123", "C0", or "" where the kernel does not print it
    text: str


@dataclass
class _Open:
    """A report being collected."""

    kind: str
    title: str
    lines: list[str]
    stamp: float | None

    def closed(self) -> Splat:
        return Splat(self.kind, self.title, tuple(self.lines), fingerprint(self.kind, self.title, self.lines))


def scan(text: str, allowed: Sequence[Allowance] | None = None) -> list[Splat]:
    """The splats of a console, in order, without those that an entry of ci/splats.toml allows today.

    allowed: entries to use in place of that file's; an expired one allows nothing.
    """
    found = _Reader().read(text)
    if not found:
        return []
    entries = read() if allowed is None else allowed
    return [one for one in found if not any(entry.covers((one.title, *one.lines)) for entry in entries)]


def fingerprint(kind: str, title: str, lines: Sequence[str]) -> str:
    """Kind and the first functions of the stack; without a stack, the headline without its numbers."""
    functions = list(frames(lines))[:DEPTH]
    if functions:
        return f"{kind}:{'/'.join(functions)}"
    return f"{kind}:{re.sub(r'0x[0-9a-f]+|[0-9a-f]{8,}|[0-9]+', 'N', title)}"


def frames(lines: Sequence[str]) -> Iterator[str]:
    """Functions of a report's first stack, innermost first, without the reporting machinery and compilers' suffixes."""
    seen_trace = False
    for line in lines:
        if "Call Trace:" in line:
            if seen_trace:
                return
            seen_trace = True
        if "</TASK>" in line:
            return
        match = FRAME.match(line.strip())
        if match and (seen_trace or line.startswith("RIP: ")):
            name = SUFFIX.sub("", match[1])
            if not REPORTER.match(name):
                yield name


def messages(text: str) -> Iterator[_Line]:
    """The console as the kernel's lines: cut where a timestamp stands in the middle, control characters dropped.

    Where the kernel prints the time, a line without it is user space's and left out.
    """
    stamped = STAMP.search(text) is not None
    for raw in re.split(r"[\r\n]", text):
        if not stamped:
            yield _message(raw[: 2 * WIDTH])
            continue
        starts = [match.start() for match in STAMP.finditer(raw)]
        for start, end in zip(starts, [*starts[1:], len(raw)], strict=False):
            yield _message(raw[start : min(end, start + 2 * WIDTH)])


def _message(raw: str) -> _Line:
    match = STAMP.match(raw)
    rest = LEVEL.sub("", UNPRINTABLE.sub("", raw[match.end() :] if match else raw), count=1)
    return _Line(float(match[1]) if match else None, (match[2] or "") if match else "", rest.rstrip()[:WIDTH])


@dataclass
class _Reader:
    """Collects reports, one at a time for each caller: what two processors print at once stays apart."""

    order: list[_Open] = field(default_factory=list)
    open: dict[str, _Open] = field(default_factory=dict)
    before: dict[str, list[str]] = field(default_factory=dict)

    def read(self, text: str) -> list[Splat]:
        for line in messages(text):
            if line.text:
                self._take(line)
            if len(self.order) > SPLATS:
                break
        return [one.closed() for one in self.order[:SPLATS]]

    def _take(self, line: _Line) -> None:
        current = self.open.get(line.caller)
        if current and line.stamp and current.stamp and line.stamp - current.stamp > GAP:
            self._close(line.caller)
            current = None
        match = _HEADLINE.match(line.text)
        if match and match.lastgroup:
            kind = _KINDS[int(match.lastgroup[1:])]
            if not (current and _continues(current, kind, line.text)):
                self._begin(line, kind)
                return
        if not current and BACKTRACE.match(line.text):
            current = self._asked(line.caller)
        if current:
            self._append(current, line)
        elif line.caller in self.before or CUT_HERE.match(line.text) or RULER.match(line.text):
            self._remember(line)

    def _begin(self, line: _Line, kind: str) -> None:
        lines = [*self.before.pop(line.caller, []), line.text]
        self.open[line.caller] = _Open(kind, line.text, lines, line.stamp)
        self.order.append(self.open[line.caller])

    def _asked(self, caller: str) -> _Open | None:
        """The stall that another processor reports: this one was asked for its stack, which belongs there."""
        latest = self.order[-1] if self.order else None
        if latest and latest.kind in STALLS and any(one is latest for one in self.open.values()):
            self.open[caller] = latest
            return latest
        return None

    def _append(self, current: _Open, line: _Line) -> None:
        if CUT_HERE.match(line.text):
            self._close(line.caller)
            self._remember(line)
            return
        current.stamp = line.stamp
        if len(current.lines) < LINES:
            current.lines.append(line.text)
        if END_TRACE.match(line.text) or RULER.match(line.text) or _at_end_of_stack(current, line.text):
            self._close(line.caller)

    def _remember(self, line: _Line) -> None:
        kept = self.before.setdefault(line.caller, [])
        if CUT_HERE.match(line.text) or RULER.match(line.text):
            kept.clear()
        kept.append(line.text)
        if len(kept) > CONTEXT:
            del self.before[line.caller]

    def _close(self, caller: str) -> None:
        self.open.pop(caller, None)


def _continues(current: _Open, kind: str, text: str) -> bool:
    """Whether a headline belongs to the report under way; a cause that comes after its WARN gives it its name."""
    if kind in CAUSES and current.kind in CARRIERS:
        current.kind, current.title = kind, text
        return True
    return (current.kind in CAUSES and kind in CARRIERS) or (current.kind, kind) in CONTINUED


def _at_end_of_stack(current: _Open, text: str) -> bool:
    return current.kind in ENDS_AT_TASK and text.strip() == "</TASK>"
