"""QEMU's monitor, of a real QEMU; and ends that are none."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import qmp
from harness.errors import LabError, LabTimeout
from harness.qemu import Qemu, RunDirectory
from harness.qmp import Monitor
from tests.unit.laboratory import Laboratory
from tests.unit.test_qemu import idle


@pytest.fixture
def qemu(laboratory: Laboratory, tmp_path: Path) -> Iterator[Qemu]:
    started = Qemu(idle(tmp_path), RunDirectory())
    yield started
    started.stop()


def test_a_command_has_its_answer_and_events_are_none(qemu: Qemu) -> None:
    assert qemu.monitor.execute("query-status")["status"] == "running"
    qemu.monitor.execute("stop")  # an event of its own comes before the next answer
    assert qemu.monitor.execute("query-status")["running"] is False


def test_a_refusal_is_told_in_qemus_words(qemu: Qemu) -> None:
    with pytest.raises(LabError, match="QEMU refuses qom-get: .*no-such-device"):
        qemu.monitor.execute("qom-get", path="/no-such-device", property="x")
    assert qemu.monitor.execute("query-status")["running"] is True


def test_a_qemu_that_is_gone_is_told(qemu: Qemu) -> None:
    qemu.monitor.execute("quit")
    qemu.ended(10)
    with pytest.raises(LabError, match="monitor"):
        qemu.monitor.execute("query-status")


def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmp, "PATIENCE", 0.1)
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(LabTimeout, match="does not answer"):
        Monitor(ours).execute("query-status")


@pytest.mark.parametrize("line", [b"no JSON\n", b"[]\n", b"\xff\n"])
def test_what_makes_no_sense_is_no_answer(line: bytes) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(line)
    with theirs, pytest.raises(LabError, match="monitor"):
        Monitor(ours).execute("query-status")
