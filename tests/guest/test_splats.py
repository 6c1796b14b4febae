"""The detector on splats made on purpose, by LKDTM in the debug flavour: each fails a run by itself."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from harness import share
from harness.cache import REPO
from harness.console import scan
from harness.errors import EXIT_KERNEL, GuestFault
from harness.guest import Guest
from harness.kernel import Kernel
from harness.share import About

PROVOKE = "/sys/kernel/debug/provoke-crash/DIRECT"
APPEND = "kasan_multi_shot"  # every report, not only the first one
LEAK_AGE = 6  # seconds: kmemleak leaves younger objects alone
PATIENCE = 60.0  # seconds for a watchdog's report


@contextlib.contextmanager
def started(kernel: Kernel) -> Iterator[Guest]:
    """A sound guest whose last splats, which the tests leave behind, do not count against it."""
    running = Guest.start(kernel, append=APPEND)
    try:
        running.check()
        yield running
    finally:
        with contextlib.suppress(GuestFault), running:
            pass


@pytest.fixture(scope="module")
def guest(kernels: Callable[[str], Kernel]) -> Iterator[Guest]:
    """For splats that leave the kernel usable."""
    with started(kernels("debug")) as running:
        yield running


@pytest.fixture
def doomed(kernels: Callable[[str], Kernel]) -> Iterator[Guest]:
    """For a splat after which little of it is left: each has its own."""
    with started(kernels("debug")) as running:
        yield running


def provoke(guest: Guest, what: str) -> None:
    """The process that asks for it may be killed by it: that says nothing."""
    guest.run(["sh", "-c", f"echo {what} > {PROVOKE}"])


def fault(guest: Guest) -> GuestFault:
    with pytest.raises(GuestFault) as caught:
        guest.check()
    assert caught.value.exit_code == EXIT_KERNEL
    assert caught.value.log == guest.console
    return caught.value


def await_fault(guest: Guest) -> GuestFault:
    """For what a watchdog has to notice first."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            guest.check()
        except GuestFault as found:
            return found
        time.sleep(1)
    raise AssertionError(f"no splat within {PATIENCE:.0f} s, see {guest.console}")


def sysctl(guest: Guest, path: str, value: int) -> None:
    assert guest.run(["sh", "-c", f"echo {value} > {path}"]).code == 0


# -- in one guest, in this order: after an oops the kernel looks for hung tasks no more --------------------------------


def test_leaked_memory_is_reported(guest: Guest) -> None:
    # A cache does not take an object of another one, and leaks it. The last one's address may be on some stack still.
    for _ in range(3):
        provoke(guest, "SLAB_FREE_CROSS")
    with contextlib.suppress(GuestFault):
        guest.check()  # the warning, which comes once in a boot
    for _ in range(2):
        time.sleep(LEAK_AGE)
        assert guest.run(["sh", "-c", "echo scan > /sys/kernel/debug/kmemleak"]).code == 0
    assert "new suspected memory leaks" in fault(guest).cause


def test_a_process_that_hangs_in_the_kernel_is_reported(guest: Guest) -> None:
    sysctl(guest, "/proc/sys/kernel/hung_task_timeout_secs", 4)
    guest.run(["sh", "-c", f"(echo HUNG_TASK > {PROVOKE}) > /dev/null 2>&1 < /dev/null &"])
    assert "hung-task: INFO: task sh:" in await_fault(guest).cause
    sysctl(guest, "/proc/sys/kernel/hung_task_timeout_secs", 0)  # it hangs on, and would be reported again
    with contextlib.suppress(GuestFault):
        guest.check()


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("WARNING", "warning: WARNING: "),
        ("WARNING_MESSAGE", "warning: WARNING: "),
        ("ARRAY_BOUNDS", "ubsan: UBSAN: array-index-out-of-bounds"),
        ("CORRUPT_LIST_ADD", "list-corruption: list_add corruption"),
        ("REFCOUNT_SUB_AND_TEST_NEGATIVE", "refcount: refcount_t: underflow"),
        ("READ_AFTER_FREE", "kasan: BUG: KASAN: slab-use-after-free"),
        ("SLAB_LINEAR_OVERFLOW", "kasan: BUG: KASAN: slab-out-of-bounds"),
        ("SLAB_FREE_DOUBLE", "kasan: BUG: KASAN: double-free"),
        ("FORTIFY_MEM_MEMBER", "usercopy: memcpy: detected field-spanning write"),
        ("BUG", "bug: kernel BUG at "),
        ("WRITE_RO", "oops: BUG: unable to handle page fault"),
        ("EXCEPTION", "kasan: BUG: KASAN: null-ptr-deref"),
    ],
)
def test_a_splat_fails_the_run(guest: Guest, what: str, kind: str) -> None:
    provoke(guest, what)
    assert fault(guest).cause.startswith(f"the kernel reported {kind}")


def test_a_splat_is_told_once(guest: Guest) -> None:
    provoke(guest, "WARNING_MESSAGE")
    fault(guest)
    guest.check()


# -- in one of its own each --------------------------------------------------------------------------------------------


def test_a_lock_that_is_never_released_is_reported(doomed: Guest) -> None:
    # Its holder is seen on its way to user space or, if its time is up just then, where it is made to wait.
    reports = "lockdep: WARNING: lock held when returning to user space|atomic: BUG: scheduling while atomic: sh/"
    with pytest.raises(GuestFault, match=f"^the kernel reported (?:{reports})") as caught:
        provoke(doomed, "SPINLOCKUP")
        doomed.check()
    assert "(lock_me_up)" in caught.value.cause


def test_a_processor_that_hangs_is_reported(doomed: Guest) -> None:
    sysctl(doomed, "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", 3)
    sysctl(doomed, "/proc/sys/kernel/watchdog_thresh", 2)
    doomed.run(["sh", "-c", f"(echo SOFTLOCKUP > {PROVOKE}) > /dev/null 2>&1 < /dev/null &"])
    assert re.search("reported (rcu-stall|soft-lockup): ", await_fault(doomed).cause)


def test_of_a_kernel_that_hangs_is_told_where(doomed: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.guest.GRACE", 3.0)
    with pytest.raises(GuestFault, match="the kernel hangs: SIGKILL did not end sh") as caught:
        doomed.run(["sh", "-c", f"echo HUNG_TASK > {PROVOKE}"], timeout=5)
    cause = caught.value.cause
    assert re.search(r"task:sh .*\n.* lkdtm_HUNG_TASK\+0x", cause, re.DOTALL), cause
    assert "native_safe_halt" in cause or "default_idle" in cause, cause  # what a processor does, too
    assert doomed.qemu and doomed.qemu.ended() is not None


def test_a_panic_ends_the_wait_for_a_command(doomed: Guest) -> None:
    began = time.monotonic()
    with pytest.raises(GuestFault):  # it may name a stall that was reported meanwhile
        doomed.run(["sh", "-c", f"echo PANIC > {PROVOKE}"], timeout=600)
    assert time.monotonic() - began < 120
    found = scan(doomed.console.read_text(errors="replace"))
    assert "Kernel panic - not syncing: dumptest" in [splat.title for splat in found]


def test_exec_ends_with_3_though_its_command_succeeded(guest: Guest, kernels: Callable[[str], Kernel]) -> None:
    here = About(kernels("debug").key, "uma", 1024, 2)
    command = f"echo WARNING > {PROVOKE}; echo done"
    argv = [sys.executable, "-m", "harness", "exec", "--flavour", "debug", "--", "sh", "-c", command]
    with share.shared(guest, here):
        done = subprocess.run(argv, capture_output=True, text=True, cwd=REPO, timeout=600)
    assert done.stdout == "done\n"
    assert done.returncode == EXIT_KERNEL, done.stderr
    assert "lkdtm_WARNING" in done.stderr
