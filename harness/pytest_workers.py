"""Several workers of one pytest session (pytest-xdist, `-n`): who gets which tests, and what comes back from them.

A session without `-n` is not touched.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from _pytest.junitxml import xml_key
from xdist.scheduler import LoadScopeScheduling

from harness import kbuild, proc, progress

PARAMETER = re.compile(r"\[(\w+)")
PROPERTIES = "properties"  # what a worker tells at its end, beside what xdist has it tell


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    if is_worker(config):
        proc.die_with_parent()
        progress.plain()  # the terminal has one line for what is under way, not one for each worker
    elif config.getoption("numprocesses"):
        config.pluginmanager.register(Controller(config), "laboratory-controller")


@pytest.fixture(scope="session")
def session_property(
    pytestconfig: pytest.Config, record_testsuite_property: Callable[[str, object], None]
) -> Callable[[str, object], None]:
    """record_testsuite_property for workers, too."""
    output: dict[str, Any] | None = getattr(pytestconfig, "workeroutput", None)
    if output is None:
        return record_testsuite_property
    told = output.setdefault(PROPERTIES, {})

    def tell(name: str, value: object) -> None:
        told[name] = str(value)

    return tell


class Scheduling(LoadScopeScheduling):
    """A worker takes a whole file, of a file that tests several kernels one kernel: these share a guest, in order."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        first = PARAMETER.search(test)
        return f"{file}[{first[1]}" if first and first[1] in kbuild.flavours() else file


class Controller:
    """The session that has workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._properties: dict[str, str] = {}
        self._left: set[str] = set()  # tests that nobody has reported on
        self._seen: set[str] = set()

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Scheduling:
        config.option.loadscopereorder = False  # the fast ones first
        return Scheduling(config, log)

    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._left |= set(ids) - self._seen

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seen.add(report.nodeid)
        self._left.discard(report.nodeid)

    def pytest_testnodedown(self, node: Any) -> None:
        self._properties |= getattr(node, "workeroutput", {}).get(PROPERTIES, {})

    def pytest_keyboard_interrupt(self) -> None:
        """The workers are interrupted, too, so that they tear down; where all of the group is ours (`harness test`)."""
        if os.getpgrp() == os.getpid():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._left and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            progress.say(f"{len(self._left)} tests were not run, first {min(self._left)}")
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        if xml := self._config.stash.get(xml_key, None):
            for name, value in sorted(self._properties.items()):
                xml.add_global_property(name, value)
