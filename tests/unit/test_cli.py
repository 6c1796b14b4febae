"""The edge: exit codes, messages, and verbs that do not depend on each other."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from pathlib import Path

import pytest

from harness import cli
from harness.errors import BuildError, GuestFault, HarnessError, LabError, TestsFailed, UsageError


def install(monkeypatch: pytest.MonkeyPatch, outcome: BaseException | int) -> None:
    """Makes `harness doctor` end in `outcome`."""
    module = types.ModuleType("harness.verbs.doctor", "Nothing.")

    def run(_: object) -> int:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    module.add_arguments = lambda parser: None  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "harness.verbs.doctor", module)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (0, 0),
        (1, 1),
        (TestsFailed("two tests failed"), 1),
        (UsageError("no such file"), 2),
        (BuildError("does not compile"), 3),
        (LabError("the mirror is gone"), 4),
        (OSError(28, "No space left on device", "/somewhere"), 4),
        (ZeroDivisionError("a defect"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_end_has_its_exit_code(monkeypatch: pytest.MonkeyPatch, outcome: BaseException | int, code: int) -> None:
    install(monkeypatch, outcome)
    assert cli.main(["doctor"]) == code


def test_an_error_tells_cause_log_and_next_step(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    error = LabError("the mirror is gone", log=Path("/logs/fetch.log"), hint="harness fetch --source TREE")
    install(monkeypatch, error)
    cli.main(["doctor"])
    said = capfd.readouterr()
    assert "the mirror is gone" in said.err
    assert "/logs/fetch.log" in said.err
    assert "harness fetch --source TREE" in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (UsageError("there is no such file"), "harness doctor --help"),
        (LabError("the line went dead"), "harness doctor (looks at disk, memory and tools)"),
        (GuestFault("the guest fell silent", log=Path("/logs/console.log")), "less /logs/console.log"),
    ],
)
def test_an_error_without_a_next_step_of_its_own_has_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: HarnessError, step: str
) -> None:
    install(monkeypatch, error)
    cli.main(["doctor"])
    assert f"  next: {step}\n" in capfd.readouterr().err


def test_unknown_verb_is_usage_and_names_the_known_ones(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["biuld"]) == 2
    assert "build" in capfd.readouterr().err


def test_no_arguments_print_every_verb(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capfd.readouterr().out
    assert all(verb in out for verb in cli.VERBS)
    assert "130 interrupted" in out


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_and_refuses_unknown_options(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as help_end:
        cli.main([verb, "--help"])
    assert help_end.value.code == 0
    assert f"harness {verb}" in capfd.readouterr().out
    with pytest.raises(SystemExit) as usage_end:
        cli.main([verb, "--no-such-option"])
    assert usage_end.value.code == 2
    assert importlib.import_module(f"harness.verbs.{verb}").SUMMARY


def test_a_broken_verb_leaves_the_others_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, 0)
    monkeypatch.setitem(sys.modules, "harness.verbs.boot", None)  # what an import error looks like
    assert cli.main(["boot"]) == 4
    assert cli.main(["doctor"]) == 0


def test_it_is_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "harness"], capture_output=True, text=True, check=True)
    assert "doctor" in done.stdout
