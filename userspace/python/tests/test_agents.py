# SPDX-License-Identifier: MIT
"""Agents: who they are, marks, figures, grants; and what errors become."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import in_child

import agentmem
from agentmem import Scope, State, Temperature, attach, put

Fresh = Callable[..., bytes]


@pytest.fixture
def kernel() -> bool:
    return agentmem.backend() == "kernel"


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", f"import agentmem\n{code}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, **env})


def test_an_agent_is_what_it_says_it_is() -> None:
    agentmem.agent("reviewer", importance=900, state=State.PAUSED)
    told = agentmem.stats()
    assert (told.name, told.importance, told.state) == ("reviewer", 900, State.PAUSED)
    agentmem.agent(state=State.ACTIVE)
    assert (agentmem.stats().name, agentmem.stats().state) == ("reviewer", State.ACTIVE)
    assert os.getpid() in agentmem.agents()


def test_a_name_is_cut_between_characters() -> None:
    agentmem.agent("é" * 200)
    assert agentmem.stats().name == "é" * 127
    for bad in ("", "a\0b"):
        with pytest.raises(ValueError, match="a name has"):
            agentmem.agent(bad)
    assert agentmem.stats().name == "é" * 127


def test_nothing_to_say_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        agentmem.agent()


@pytest.mark.parametrize(
    ("bad", "range"),
    [
        ({"importance": 1001}, "importance must be from 1 to 1000; got 1001"),
        ({"state": 9}, r"state must be one of ACTIVE \(1\), PAUSED \(2\), IDLE \(3\); got 9"),
        ({"state": 0}, "state must be one of"),
        ({"temperature": 9}, r"temperature must be one of HOT \(1\), WARM \(2\), COLD \(3\); got 9"),
        ({"temperature": (1 << 32) + 1}, "temperature must be one of"),
        ({"node": -2}, "node must be the number of a NUMA node, or -1; got -2"),
        ({"node": 1 << 40}, "node must be"),
    ],
)
def test_marks_out_of_range_are_refused(fresh: Fresh, bad: dict[str, int], range: str) -> None:
    with pytest.raises(ValueError, match=range):
        agentmem.mark(**bad)  # type: ignore[arg-type]
    if "state" not in bad:
        with put(fresh()) as smu, pytest.raises(ValueError, match=range):
            smu.mark(**bad)  # type: ignore[arg-type]


def test_a_node_that_there_is_not_is_refused(fresh: Fresh) -> None:
    with pytest.raises(OSError, match="no such NUMA node") as told:
        put(fresh(), node=(1 << 31) - 1)
    assert told.value.errno == errno.EINVAL


def test_a_type_or_a_scope_that_there_is_not_is_refused(fresh: Fresh) -> None:
    with put(fresh()) as smu:
        for call in (lambda: put(fresh(), 4), lambda: smu.append(b"more", -1)):  # type: ignore[arg-type]
            with pytest.raises(ValueError, match=r"type must be one of CONVERSATION \(0\), "):
                call()
    with pytest.raises(ValueError, match="scope must be one of"):
        agentmem.stats(9)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [0, -1, 1001, (1 << 32) + 7, -(1 << 32) + 7, 1 << 70])
def test_an_importance_out_of_range_is_not_cut_to_another(fresh: Fresh, bad: int) -> None:
    with put(fresh()) as smu:
        for call in (
            lambda: put(fresh(), importance=bad),
            lambda: smu.append(b"more", importance=bad),
            lambda: smu.mark(importance=bad),
            lambda: agentmem.mark(importance=bad),
        ):
            with pytest.raises(ValueError, match=f"importance must be from 1 to 1000; got {bad}"):
                call()


def test_figures_count_what_is_held(fresh: Fresh) -> None:
    before = agentmem.stats()
    data = fresh(10_000)
    with put(data), put(data), put(fresh(10_000)):
        now = agentmem.stats()
        assert now.smus - before.smus == 2
        assert now.logical_bytes - before.logical_bytes == 20_000
        assert now.dedup_hits - before.dedup_hits == 1
        assert agentmem.stats(Scope.DOMAIN).smus >= 2
        assert agentmem.stats(Scope.DOMAIN).state is None
        ours = agentmem.stats()
        # The process's own memory changes between two looks.
        assert replace(agentmem.stats(pid=os.getpid()), anon_bytes=ours.anon_bytes) == ours
    assert agentmem.stats().smus == before.smus


def test_figures_of_an_object(fresh: Fresh) -> None:
    with put(fresh(100_000), agentmem.Type.TOOL_RESULT, importance=700, compress=False) as smu:
        told = smu.stats()
        assert (told.length, told.type, told.digest) == (100_000, agentmem.Type.TOOL_RESULT, smu.digest)
        assert (told.holders, told.base_depth, told.node) == (1, 0, None)
        assert told.temperature is Temperature.HOT and told.resident_top >= 100_000


@pytest.mark.parametrize("temperature", [Temperature.WARM, Temperature.COLD])
def test_what_was_marked_comes_back_as_it_was(fresh: Fresh, kernel: bool, temperature: Temperature) -> None:
    data = fresh(1 << 20)
    with put(data) as smu:
        smu.mark(temperature)
        told = smu.stats()
        assert told.temperature is temperature
        assert 0 < told.stored < 100_000 and told.algorithm is agentmem.Algorithm.ZSTD
        if temperature is Temperature.COLD or not kernel:  # WARM: the kernel may drop the plain copy, and need not
            assert told.resident_top < 1 << 20, "a mapping of ours kept the plain copy"
        assert smu == data
        smu.mark()
        assert smu.stats().temperature is Temperature.HOT and smu.stats().resident_top >= 1 << 20


def test_a_mark_of_the_agent_goes_for_all_that_it_holds(fresh: Fresh) -> None:
    with put(fresh(1 << 18)) as one, put(fresh(1 << 18)) as two:
        agentmem.mark(Temperature.COLD)
        assert one.stats().temperature is two.stats().temperature is Temperature.COLD
        agentmem.mark()
        assert one.stats().temperature is two.stats().temperature is Temperature.HOT


def test_a_grant_is_claimed_by_the_other_agent(fresh: Fresh) -> None:
    data = fresh(3000)
    start, done = os.pipe(), os.pipe()
    smu = put(data)

    def claim() -> None:
        os.close(start[1])
        smu.close()
        agentmem.agent("other")
        os.write(done[1], b"!")
        assert os.read(start[0], 1) == b"!"
        assert attach(smu.digest) == data

    pid = os.fork()
    if not pid:
        os._exit(in_child_code(claim))
    os.close(start[0])
    os.read(done[0], 1)
    smu.share(pid)
    digest = smu.digest
    smu.close()
    assert attach(digest) == data, "the grant holds it"
    os.write(start[1], b"!")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for fd in (start[1], *done):
        os.close(fd)
    with pytest.raises(FileNotFoundError):
        attach(digest)


def in_child_code(work: Callable[[], None]) -> int:
    try:
        work()
    except BaseException:  # noqa: B036
        import traceback

        traceback.print_exc()
        return 99
    return 0


def test_a_grant_can_be_taken_back(fresh: Fresh) -> None:
    with put(fresh()) as smu, subprocess.Popen(["sleep", "60"]) as process:
        try:
            agentmem.share(smu, process.pid)
            pidfd = os.pidfd_open(process.pid)
            smu.share(pidfd=pidfd, revoke=True)
            os.close(pidfd)
            with pytest.raises(FileNotFoundError):
                smu.share(process.pid, revoke=True)
        finally:
            process.kill()


def test_a_process_that_is_gone_is_told(fresh: Fresh) -> None:
    gone = subprocess.Popen(["true"])
    pidfd = os.pidfd_open(gone.pid)
    gone.wait()
    with put(fresh()) as smu:
        for call in (smu.share, agentmem.stats, agentmem.mark):
            with pytest.raises(ProcessLookupError):
                call(pid=gone.pid)  # type: ignore[operator]
        with pytest.raises(ProcessLookupError):
            smu.share(pidfd=pidfd)
    os.close(pidfd)


def test_who_is_meant_is_said_once(fresh: Fresh) -> None:
    with put(fresh()) as smu:
        with pytest.raises(ValueError, match="pid or pidfd, not both"):
            smu.share(1, pidfd=1)
        with pytest.raises(ValueError, match="pid or the pidfd"):
            smu.share()


def test_children_are_the_same_agent_until_they_name_themselves() -> None:
    agentmem.agent("parent", importance=700)

    def look() -> None:
        assert agentmem.stats().name == "parent"
        agentmem.agent("child")
        assert agentmem.stats().name == "child"

    assert in_child(look) == 0
    assert agentmem.stats().name == "parent"


# -- backends and errors --


def test_figures_of_the_system_are_for_its_administrator_and_the_kernels(kernel: bool) -> None:
    if kernel and os.geteuid() == 0:
        assert agentmem.stats(Scope.SYSTEM).smus >= 0
        return
    with pytest.raises(OSError) as told:
        agentmem.stats(Scope.SYSTEM)
    assert told.value.errno == (errno.EPERM if kernel else errno.EOPNOTSUPP)


def test_content_that_is_empty_is_an_error() -> None:
    with put(b"x") as smu:
        for call in (lambda: put(b""), lambda: put(""), lambda: smu.append(bytearray())):
            with pytest.raises(ValueError, match="data is empty"):
                call()


def test_the_environment_chooses_the_backend() -> None:
    ask = "print(agentmem.backend())"
    assert python(ask, AGENTMEM_BACKEND="fallback").stdout == "fallback\n"
    forced, found = python(ask, AGENTMEM_BACKEND="kernel"), python(ask, AGENTMEM_BACKEND="")
    if found.stdout == "kernel\n":
        assert forced.stdout == "kernel\n"
    else:
        assert found.stdout == "fallback\n" and "without it the fallback is used" in forced.stderr


def test_a_backend_that_there_is_not_is_told() -> None:
    done = python("agentmem.put('x')", AGENTMEM_BACKEND="none")
    assert done.returncode == 1 and "AGENTMEM_BACKEND is neither kernel nor fallback" in done.stderr


def test_what_happens_when_descriptors_run_out() -> None:
    code = """
import resource, sys
held = [agentmem.put('first')]
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
try:
    while True:
        held.append(agentmem.put(f'{len(held)}'))
except OSError as error:
    print(error.errno, error.strerror)
del held[-10:]
print(agentmem.put('goes on') == b'goes on')
"""
    done = python(code)
    assert done.stdout == f"{errno.EMFILE} Too many open files\nTrue\n", done.stderr
