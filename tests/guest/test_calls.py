"""Random calls in a guest against the model; and the proof that a wrong answer would be found, shrunk and replayed."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cache import REPO
from harness.calls import campaign, descriptors, failures, memory
from harness.calls.failures import Failure
from harness.calls.generate import program
from harness.calls.ops import Call, Change, How, Kind, Map, MapRead, Other, Spawn
from harness.guest import Guest
from harness.kernel import Kernel
from harness.progress import say
from harness.pytest_lab import visible
from harness.verbs import calls as verb

COUNT = 100_000
LONG = 1_000_000  # half an hour and more on a kernel with all checkers


@pytest.fixture(scope="module")
def kernel(kernels: Callable[[str], Kernel]) -> Kernel:
    return kernels("lab")


@pytest.fixture(scope="module")
def guest(kernel: Kernel, pytestconfig: pytest.Config) -> Iterator[Guest]:
    with campaign.start(kernel, pytestconfig.getoption("topology")) as started:
        yield started


@pytest.fixture(scope="module")
def seed(pytestconfig: pytest.Config, session_property: Callable[[str, object], None]) -> str:
    """Another one every time, told at once: a guest that hangs must not take it along."""
    made = secrets.token_hex(4)
    session_property("calls.seed", made)
    with visible(pytestconfig):
        say(f"random calls: harness calls --seed {made}")
    return made


def judge(guest: Guest, kernel: Kernel, seed: str, count: int) -> None:
    report = campaign.campaign(guest, seed, count, REPO / "out" / "calls", kernel.key)
    if report.fault:
        raise verb.failed(report)
    assert report.calls == count


def test_the_same_calls_every_time(guest: Guest, kernel: Kernel) -> None:
    judge(guest, kernel, "agent_mem", COUNT)


def test_other_calls_every_time(guest: Guest, kernel: Kernel, seed: str) -> None:
    judge(guest, kernel, seed, COUNT)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_many_calls_with_all_checkers(kernels: Callable[[str], Kernel], seed: str) -> None:
    built = kernels("debug")
    with campaign.start(built) as started:
        judge(started, built, seed, LONG)


# -- proofs --

PLANTED: list[tuple[Any, str, Any, str]] = [
    (memory, "DEDUP", 0, "result"),
    (descriptors, "SEALS", 0x1F, "answer"),
    (memory, "may_signal", lambda *_: False, "EPERM"),
]


@pytest.mark.parametrize(("module", "name", "value", "predicted"), PLANTED, ids=[name for _, name, _, _ in PLANTED])
def test_a_wrong_prediction_is_found_shrunk_and_replayed(
    guest: Guest,
    kernel: Kernel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    value: Any,
    predicted: str,
) -> None:
    with monkeypatch.context() as altered:
        altered.setattr(module, name, value)
        report = campaign.campaign(guest, "planted", 20_000, tmp_path, kernel.key)
        assert report.fault and report.file and report.shrunk_to
        assert predicted in report.fault.predicted
        assert report.shrunk_to <= 20
        failure = failures.read(report.file)
        assert [len(calls) for calls in failure.programs] == [report.shrunk_to]
        assert campaign.replay(guest, failure) == [report.fault]
    assert campaign.replay(guest, failure) == [], "the kernel's answer is the right one"


def test_a_process_that_dies_ends_its_program_only(guest: Guest) -> None:
    """SIGBUS in a mapping of a memfd that was cut off."""
    good = program("good", 200)
    steps = (Other(0, 0, 1), Change(0, 0, How.WRITE), Map(0, 0, 0), Change(0, 0, How.TRUNCATE), MapRead(0, 0, 0, 1))
    dies: list[Call] = [Spawn(0, 0, Kind.PLAIN), *steps]
    output = campaign.run(guest, [good, dies])
    fine, fault = campaign.faults([good, dies], output)
    assert fine is None
    assert fault and fault.got == "a process died of signal 7 at call 5"
    guest.check()


def run(*arguments: str) -> tuple[int, dict[str, Any], str]:
    argv = [sys.executable, "-m", "harness", "calls", "--json", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, cwd=REPO, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_verb(kernel: Kernel, tmp_path: Path) -> None:
    code, result, said = run("--seed", "verb", "--count", "3000", "--out", str(tmp_path))
    assert code == 0
    assert "seed verb" in said
    assert result.pop("seconds") > 0
    assert result == {"seed": "verb", "calls": 3000, "flavour": "lab", "kernel": kernel.key, "failure": None}


def test_verb_replays(kernel: Kernel, tmp_path: Path) -> None:
    file = failures.write(tmp_path / "f.json", Failure("s", "none", kernel.key, (tuple(program("s", 100)),)))
    code, result, _ = run("--replay", str(file))
    assert code == 0
    assert result == {"seed": "s", "calls": 100, "faults": [], "flavour": "lab", "kernel": kernel.key}
