"""Samples of a guest's processors: what QEMU says of them, read against the kernel's own symbols."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.profiler import OTHER, USER, Functions, read
from harness.vmlinux import Image

SOURCE = """\
int first(int a) { return a + 1; }
int second(int a) { return a * first(a); }
int main(void) { return second(3); }
"""
# Of a guest with three processors: in the kernel, in user space, halted.
SAID = """\
\r
CPU#0\r
RAX=ffff888003a5a000 RBX=0000000000001000 RCX=0000000000000040 RDX=0000000000001000\r
R12=0000000000001000 R13=ffffc900001efd58 R14=ffff888003a5a000 R15=0000000000000000\r
RIP={kernel:016x} RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r
ES =0000 0000000000000000 ffffffff 00000000\r
\r
CPU#1\r
RIP=0000000000401136 RFL=00000202 [-------] CPL=3 II=0 A20=1 SMM=0 HLT=0\r
\r
CPU#2\r
RIP={kernel:016x} RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r
"""


def built(directory: Path) -> Path:
    (directory / "two.c").write_text(SOURCE)
    command = ["gcc", "-g", "-O0", "-no-pie", "-o", str(directory / "two"), str(directory / "two.c")]
    subprocess.run(command, check=True, timeout=60)
    return directory / "two"


def test_a_processor_is_in_a_function_in_user_space_or_halted(tmp_path: Path) -> None:
    program = built(tmp_path)
    with Image(program) as image:
        (second,) = image.symbols["second"]
    functions = Functions(program)
    assert read(SAID.format(kernel=second.address + second.size - 1), functions) == ["second", USER]


def test_code_without_a_symbol_is_elsewhere(tmp_path: Path) -> None:
    functions = Functions(built(tmp_path))
    assert functions.at(0) == functions.at((1 << 64) - 1) == OTHER
