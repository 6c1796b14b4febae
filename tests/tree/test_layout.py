"""The interface as built: vmlinux, installed header, syscall tables and the written contract are of one mind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness import layout
from harness.errors import KernelError
from harness.kernel import Kernel
from harness.layout import Layout, Member
from harness.symbols import Decoder
from harness.vmlinux import Image

CALLS = ("agent_alloc_smu", "agent_share_content", "agent_mark_hot", "agent_get_stats")
HEADER = "linux/agent_mem.h"

# The interface's structures: name -> the handler whose file uses it, and each member with its size in bytes.
CONTRACT: dict[str, tuple[str, tuple[tuple[str, int], ...]]] = {
    "agent_smu_attr": (
        "__x64_sys_agent_alloc_smu",
        (("size", 4), ("flags", 4), ("base_fd", 4), ("node", 4), ("importance", 4), ("result", 4), ("digest", 32)),
    ),
    "agent_mark": (
        "__x64_sys_agent_mark_hot",
        (
            ("valid", 4),
            ("temperature", 4),
            ("state", 4),
            ("importance", 4),
            ("node", 4),
            ("reserved", 4),
            ("name", 256),
        ),
    ),
    "agent_smu_stats": (
        "__x64_sys_agent_get_stats",
        (
            *((name, 4) for name in ("size", "type", "flags", "temperature")),
            *((name, 8) for name in ("length", "resident_top", "resident_lower", "stored", "idle_ms")),
            *((name, 4) for name in ("holders", "base_depth", "algorithm", "node")),
            ("digest", 32),
        ),
    ),
    "agent_stats": (
        "__x64_sys_agent_get_stats",
        (
            *((name, 4) for name in ("size", "state", "importance", "node")),
            *((name, 8) for name in ("smus", "logical_bytes", "unique_bytes", "resident_top", "resident_lower")),
            *((name, 8) for name in ("stored_bytes", "swapped_bytes", "dedup_hits", "dedup_bytes", "attach_hits")),
            *((name, 8) for name in ("delta_hits", "compressions", "decompressions", "decompress_ns")),
            *((name, 8) for name in ("evict_age", "evict_pressure", "evict_mark")),
            *((name, 8) for name in ("fault_resident", "fault_lower", "fault_stored", "fault_swapped")),
            *((name, 8) for name in ("anon_bytes", "anon_stored_bytes", "anon_store_used")),
            ("name", 256),
        ),
    ),
}


def contract(name: str) -> Layout:
    """Naturally aligned, without holes: each member begins where the one before ends."""
    members, offset = [], 0
    for member, size in CONTRACT[name][1]:
        members.append(Member(member, offset, size))
        offset += size
    return Layout(name, offset, tuple(members))


@pytest.fixture(scope="module")
def built(kernels: Callable[[str], Kernel]) -> Kernel:
    return kernels("lab")


@pytest.fixture(scope="module")
def image(built: Kernel) -> Iterator[Image]:
    with Image(built.vmlinux) as opened:
        yield opened


@pytest.mark.parametrize("name", CONTRACT)
def test_kernel_programs_and_contract_have_one_layout(built: Kernel, image: Image, name: str) -> None:
    expected = contract(name)
    assert all(member.offset % min(member.size, 8) == 0 for member in expected.members)
    assert expected.size % 8 == 0
    assert layout.in_kernel(image, CONTRACT[name][0], [name])[name] == expected
    assert layout.in_header(HEADER, [name], built.headers, 64)[name] == expected
    assert layout.in_header(HEADER, [name], built.headers, 32)[name] == expected


def test_a_structure_or_function_that_the_kernel_lacks_is_told(image: Image) -> None:
    with pytest.raises(KernelError, match="no struct no_such"):
        layout.in_kernel(image, "__x64_sys_openat2", ["open_how", "no_such"])
    with pytest.raises(KernelError, match="no function no_such"):
        layout.in_kernel(image, "no_such", ["open_how"])


def test_the_calls_have_one_block_of_numbers_in_their_order(built: Kernel) -> None:
    numbers = layout.installed_numbers(built.headers, CALLS)
    assert set(numbers) == set(CALLS)
    first = numbers[CALLS[0]]
    assert [numbers[call] for call in CALLS] == list(range(first, first + len(CALLS)))


def test_each_number_leads_to_its_call(built: Kernel, image: Image) -> None:
    numbers = layout.installed_numbers(built.headers, (*CALLS, "read", "mseal"))
    held = layout.handlers(image, numbers.values())
    wrong = {call: held[number] for call, number in numbers.items() if f"__x64_sys_{call}" not in held[number]}
    assert wrong == {}


def test_32_bit_programs_have_the_same_numbers(built: Kernel) -> None:
    numbers = layout.installed_numbers(built.headers, CALLS)
    assert layout.installed_numbers(built.headers, CALLS, "asm/unistd_32.h") == numbers


def test_every_architectures_table_has_the_calls(built: Kernel) -> None:
    numbers = layout.installed_numbers(built.headers, CALLS)
    tables = layout.tables(built.tree)
    assert len(tables) >= 17
    for table in tables:
        # Alpha's numbers run 110 ahead of everybody's, since its OSF/1 calls.
        ahead = 110 if "alpha" in table.parts else 0
        assert layout.table_numbers(table, CALLS) == {call: number + ahead for call, number in numbers.items()}, table


def test_functions_of_the_kernel_are_found_in_their_files(image: Image) -> None:
    decoder = Decoder(image)
    assert (decoder.line("do_sys_openat2", 0) or "").startswith("fs/open.c:")
    assert (decoder.line("kfree", 4) or "").startswith("mm/slub.c:")
