# SPDX-License-Identifier: MIT
"""The suite runs as it is on both backends; with the fallback, on a store of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import agentmem


@pytest.fixture(scope="session", autouse=True)
def _own_store() -> Iterator[None]:
    before, place = os.environ.get("XDG_RUNTIME_DIR"), tempfile.mkdtemp(dir="/dev/shm")
    os.environ["XDG_RUNTIME_DIR"] = place
    yield
    shutil.rmtree(place)
    os.environ.pop("XDG_RUNTIME_DIR")
    if before is not None:
        os.environ["XDG_RUNTIME_DIR"] = before


def pytest_report_header() -> str:
    return f"agentmem: {agentmem.backend()} backend, {Path(agentmem.__file__).parent}"


_numbers = itertools.count()


@pytest.fixture
def fresh() -> Callable[[int], bytes]:
    """Content of a size (64 bytes or more) that nobody has put before."""

    def make(size: int = 64) -> bytes:
        head = f"{os.getpid()} {next(_numbers)} {os.urandom(8).hex()} ".encode()
        return (head * (size // len(head) + 1))[:size]

    return make


def in_child(work: Callable[[], object]) -> int:
    """Runs it in a child made by fork; its exit code: 0 if nothing was raised, 99 after an exception."""
    pid = os.fork()
    if not pid:
        code = 99
        try:
            work()
            code = 0
        except BaseException:  # noqa: B036  (nothing of the child may go on into pytest)
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
