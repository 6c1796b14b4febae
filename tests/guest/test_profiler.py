"""A profile of a real guest: the function that is known to be busy is the first."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest import Guest
from harness.kernel import Kernel
from harness.profiler import Functions, Profiler


def test_random_bytes_are_made_by_chacha(kernels: Callable[[str], Kernel]) -> None:
    kernel = kernels("lab")
    with Guest.start(kernel, memory_mb=512) as guest:
        assert guest.qemu
        with Profiler(guest.qemu.monitor, Functions(kernel.vmlinux)) as profiler:
            guest.run(["dd", "if=/dev/urandom", "of=/dev/null", "bs=64k", "count=1000"])
    first, samples = profiler.seen.most_common(1)[0]
    assert "chacha" in first and samples > sum(profiler.seen.values()) / 3, profiler.seen.most_common(5)
