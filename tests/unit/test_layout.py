"""Structure layouts as a C program sees them, and syscall tables: small ones, made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import layout
from harness.errors import BuildError, KernelError
from harness.layout import Member

TYPES = "typedef unsigned int __u32; typedef unsigned long long __u64; typedef unsigned char __u8; typedef int __s32;\n"
GOOD = """\
#include <linux/types.h>
struct shape {
	__u32 size;
	__s32 node;
	__u64 length;
	__u8  digest[32];
	char  grid[3][4];
	__u32 last;
};
"""


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    linux = tmp_path / "include" / "linux"
    linux.mkdir(parents=True)
    (linux / "types.h").write_text(TYPES)
    (linux / "shape.h").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize("bits", [64, 32])
def test_each_member_has_its_offset_and_its_whole_size(headers: Path, bits: layout.Bits) -> None:
    shape = layout.in_header("linux/shape.h", ["shape"], headers, bits)["shape"]
    assert shape.size == 64
    assert shape.members == (
        Member("size", 0, 4),
        Member("node", 4, 4),
        Member("length", 8, 8),
        Member("digest", 16, 32),
        Member("grid", 48, 12),
        Member("last", 60, 4),
    )
    assert not shape.holes


def test_a_structure_that_differs_for_32_bit_programs_shows(headers: Path) -> None:
    text = "#include <linux/types.h>\nstruct odd { __u32 a; __u64 b; };\n"
    (headers / "include" / "linux" / "odd.h").write_text(text)
    narrow = layout.in_header("linux/odd.h", ["odd"], headers, 32)["odd"]
    assert (narrow.size, narrow.members[1].offset) == (12, 4)
    with pytest.raises(BuildError, match=r"(?s)odd\.h.* 64-bit program.*pad"):
        layout.in_header("linux/odd.h", ["odd"], headers, 64)


def test_a_header_that_needs_a_c_library_is_refused(headers: Path) -> None:
    (headers / "include" / "linux" / "needy.h").write_text("#include <stdint.h>\nstruct needy { uint32_t a; };\n")
    with pytest.raises(BuildError, match="stdint.h"):
        layout.in_header("linux/needy.h", ["needy"], headers, 64)


def test_a_structure_that_is_only_declared_is_missing(headers: Path) -> None:
    (headers / "include" / "linux" / "hollow.h").write_text("struct hollow;\nextern struct hollow *it;\n")
    with pytest.raises((BuildError, KernelError), match="hollow"):
        layout.in_header("linux/hollow.h", ["hollow"], headers, 64)


def test_numbers_come_from_the_installed_header(tmp_path: Path) -> None:
    place = tmp_path / "include" / "asm"
    place.mkdir(parents=True)
    (place / "unistd_64.h").write_text("#define __NR_read 0\n#define __NR_agent 473\n#define __NR_agent_more 474\n")
    assert layout.installed_numbers(tmp_path, ["agent", "nobody"]) == {"agent": 473}


def test_tables_of_all_architectures_are_read(tmp_path: Path) -> None:
    for place in ("scripts", "arch/alpha/kernel/syscalls", "arch/x86/entry/syscalls", "arch/arm/tools"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "syscall.tbl").write_text("# no\t473 line\n473\tcommon\tagent\t\tsys_agent\n")
    (tmp_path / "scripts" / "atomics.tbl").write_text("473 common agent sys_agent\n")
    found = layout.tables(tmp_path)
    assert len(found) == 4
    assert all(layout.table_numbers(table, ["agent", "nobody"]) == {"agent": 473} for table in found)
