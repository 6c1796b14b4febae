"""A kernel with the series and CONFIG_AGENT_MEM=n: the numbers are taken, and nothing is behind them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import initramfs
from harness.guest import Guest
from harness.kernel import Kernel

PROGRAM = r"""
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void report(long call)
{
    puts(syscall(call, 0, 0, 0, 0) == -1 && errno == ENOSYS ? "ENOSYS" : "something else");
}

int main(void)
{
    report(__NR_agent_alloc_smu);
    report(__NR_agent_share_content);
    report(__NR_agent_mark_hot);
    report(__NR_agent_get_stats);
    return 0;
}
"""
PLACES = ("/proc/agent_stats", "/proc/self/agent", "/proc/sys/vm/agent_mem_max_smus", "/sys/kernel/mm/agent_mem")


@pytest.mark.long
def test_without_the_option_the_calls_do_not_exist(kernels: Callable[[str], Kernel], tmp_path: Path) -> None:
    built = kernels("without")
    (source := tmp_path / "calls.c").write_text(PROGRAM)
    program = initramfs.compile_static([source], headers=built.headers, name="calls-without", flags=["-D_GNU_SOURCE"])
    with Guest.start(built, files={"/bin/calls": program}) as guest:
        assert guest.run(["/bin/calls"]).stdout.decode().split() == ["ENOSYS"] * 4
        assert guest.run(["ls", *PLACES]).stdout == b""
