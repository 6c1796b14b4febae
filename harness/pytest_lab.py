"""pytest's side of `harness test`: options, kernels to test, and an outcome that tells whose fault a failure is.

Loaded by pyproject.toml, so that a plain `pytest` behaves the same. What is slow (fetching, building) is done by
session fixtures or while tests are listed, and shows its progress.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from harness import git, kernel, logs, tree
from harness.cache import REPO, new_file, sha256_file
from harness.errors import EXIT_KERNEL, EXIT_LAB, EXIT_TESTS_FAILED, HarnessError, KernelError, TestsFailed
from harness.kernel import Kernel
from harness.progress import step
from harness.pytest_workers import is_worker

MESSAGE = 2000  # characters of a failure's message in the outcome; the whole is in the JUnit file
LAST = 40  # lines of the log that are shown with a failure
CODE = "exit_code"  # a failed report's attribute
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("laboratory")
    group.addoption("--long", action="store_true", help="also tests marked long")
    group.addoption("--topology", default="uma", metavar="T", help="memory topology of the guests (default uma)")
    group.addoption("--outcome", type=Path, metavar="FILE", help="write the outcome of the session as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; runs with `harness test --all` only")
    if not is_worker(config):
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


# -- what there is to test -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def visible(config: pytest.Config) -> Iterator[None]:
    """What is printed in the block is seen at once: for waits of minutes, which pytest would capture."""
    capture = config.pluginmanager.getplugin("capturemanager")
    reporter = config.pluginmanager.getplugin("terminalreporter")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        if reporter:
            reporter.ensure_newline()
        yield


@functools.cache
def applied(config: pytest.Config) -> Path:
    """The kernel tree, fetched and made if need be: tests of the kernel are listed by reading it."""
    with visible(config), step("kernel tree") as wait:
        return tree.apply(own_work="keep", update=wait.update).tree


@pytest.fixture(scope="session", autouse=True)
def _repository(session_property: Callable[[str, object], None]) -> None:
    """Ties the results to this checkout."""
    if git.is_repository(REPO):
        session_property("repository.commit", git.line(REPO, "rev-parse", "HEAD"))
        changed = git.git(REPO, "status", "--porcelain", "--untracked-files=no").stdout
        session_property("repository.changed", bool(changed.strip()))


@pytest.fixture(scope="session")
def kernels(pytestconfig: pytest.Config, session_property: Callable[[str, object], None]) -> Callable[[str], Kernel]:
    """Flavour -> its kernel, built if need be; results are tied to each kernel that was asked for."""

    @functools.cache
    def build(flavour: str) -> Kernel:
        with visible(pytestconfig):
            built = kernel.build(flavour)
        session_property(f"kernel.{flavour}.key", built.key)
        session_property(f"kernel.{flavour}.content", built.content)
        session_property(f"kernel.{flavour}.release", built.release)
        session_property(f"kernel.{flavour}.config", sha256_file(built.config))
        return built

    return build


# -- what came out -------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Ties a result to the kernel it used and to whose fault it is, and tells a HarnessError by its own words."""
    if call.when == "teardown":
        item.user_properties += [("kernel", key) for key in _kernels_of(item)]
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if report.failed:
        _blame(report, error, collecting=False)
    if isinstance(error, KernelError | TestsFailed):
        report.longrepr = _told(error)  # the Python around it has nothing to add
    elif isinstance(error, HarnessError):
        report.sections.append(("what to look at", _told(error)))
    return report


def pytest_exception_interact(call: pytest.CallInfo[Any], report: pytest.CollectReport | pytest.TestReport) -> None:
    """For what fails while tests are listed; where a test failed, its report is on its way already."""
    if isinstance(report, pytest.CollectReport):
        _blame(report, call.excinfo.value if call.excinfo else None, collecting=True)


def _blame(report: pytest.CollectReport | pytest.TestReport, error: BaseException | None, collecting: bool) -> None:
    """The report takes the exit code along, from a worker, too."""
    vars(report)[CODE] = blame(error, collecting)


def _kernels_of(item: pytest.Item) -> list[str]:
    used = getattr(item, "funcargs", {}).values()
    found = (one if isinstance(one, Kernel) else getattr(one, "kernel", None) for one in used)
    return sorted({one.key for one in found if isinstance(one, Kernel)})


def _told(error: HarnessError) -> str:
    log = f"\nlog: {error.log}" if error.log else ""
    # The log is gone with the machine that the tests ran on; its end often says enough.
    last = "".join(f"\n  | {line}" for line in logs.tail(error.log, LAST)) if error.log else ""
    return error.cause + log + last + (f"\nnext: {error.hint}" if error.hint else "")


def blame(error: BaseException | None, collecting: bool) -> int:
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

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_internalerror(self) -> None:
        self._codes.append(EXIT_LAB)

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.failed:  # without a code: a worker that died with its test
            self._codes.append(vars(report).get(CODE, EXIT_LAB))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        path: Path | None = self._config.getoption("outcome")
        if path is None:
            return
        stats: dict[str, list[Any]] = self._config.pluginmanager.getplugin("terminalreporter").stats
        bad = [report for kind in ("failed", "error") for report in stats.get(kind, ())]
        outcome = {
            "exit": int(session.exitstatus),
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
    return str(crash.message if crash else report.longrepr)[:MESSAGE]
