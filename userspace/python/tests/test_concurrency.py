# SPDX-License-Identifier: MIT
"""Threads, fork, asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import in_child

import agentmem
from agentmem import Smu, Temperature, Type, attach, put

Fresh = Callable[..., bytes]
BIG = 32 << 20  # bytes: long enough to put that others can be seen to run
ENOUGH = 4  # turns of another thread


def test_threads_that_put_the_same_get_the_same(fresh: Fresh) -> None:
    contents = [fresh(20_000) for _ in range(8)]

    def work(number: int) -> list[Smu]:
        return [put(contents[(number + step) % 8]) for step in range(40)]

    with ThreadPoolExecutor(8) as pool:
        made = [smu for part in pool.map(work, range(8)) for smu in part]
    assert len(set(made)) == 8
    assert sum(not smu.dedup for smu in made) == 8
    assert all(attach(smu.digest) == smu for smu in set(made))


def test_threads_read_one_smu(fresh: Fresh) -> None:
    data = fresh(300_000)
    with put(data) as smu, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: memoryview(smu) == data and smu == data, range(400)))
        smu.mark(Temperature.COLD)
        assert all(pool.map(lambda _: bytes(smu) == data, range(40)))


def test_closing_under_the_hands_of_others_is_a_value_error_and_nothing_worse(fresh: Fresh) -> None:
    """No call may meet another file that got the number of the descriptor."""
    for _ in range(60):
        data = fresh(4000)
        smu = put(data)
        met: list[BaseException] = []
        barrier = threading.Barrier(4)

        def use(use: Callable[[Smu], object], smu: Smu = smu, met: list[BaseException] = met) -> None:
            barrier.wait()  # noqa: B023
            try:
                while True:
                    use(smu)
            except ValueError:
                pass
            except BaseException as error:  # noqa: B036
                met.append(error)

        uses: list[Callable[[Smu], object]] = [Smu.stats, lambda smu: smu.append("x").close(), lambda smu: bytes(smu)]
        threads = [threading.Thread(target=use, args=(one,)) for one in uses]
        for thread in threads:
            thread.start()
        barrier.wait()
        while True:
            try:
                smu.close()
                break
            except BufferError:
                pass
        with Path(os.devnull).open(), Path(os.devnull).open():  # what could get its number
            for thread in threads:
                thread.join(20)
        assert not met and not any(thread.is_alive() for thread in threads)


def test_a_descriptor_lasts_as_long_as_the_call_that_uses_it(fresh: Fresh) -> None:
    for _ in range(20):
        smu = put(fresh(BIG))
        fd = smu.fileno()
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(smu.mark, Temperature.WARM)
            time.sleep(0.01)
            smu.close()
            try:
                os.fstat(fd)
                open_during = True
            except OSError:
                open_during = False
            if call.done():
                continue  # too late to see anything: once more
            assert open_during and smu.closed
        with pytest.raises(OSError):
            os.fstat(fd)
        return
    pytest.fail("no call was seen under way")


class Ticker(threading.Thread):
    """Counts how often it had its turn."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ticks, self.stopped = 0, False

    def run(self) -> None:
        while not self.stopped:
            time.sleep(0.0005)
            self.ticks += 1

    def during(self, work: Callable[[], object]) -> int:
        before = self.ticks
        kept = work()
        during = self.ticks - before
        del kept  # what it takes to free it does not count
        return during


@pytest.mark.parametrize(
    "work",
    [
        lambda smu, data: smu.append(data, Type.CONVERSATION),
        lambda smu, data: smu == data,
        lambda smu, data: smu.mark(Temperature.WARM),
    ],
    ids=["append", "compare", "compress"],
)
def test_others_run_during_one_long_call(fresh: Fresh, work: Callable[[Smu, bytes], object]) -> None:
    """With the interpreter's lock held another thread could have one turn before the call and one after it."""
    data, ticker = fresh(BIG), Ticker()
    ticker.start()
    with put(data) as smu:
        smu.mark()
        seen = [ticker.during(lambda: work(smu, data))]
        while max(seen) < ENOUGH and len(seen) < 20:  # on a busy machine it may have to be tried again
            smu.mark()
            seen.append(ticker.during(lambda: work(smu, data)))
    ticker.stopped = True
    assert max(seen) >= ENOUGH, seen


def test_an_event_loop_goes_on_meanwhile(fresh: Fresh) -> None:
    data = fresh(BIG)

    async def main() -> tuple[int, Smu]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticker = asyncio.create_task(tick())
        await asyncio.sleep(0)
        smu = await asyncio.to_thread(put, data)
        during = ticks
        found = await asyncio.gather(*(asyncio.to_thread(attach, smu.digest) for _ in range(4)))
        assert all(one == smu for one in found)
        ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticker
        return during, smu

    ticks, smu = asyncio.run(main())
    assert smu == data and ticks >= ENOUGH


def test_both_sides_of_a_fork_have_it(fresh: Fresh) -> None:
    data = fresh(50_000)
    with put(data) as smu, memoryview(smu) as view:

        def work() -> None:
            assert view == data and smu == data
            view.release()
            smu.close()
            with put(data) as again, attach(again.digest) as found:
                assert again.dedup and found == data

        assert in_child(work) == 0
        assert view == data and smu.append("x") == data + b"x"


def test_a_fork_between_the_calls_of_threads_hangs_neither_side(fresh: Fresh) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with put(os.urandom(2000)) as smu:
                assert len(bytes(smu)) == 2000

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work) for _ in range(4)]
        try:
            for _ in range(30):
                data = fresh()
                assert in_child(lambda data=data: put(data).close()) == 0  # type: ignore[misc]
        finally:
            stop.set()
        for one in working:
            one.result(20)


def _attached(digest: bytes) -> bytes:
    with attach(digest) as smu:
        return bytes(smu)[:20] + agentmem.backend().encode()


def test_a_pool_of_processes_finds_by_digest(fresh: Fresh) -> None:
    with put(fresh(5000)) as smu, multiprocessing.get_context("spawn").Pool(2) as pool:
        expected = bytes(smu)[:20] + agentmem.backend().encode()
        assert pool.map(_attached, [smu.digest] * 6) == [expected] * 6
