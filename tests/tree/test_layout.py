"""The machinery of harness/layout.py on calls that every kernel has: vmlinux, headers, tables agree about openat2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import kernel, layout
from harness.errors import KernelError
from harness.layout import Layout, Member
from harness.symbols import Decoder
from harness.vmlinux import Image

OPEN_HOW = Layout("open_how", 24, (Member("flags", 0, 8), Member("mode", 8, 8), Member("resolve", 16, 8)))
MOUNT_ATTR = Layout(
    "mount_attr",
    32,
    (Member("attr_set", 0, 8), Member("attr_clr", 8, 8), Member("propagation", 16, 8), Member("userns_fd", 24, 8)),
)


@pytest.fixture(scope="module")
def built() -> kernel.Kernel:
    return kernel.build()


@pytest.fixture(scope="module")
def image(built: kernel.Kernel) -> Iterator[Image]:
    with Image(built.vmlinux) as opened:
        yield opened


@pytest.mark.parametrize(
    ("function", "header", "expected"),
    [("__x64_sys_openat2", "linux/openat2.h", OPEN_HOW), ("__x64_sys_mount_setattr", "linux/mount.h", MOUNT_ATTR)],
)
def test_kernel_and_programs_see_one_layout(
    built: kernel.Kernel, image: Image, function: str, header: str, expected: Layout
) -> None:
    name = expected.name
    assert layout.in_kernel(image, function, [name])[name] == expected
    assert layout.in_header(header, [name], built.headers, 64)[name] == expected
    assert layout.in_header(header, [name], built.headers, 32)[name] == expected


def test_a_structure_or_function_that_the_kernel_lacks_is_told(image: Image) -> None:
    with pytest.raises(KernelError, match="no struct no_such"):
        layout.in_kernel(image, "__x64_sys_openat2", ["open_how", "no_such"])
    with pytest.raises(KernelError, match="no function no_such"):
        layout.in_kernel(image, "no_such", ["open_how"])


def test_header_table_and_vmlinux_agree_about_numbers(built: kernel.Kernel, image: Image) -> None:
    calls = ("read", "openat2", "mount_setattr", "mseal")
    numbers = layout.installed_numbers(built.headers, calls)
    assert set(numbers) == set(calls)
    table = built.tree / "arch" / "x86" / "entry" / "syscalls" / "syscall_64.tbl"
    assert layout.table_numbers(table, calls) == numbers
    held = layout.handlers(image, numbers.values())
    assert {name: f"__x64_sys_{name}" in held[number] for name, number in numbers.items()} == dict.fromkeys(calls, True)
    assert len(layout.tables(built.tree)) >= 17


def test_functions_of_the_kernel_are_found_in_their_files(image: Image) -> None:
    decoder = Decoder(image)
    assert (decoder.line("do_sys_openat2", 0) or "").startswith("fs/open.c:")
    assert (decoder.line("kfree", 4) or "").startswith("mm/slub.c:")
