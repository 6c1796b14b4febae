"""A 32-bit process makes the four calls with the same structures."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path

from harness import proc
from harness.cache import REPO
from harness.guest import Guest
from harness.kernel import Kernel

SOURCE = REPO / "tests" / "data" / "compat" / "compat.c"
FLAGS = ("-m32", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-nostdlib", "-ffreestanding", "-fno-pic", "-no-pie")
PLAIN = ("-fno-stack-protector", "-fcf-protection=none")
SMU_STATS, AGENT_STATS, DEDUP = 104, 464, 1  # sizes of the structures; AGENT_SMU_R_DEDUP


def test_structures_and_calls_are_the_same_for_a_32_bit_process(
    kernels: Callable[[str], Kernel], tmp_path: Path
) -> None:
    kernel = kernels("lab")
    program = tmp_path / "compat"
    proc.run(["gcc", *FLAGS, *PLAIN, "-isystem", str(kernel.headers / "include"), "-o", str(program), str(SOURCE)])
    with Guest.start(kernel) as guest:
        guest.push(program, "/tmp/compat")
        done = guest.run(["/tmp/compat"])
        guest.check()
    assert (done.code, done.stderr) == (0, b"")
    assert dict(line.split(" ", 1) for line in done.stdout.decode().splitlines()) == {
        "alloc": "0",
        "digest": hashlib.sha256(b"hello").hexdigest(),
        "content": "hello",
        "bad_pointer": str(-errno.EFAULT),
        "too_long": str(-errno.E2BIG),
        "attach": "0",
        "result": str(DEDUP),
        "mark": "0",
        "mark_hot": "0",
        "smu_stats": str(SMU_STATS),
        "smu_length": "5",
        "smu_holders": "1",
        "smu_type": "2",
        "agent_stats": str(AGENT_STATS),
        "smus": "1",
        "logical_bytes": "5",
        "attach_hits": "1",
        "importance": "7",
        "name": "narrow",
        "share": "0",
        "revoke": "0",
        "revoke_again": str(-errno.ENOENT),
    }
