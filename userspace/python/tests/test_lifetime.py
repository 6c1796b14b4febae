# SPDX-License-Identifier: MIT
"""How long an Smu, its buffers and its object last; nothing is left behind."""

from __future__ import annotations

import gc
import os
import socket
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

import agentmem
from agentmem import Smu, Temperature, attach, put

Fresh = Callable[..., bytes]


def gone(digest: bytes) -> bool:
    try:
        attach(digest).close()
    except FileNotFoundError:
        return True
    return False


def test_a_with_block_ends_the_hold(fresh: Fresh) -> None:
    with put(fresh()) as smu:
        assert not smu.closed and not gone(smu.digest)
    assert smu.closed and gone(smu.digest)


def test_the_last_reference_ends_the_hold(fresh: Fresh) -> None:
    held = [put(fresh()) for _ in range(5)]
    digests, watches = [smu.digest for smu in held], [weakref.ref(smu) for smu in held]
    del held
    gc.collect()
    assert not any(watch() for watch in watches) and all(gone(digest) for digest in digests)


def test_closing_twice_is_closing(fresh: Fresh) -> None:
    smu = put(fresh())
    smu.close()
    smu.close()
    assert smu.closed


def test_a_closed_one_still_knows_what_it_was(fresh: Fresh) -> None:
    data = fresh()
    smu, same = put(data), put(data)
    before = hash(smu), smu.digest, len(smu)
    smu.close()
    assert (hash(smu), smu.digest, len(smu)) == before and smu == same and "closed" in repr(smu)


@pytest.mark.parametrize(
    "use",
    [
        memoryview,
        Smu.fileno,
        Smu.stats,
        Smu.mark,
        Smu.__enter__,
        lambda smu: smu.type,
        lambda smu: smu.append("x"),
        lambda smu: smu.share(os.getpid()),
        lambda smu: smu == b"x" * 64,
    ],
)
def test_a_closed_one_cannot_be_used(fresh: Fresh, use: Callable[[Smu], object]) -> None:
    smu = put(fresh(64))
    smu.close()
    with pytest.raises(ValueError, match="closed SMU"):
        use(smu)


def test_closing_with_a_buffer_in_use_is_refused_and_changes_nothing(fresh: Fresh) -> None:
    data = fresh()
    smu = put(data)
    first, second = memoryview(smu), memoryview(smu)
    with pytest.raises(BufferError, match="2 of its buffers are in use"):
        smu.close()
    assert not smu.closed and smu == data and first == data
    first.release()
    with pytest.raises(BufferError, match="1 of its buffers"):
        smu.close()
    second.release()
    smu.close()
    assert smu.closed


def test_a_buffer_holds_its_smu(fresh: Fresh) -> None:
    data = fresh(10_000)
    view = memoryview(put(data))
    gc.collect()
    assert view == data and not gone(view.obj.digest)  # type: ignore[union-attr, attr-defined]


def test_a_mapping_lasts_as_long_as_its_buffers(fresh: Fresh) -> None:
    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count(" r--s ")

    with put(fresh(1 << 16)) as smu:
        before = mappings()
        with memoryview(smu) as one:
            during = mappings()
            with memoryview(smu) as two:
                assert mappings() == during > before and one == two
        assert mappings() == before


def test_a_descriptor_can_be_taken_over(fresh: Fresh) -> None:
    """As it comes through a socket."""
    data = fresh(500)
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs, put(data, agentmem.Type.TOOL_DEF) as smu:
        socket.send_fds(ours, [b"!"], [smu.fileno()])
        (fd,) = socket.recv_fds(theirs, 1, 1)[1]
    with Smu(fd) as received:
        assert received.fileno() == fd and received == data and received.digest == smu.digest
        assert len(received) == 500 and received.type is agentmem.Type.TOOL_DEF
    with pytest.raises(OSError):
        os.fstat(fd)


def test_a_descriptor_of_something_else_is_refused_and_left_open(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as stream:
        with pytest.raises(OSError, match="not the descriptor of an SMU"):
            Smu(stream.fileno())
        os.fstat(stream.fileno())
    with pytest.raises(OSError):
        Smu(-1)


def test_a_descriptor_that_somebody_else_closed_is_told(fresh: Fresh) -> None:
    smu = put(fresh())
    os.close(smu.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        smu.close()
    assert smu.closed


def test_descriptors_do_not_go_to_other_programs(fresh: Fresh) -> None:
    with put(fresh()) as smu, smu.append("x") as longer, attach(smu.digest) as found:
        assert not any(os.get_inheritable(one.fileno()) for one in (smu, longer, found))


# -- leaks --


def everything(content: bytes) -> None:
    """Each call once, with its ways to fail; arguments are made anew, so that none can be kept unseen."""
    data = bytearray(content)
    put(b"dropped, not closed")
    put(b"and another").append(data)
    with put(data) as smu, smu.append("more") as longer, attach(smu.digest) as found, put(data, base=longer) as same:
        assert smu == found == same == data and memoryview(longer)[:4] == data[:4]
        smu.stats()
        smu.mark(Temperature.HOT)
        agentmem.stats()
        agentmem.agents()
        agentmem.mark(importance=500)
        assert smu != memoryview(bytearray(999))[::2]
        view = memoryview(smu)
        for wrong in (
            smu.close,
            lambda: put(b""),
            lambda: put(memoryview(bytearray(999))[::2]),
            lambda: put(data, 99),  # type: ignore[arg-type]
            lambda: put(data, base=7),  # type: ignore[arg-type]
            lambda: attach(b"\0" * 32),
            lambda: attach(bytearray(999)),
            lambda: Smu(-1),
            lambda: smu.append(b""),
            lambda: smu.share(pidfd=smu.fileno()),
            lambda: smu.mark(importance=5000),
            lambda: agentmem.mark(importance=5000),
            lambda: agentmem.stats(pidfd=smu.fileno()),
            lambda: smu < found,  # type: ignore[operator]
        ):
            with pytest.raises((OSError, ValueError, TypeError, BufferError)):
                wrong()
        view.release()


def held() -> tuple[int, int, int]:
    """Descriptors, shared mappings, references to the type."""
    gc.collect()
    mappings = Path("/proc/self/maps").read_text().count(" r--s ")
    return len(list(Path("/proc/self/fd").iterdir())), mappings, sys.getrefcount(Smu)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_nothing_is_left_behind(fresh: Fresh) -> None:
    data = fresh(200_000)
    for _ in range(20):
        everything(data)
    before, memory = held(), resident()
    for _ in range(80):  # a leak of the content would be 16 MB or more
        everything(data)
    assert held() == before
    assert resident() - memory < 4 << 20


def test_no_python_object_is_left_behind(fresh: Fresh) -> None:
    data = fresh(5000)
    for _ in range(5):
        everything(data)
    tracemalloc.start()
    try:
        everything(data)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            everything(data)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 100 * 40  # bytes; the smallest object has 16
    finally:
        tracemalloc.stop()
