"""Splats in consoles: logs recorded from real boots (tests/data/console), each headline once, and hostile input."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest

from harness import allowances, console
from harness.allowances import Allowance
from harness.cache import REPO
from harness.console import Splat, scan
from harness.errors import UsageError

RECORDED = REPO / "tests" / "data" / "console"
LKDTM = "lkdtm_do_action/direct_entry"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.log").read_bytes().decode(errors="replace")


def splats(text: str) -> list[Splat]:
    return scan(text, allowed=())


def kinds(text: str) -> list[str]:
    return [splat.kind for splat in splats(text)]


# -- real logs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["boot-lab", "boot-debug", "oom"])
def test_a_sound_kernel_has_none(name: str) -> None:
    assert len(recorded(name).splitlines()) > 70
    assert splats(recorded(name)) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "lkdtm",
            [
                "warning:lkdtm_WARNING/direct_entry/full_proxy_write",
                f"warning:lkdtm_WARNING_MESSAGE/{LKDTM}",
                "bug:lkdtm_BUG/direct_entry/full_proxy_write",
                f"kasan:lkdtm_EXCEPTION/{LKDTM}",
                f"oops:lkdtm_EXCEPTION/{LKDTM}",
                f"ubsan:lkdtm_ARRAY_BOUNDS/{LKDTM}",
                f"list-corruption:lkdtm_CORRUPT_LIST_ADD/{LKDTM}",
                f"refcount:lkdtm_REFCOUNT_INC_OVERFLOW/{LKDTM}",
                f"refcount:lkdtm_REFCOUNT_SUB_AND_TEST_NEGATIVE/{LKDTM}",
                f"usercopy:lkdtm_FORTIFY_MEM_MEMBER/{LKDTM}",
                f"oops:lkdtm_WRITE_RO/{LKDTM}",
                "oops:execute_location/lkdtm_EXEC_NULL/lkdtm_do_action",
            ],
        ),
        (
            "kasan",
            [
                f"kasan:lkdtm_READ_AFTER_FREE/{LKDTM}",
                "kasan:kmem_cache_free/lkdtm_SLAB_FREE_DOUBLE/lkdtm_do_action",
                f"kasan:lkdtm_SLAB_LINEAR_OVERFLOW/{LKDTM}",
                f"oops:lkdtm_VMALLOC_LINEAR_OVERFLOW/{LKDTM}",
                "kasan:_copy_to_user/do_usercopy_slab_size/lkdtm_USERCOPY_SLAB_SIZE_TO",
            ],
        ),
        (
            "slab",
            [
                f"kasan:lkdtm_WRITE_AFTER_FREE/{LKDTM}",
                "warning:warn_free_bad_obj/kmem_cache_free/lkdtm_SLAB_FREE_CROSS",
            ],
        ),
        ("hung-task", [f"hung-task:lkdtm_HUNG_TASK/{LKDTM}"]),
        (
            "kmemleak",
            [
                "warning:warn_free_bad_obj/kmem_cache_free/lkdtm_SLAB_FREE_CROSS",
                *[f"oops:lkdtm_EXEC_KMALLOC/{LKDTM}"] * 3,
                "kmemleak:kmemleak: N new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            ],
        ),
        (
            "stall",
            [
                f"rcu-stall:lkdtm_SOFTLOCKUP/{LKDTM}",
                "workqueue-lockup:worker_thread/kthread/ret_from_fork",
                "workqueue-lockup:BUG: workqueue lockup - pool cpus=N node=N flags=N nice=N stuck for Ns!",
            ],
        ),
        ("soft-lockup", [f"soft-lockup:lkdtm_SOFTLOCKUP/{LKDTM}"] * 2),
        ("hard-lockup", [f"hard-lockup:lkdtm_HARDLOCKUP/{LKDTM}"] * 3),
        (
            "stack-guard",
            [
                f"kasan:lkdtm_STACK_GUARD_PAGE_LEADING/{LKDTM}",
                f"stack-guard:lkdtm_STACK_GUARD_PAGE_LEADING/{LKDTM}",
                "stack-guard:recursive_loop",
                "panic:Kernel panic - not syncing: Fatal exception in interrupt",
            ],
        ),
        (
            "lockdep",
            [
                "lockdep:WARNING: lock held when returning to user space!",
                "atomic:irqentry_exit/sysvec_apic_timer_interrupt",
            ],
        ),
        # A failure that was asked for has a stack, too, and is none; the KASAN report above it is real.
        ("fault-injection", ["kasan:rcu_is_watching/trace_hardirqs_off_finish/irqentry_enter"]),
        ("panic", ["panic:Kernel panic - not syncing: sysrq triggered crash"]),
    ],
)
def test_each_recorded_splat_is_found_once_and_named_by_its_stack(name: str, expected: list[str]) -> None:
    assert [splat.fingerprint for splat in splats(recorded(name))] == expected


def test_a_report_is_kept_from_its_first_line_to_its_last() -> None:
    warning, message, bug, *_ = splats(recorded("lkdtm"))
    assert warning.title.startswith("WARNING: at lkdtm_WARNING+0x")
    assert warning.lines[0] == "------------[ cut here ]------------"
    assert warning.lines[-1] == "---[ end trace 0000000000000000 ]---"
    assert "Warning message trigger count: 3" in message.lines
    assert any(line.startswith("Oops: invalid opcode") for line in bug.lines)
    kasan = splats(recorded("kasan"))[0]
    assert kasan.lines[0] == kasan.lines[-1] == "=" * 66
    assert "Allocated by task" in "".join(kasan.lines) and "Freed by task" in "".join(kasan.lines)


def test_offsets_and_addresses_do_not_make_another_fingerprint() -> None:
    text = recorded("lkdtm")
    moved = text.replace("+0xa/0x10", "+0x1b/0x40").replace("ff11000005", "ff11000777")
    assert moved != text
    assert [one.fingerprint for one in splats(moved)] == [one.fingerprint for one in splats(text)]


# -- each headline -------------------------------------------------------------------------------------------------

HEADLINES = [
    ("warning", "WARNING: mm/agent_mem.c:123 at agent_put+0x10/0x20, CPU#1: sh/7"),
    ("warning", "WARNING: CPU: 1 PID: 7 at mm/agent_mem.c:123 agent_put+0x10/0x20"),
    ("warning", "unchecked MSR access error: WRMSR to 0x10a (tried to write 0x0) at rIP: 0x0 (x+0x1/0x2)"),
    ("warning", "WARNING: kernel stack regs at 00000000 in sh:7 has bad 'bp' value 00000000"),
    ("bug", "kernel BUG at mm/agent_mem.c:12!"),
    ("bug", "BUG: using __this_cpu_add() in preemptible [00000000] code: sh/7"),
    ("bug", "BUG: spinlock bad magic on CPU#0, sh/7"),
    ("oops", "BUG: kernel NULL pointer dereference, address: 0000000000000008"),
    ("oops", "BUG: unable to handle page fault for address: ffff88800000dead"),
    ("oops", "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP"),
    ("oops", "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1]"),
    ("oops", "traps: PANIC: double fault, error_code: 0x0"),
    ("oops", "Oops: divide error: 0000 [#1] SMP"),
    ("kasan", "BUG: KASAN: slab-use-after-free in agent_put+0x10/0x20"),
    ("kcsan", "BUG: KCSAN: data-race in agent_put / agent_get"),
    ("kfence", "BUG: KFENCE: out-of-bounds read in agent_put+0x10/0x20"),
    ("ubsan", "UBSAN: shift-out-of-bounds in mm/agent_mem.c:1:2"),
    ("lockdep", "WARNING: possible circular locking dependency detected"),
    ("lockdep", "WARNING: possible recursive locking detected"),
    ("lockdep", "WARNING: inconsistent lock state"),
    ("lockdep", "WARNING: suspicious RCU usage"),
    ("lockdep", "WARNING: held lock freed!"),
    ("lockdep", "WARNING: lock held when returning to user space!"),
    ("lockdep", "WARNING: bad unlock balance detected!"),
    ("lockdep", "WARNING: possible irq lock inversion dependency detected"),
    ("lockdep", "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected"),
    ("lockdep", "WARNING: sh/7 still has locks held!"),
    ("lockdep", "WARNING: Nested lock was not taken"),
    ("lockdep", "[ BUG: Invalid wait context ]"),
    ("lockdep", "INFO: trying to register non-static key."),
    ("lockdep", "BUG: MAX_LOCKDEP_CHAINS too low!"),
    ("atomic", "BUG: sleeping function called from invalid context at mm/agent_mem.c:12"),
    ("atomic", "BUG: scheduling while atomic: sh/7/0x00000002"),
    ("kmemleak", "kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"),
    ("kmemleak", "kmemleak: unreferenced object 0xffff888000001000 (size 64):"),
    ("hung-task", "INFO: task kworker/0:1:7 blocked for more than 120 seconds."),
    ("hung-task", "INFO: task sh:7 blocked in I/O wait for more than 120 seconds."),
    ("soft-lockup", "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [sh:7]"),
    ("hard-lockup", "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1"),
    ("hard-lockup", "watchdog: Watchdog detected hard LOCKUP on cpu 0"),
    ("workqueue-lockup", "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 31s!"),
    ("rcu-stall", "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
    ("rcu-stall", "rcu: INFO: rcu_preempt self-detected stall on CPU"),
    ("rcu-stall", "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... } 7 jiffies s: 1"),
    ("rcu-stall", "rcu: rcu_preempt kthread starved for 7 jiffies! g1 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=1"),
    ("rcu-stall", "INFO: rcu_tasks detected stalls on tasks:"),
    ("refcount", "refcount_t: underflow; use-after-free."),
    ("list-corruption", "list_del corruption. prev->next should be ffff888000001000, but was 0000000000000000"),
    ("bad-page", "BUG: Bad page state in process sh  pfn:00123"),
    ("bad-page", "BUG: Bad page map in process sh  pte:00000123 pmd:00000456"),
    ("bad-page", "BUG: Bad rss-counter state mm:0000000012345678 type:MM_ANONPAGES val:3 Comm:sh Pid:7"),
    ("bad-page", "BUG: non-zero pgtables_bytes on freeing mm: 4096"),
    ("slab", "BUG kmalloc-64 (Not tainted): Poison overwritten"),
    ("slab", "BUG agent_smu (Tainted: G    B              ): Objects remaining on __kmem_cache_shutdown()"),
    ("page-table-check", "kernel BUG at mm/page_table_check.c:140!"),
    ("page-table-check", "kernel BUG at ../../linux/mm/page_table_check.c:140!"),
    ("stack-guard", "BUG: TASK stack guard page was hit at ffffc90000000ff8 (stack is 1000..5000)"),
    ("usercopy", "usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-8' (offset 6, size 8)!"),
    ("csd", "smp: csd: Detected non-responsive CSD lock (#1) on CPU#0, waiting 5000000000 ns for CPU#01 x+0x0/0x1(x)."),
    ("panic", "Kernel panic - not syncing: Fatal exception"),
    ("panic", "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: agent_put+0x1/0x2"),
]


@pytest.mark.parametrize(("kind", "headline"), HEADLINES)
def test_each_headline_is_found_however_the_line_is_prefixed(kind: str, headline: str) -> None:
    stamps = ("[    1.234567] ", "[12345.678901][   T12] ", "[    1.234567][    C0] ", "login: [   1.000001] ")
    for prefix in ("", "<4>", *stamps):
        found = splats(f"{prefix}{headline}\r\n")
        assert [(one.kind, one.title) for one in found] == [(kind, headline)], prefix
        assert found[0].fingerprint.startswith(f"{kind}:")


def test_every_kind_has_a_headline_here() -> None:
    assert {kind for kind, _ in HEADLINES} == set(console.HEADLINES) - {"kmsan"}


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: Spectre-v2 mitigation is off, disabling ITS",
        "tail invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0",
        "Out of memory: Killed process 51 (tail) total-vm:966640kB",
        "sh: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL|__GFP_COMP), nodemask=(null)",
        "FAULT_INJECTION: forcing a failure.",
        "INFO: task sh:7 is blocked on a mutex likely owned by task sh:8.",
        "INFO: NMI handler (x) took too long to run: 1.234 msecs",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 15113)",
        "kmemleak: 0 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "workqueue: agent_work hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
        "lkdtm: WARNING: at the end of a sentence",
        "Debugging: BUGS: none",
    ],
)
def test_what_only_sounds_like_one_is_none(line: str) -> None:
    assert kinds(f"[    1.234567] {line}\n") == []


# -- lines that are not as they should be --------------------------------------------------------------------------


def test_where_the_kernel_prints_the_time_a_line_without_it_is_not_the_kernels() -> None:
    assert kinds("[    1.000000] up\nWARNING: at the user's own words\nBUG: mine\n") == []
    assert kinds("half a line of the shell's[    1.000000] BUG: theirs\n") == ["bug"]


def test_two_processors_at_once_stay_apart() -> None:
    one = ["BUG: KASAN: null-ptr-deref in first+0x1/0x2", "Call Trace:", " <TASK>", " first+0x1/0x2", " </TASK>"]
    two = ["WARNING: mm/x.c:1 at second+0x1/0x2, CPU#1: sh/8", "Call Trace:", " <TASK>", " second+0x1/0x2", " </TASK>"]
    text = ""
    for left, right in zip(one, two, strict=True):
        text += f"[    1.000000][    T7] {left}\n[    1.000001][    T8] {right}\nnoise of the shell\n"
    assert [(found.fingerprint, list(found.lines)) for found in splats(text)] == [
        ("kasan:first", one),
        ("warning:second", two),
    ]


def test_a_report_ends_where_the_kernel_goes_on_with_its_life() -> None:
    text = "[    1.000000] BUG: Bad rss-counter state mm:1 type:x val:3\n[   20.000000] usb: a new device\n"
    assert splats(text)[0].lines == ("BUG: Bad rss-counter state mm:1 type:x val:3",)


def test_a_cause_and_the_bug_it_ends_in_are_one_report() -> None:
    lines = (
        "list_add corruption. prev->next should be x, but was y.",
        "------------[ cut here ]------------",
        "kernel BUG at lib/list_debug.c:29!",
        "Oops: invalid opcode: 0000 [#1] SMP",
        "RIP: 0010:__list_add_valid_or_report+0x1/0x2",
        "Call Trace:",
        " agent_add+0x1/0x2",
        "---[ end trace 0000000000000000 ]---",
        "Kernel panic - not syncing: Fatal exception",
    )
    text = "".join(f"[    1.000000] {line}\n" for line in lines)
    assert kinds(text)[0] == "list-corruption"
    assert kinds(text)[-1] == "panic"


def test_compilers_suffixes_and_unreliable_frames_are_left_out_of_the_fingerprint() -> None:
    stack = ("? guess", "one.cold", "two.isra.0", "three.constprop.0.part.1", "four")
    lines = (f" {name}+0x1/0x2" for name in stack)
    text = "\n".join(("BUG: KASAN: bad in one+0x1/0x2", "Call Trace:", " <TASK>", *lines, " </TASK>"))
    assert splats(text)[0].fingerprint == "kasan:one/two/three"


HOSTILE = {
    "binary": "\x00\xff\x1b[\x1b[31m\x07" * 200_000,
    "one endless line": "A" * 5_000_000,
    "brackets": "[ " * 2_000_000,
    "stamps": "[    1.000000]" * 200_000,
    "headlines": "[    1.000000] BUG: x\n" * 100_000,
    "callers": "".join(f"[    1.000000][ T{number}] BUG: x\n" for number in range(100_000)),
    "near misses": ("[    1.000000] INFO: task " + "a" * 480 + "\n") * 10_000,
    "cut here": "[    1.000000] ------------[ cut here ]------------\n" * 50_000,
    "one endless report": "[    1.000000] BUG: x\n" + "[    1.000000] more and more of it\n" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_consoles_cost_little_and_what_is_kept_is_bounded(name: str) -> None:
    began = time.process_time()
    found = splats(HOSTILE[name])
    assert time.process_time() - began < 10
    assert len(found) <= console.SPLATS
    assert all(len(one.lines) <= console.LINES and len(one.title) <= console.WIDTH for one in found)


def test_a_splat_behind_garbage_is_found() -> None:
    text = "\x00\x1b[2J" + "z" * 100_000 + "[    1.000000] \x1b[31mBUG: \x07here\x00\n"
    assert [one.title for one in splats(text)] == ["BUG: here"]


# -- what is let pass ----------------------------------------------------------------------------------------------

BUG = "[    1.000000] BUG: known\n[    1.000000] because of that\n[    9.000000] BUG: unknown\n"
TOMORROW = datetime.date.today() + datetime.timedelta(days=1)
YESTERDAY = datetime.date.today() - datetime.timedelta(days=1)


def test_an_entry_lets_only_what_it_names_pass() -> None:
    entry = Allowance("because of that$", "fixed upstream", TOMORROW)
    assert [one.title for one in scan(BUG, [entry])] == ["BUG: unknown"]


def test_an_expired_entry_lets_nothing_pass() -> None:
    assert len(scan(BUG, [Allowance("BUG: known", "was to be fixed by now", YESTERDAY)])) == 2


def test_entries_are_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "splats.toml"
    path.write_text("[[allow]]\npattern = 'a.c'\nreason = 'why'\nexpires = 2030-01-31\n")
    assert allowances.read(path) == [Allowance("a.c", "why", datetime.date(2030, 1, 31))]
    path.write_text("# none\n")
    assert allowances.read(path) == []


@pytest.mark.parametrize(
    "entry",
    [
        "pattern = 'a('\nreason = 'why'\nexpires = 2030-01-31",
        "pattern = 'a'\nreason = ' '\nexpires = 2030-01-31",
        "pattern = 'a'\nreason = 'why'\nexpires = '2030-01-31'",
        "pattern = 'a'\nreason = 'why'",
        "pattern = 'a'\nreason = 'why'\nexpires = 2030-01-31\nforever = true",
        "pattern = ",
    ],
)
def test_an_entry_that_is_not_complete_is_refused(entry: str, tmp_path: Path) -> None:
    path = tmp_path / "splats.toml"
    path.write_text(f"[[allow]]\n{entry}\n")
    with pytest.raises(UsageError, match=r"splats\.toml cannot be read"):
        allowances.read(path)


def test_no_entry_of_ours_has_expired() -> None:
    expired = [f"{entry.pattern}: {entry.reason}" for entry in allowances.read() if entry.expired()]
    assert not expired, "fix the kernel, or renew the entry in ci/splats.toml with what is known now"
