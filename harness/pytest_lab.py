"""pytest's side of `harness test`: options, the marker `long`, and an outcome that tells whose fault a failure is.

Loaded by pyproject.toml, so that a plain `pytest` behaves the same.
"""

from __future__ import annotations

import contextlib
import errno
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from harness.cache import new_file
from harness.errors import EXIT_KERNEL, EXIT_LAB, EXIT_TESTS_FAILED, HarnessError

MESSAGE = 2000  # characters of a failure's message in the outcome; the whole is in the JUnit file
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("laboratory")
    group.addoption("--long", action="store_true", help="also tests marked long")
    group.addoption("--topology", default="uma", metavar="T", help="memory topology of the guests (default uma)")
    group.addoption("--outcome", type=Path, metavar="FILE", help="write the outcome of the session as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; runs with `harness test --all` only")
    config.pluginmanager.register(Outcome(config), "laboratory-outcome")
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_: int, __: FrameType | None) -> None:
    """Being ended is an interruption: fixtures are torn down (no guest stays behind), the JUnit file is written."""
    raise KeyboardInterrupt


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@contextlib.contextmanager
def visible(config: pytest.Config) -> Iterator[None]:
    """What is printed in the block is seen at once: for waits of minutes, which pytest would capture."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        yield


def blame(error: BaseException, collecting: bool) -> int:
    """The exit code that a failure by `error` asks for."""
    if isinstance(error, HarnessError) and error.exit_code in (EXIT_KERNEL, EXIT_LAB):
        return error.exit_code
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return EXIT_LAB
    # A test file that cannot be loaded says nothing about what it would have tested.
    return EXIT_LAB if collecting else EXIT_TESTS_FAILED


class Outcome:
    """Gathers what the exit code of pytest does not tell, and writes it when the session ends, however it ends."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._codes: list[int] = []

    def pytest_exception_interact(
        self, call: pytest.CallInfo[Any], report: pytest.CollectReport | pytest.TestReport
    ) -> None:
        assert call.excinfo is not None  # the hook is called for exceptions only
        self._codes.append(blame(call.excinfo.value, isinstance(report, pytest.CollectReport)))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        path: Path | None = self._config.getoption("outcome")
        if path is None:
            return
        stats: dict[str, list[Any]] = self._config.pluginmanager.getplugin("terminalreporter").stats
        bad = [report for kind in ("failed", "error") for report in stats.get(kind, ())]
        outcome = {
            "exit": int(exitstatus),
            "codes": sorted(set(self._codes)),
            "passed": len(stats.get("passed", ())),
            "failed": len(stats.get("failed", ())),
            "skipped": sum(len(stats.get(kind, ())) for kind in ("skipped", "xfailed", "xpassed")),
            "errors": len(stats.get("error", ())),
            "failures": [{"name": report.nodeid, "message": _message(report)} for report in bad],
        }
        with new_file(path) as aside:
            aside.write_text(json.dumps(outcome))


def _message(report: pytest.CollectReport | pytest.TestReport) -> str:
    """What a failure says of itself, without the code around it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longreprtext)[:MESSAGE]
