"""A guest used by several: the owner's relay and the clients, over real sockets; the guest's end is played."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cache, share
from harness.cache import REPO
from harness.channel import Channel
from harness.errors import LabError
from harness.frames import FRAME_MAX, WINDOW, Kind, word
from harness.guest import Guest
from harness.qemu import RunDirectory
from harness.share import About
from tests.unit.guest_end import GuestEnd

ABOUT = About("kernel-key", "uma", 1024, 2)
VMLINUX = Path("/no/vmlinux")  # nothing here prints a splat


@pytest.fixture
def end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuestEnd]:
    """The played guest of an owner who shares it, in a checkout that lies deeper than a socket's path may be long."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    monkeypatch.setattr(cache, "REPO", deep)
    run = RunDirectory()
    run.console.touch()
    made = GuestEnd()
    channel = Channel(made.theirs)
    made.hello()
    assert channel.greeted(5)
    with share.shared(Guest(channel, run.console, VMLINUX), ABOUT):
        yield made
    channel.close()
    run.close()


def found(wanted: About = ABOUT, *, any_size: bool = True) -> Guest | None:
    return share.find(wanted, VMLINUX, any_size=any_size)


def attached() -> Guest:
    guest = found()
    assert guest is not None
    return guest


def test_a_client_runs_its_command(end: GuestEnd) -> None:
    guest = attached()
    session = guest.open(["cat"])
    number = end.expect(Kind.START).session
    session.write(b"in")
    assert end.expect(Kind.INPUT).payload == b"in"
    end.send(Kind.OUTPUT, number, b"out")
    end.send(Kind.ERROR, number, b"err")
    end.exit(number, 3)
    frames = [guest.take(session, 5) for _ in range(3)]
    assert [frame and frame.payload for frame in frames] == [b"out", b"err", word(0) + word(3)]
    guest.channel.close()


def test_two_clients_with_the_same_numbers_are_kept_apart(end: GuestEnd) -> None:
    guests = [attached(), attached()]
    sessions = [guest.open(["x"]) for guest in guests]
    assert sessions[0].id == sessions[1].id
    numbers = [end.expect(Kind.START).session for _ in guests]
    assert numbers[0] != numbers[1]
    end.send(Kind.OUTPUT, numbers[1], b"second")
    end.send(Kind.OUTPUT, numbers[0], b"first")
    heard = {
        frame.payload for guest, session in zip(guests, sessions, strict=True) if (frame := guest.take(session, 5))
    }
    assert heard == {b"first", b"second"}
    for guest in guests:
        guest.channel.close()


def test_credit_comes_from_the_one_who_reads(end: GuestEnd) -> None:
    guest = attached()
    session = guest.open(["yes"])
    number = end.expect(Kind.START).session
    for _ in range(WINDOW // FRAME_MAX):
        end.send(Kind.OUTPUT, number, bytes(FRAME_MAX))
    end.ours.settimeout(0.3)
    with pytest.raises(TimeoutError):
        end.read()
    end = _patient(end)
    for _ in range(WINDOW // FRAME_MAX):
        assert guest.take(session, 5)
    assert end.expect(Kind.CREDIT).session == number
    guest.channel.close()


def _patient(end: GuestEnd) -> GuestEnd:
    end.ours.settimeout(5)
    end._frames = end._decode()
    return end


def test_a_client_that_goes_away_takes_its_commands_along(end: GuestEnd) -> None:
    guest = attached()
    guest.open(["sleep", "100"])
    number = end.expect(Kind.START).session
    end.send(Kind.OUTPUT, number, bytes(1000))
    guest.channel.close()
    frames = [end.read(), end.read()]
    assert [(frame.kind, frame.session) for frame in frames] == [(Kind.SIGNAL, number), (Kind.CREDIT, number)]
    assert frames[0].payload == word(signal.SIGKILL)
    end.exit(number, 137, 9)
    again = attached()
    again.open(["true"])
    assert end.expect(Kind.START).session != number
    again.channel.close()


def test_only_what_is_wanted_is_found(end: GuestEnd) -> None:
    assert found(About("other-key", "uma", 1024, 2)) is None
    assert found(About("kernel-key", "hmat", 1024, 2)) is None
    assert found(About("kernel-key", "uma", 2048, 2), any_size=False) is None
    larger = found(About("kernel-key", "uma", 2048, 2))
    assert larger is not None
    larger.channel.close()


def test_an_owner_that_ends_is_the_clients_trouble_and_no_fault_of_the_kernel(end: GuestEnd) -> None:
    guest = attached()
    session = guest.open(["sleep", "100"])
    end.expect(Kind.START)
    end.close()
    with pytest.raises(LabError) as caught:
        while True:
            guest.take(session, 5)
    assert caught.value.exit_code == 4


def test_what_a_killed_owner_leaves_is_not_taken_for_a_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = f"""
import os, signal
from pathlib import Path
from harness import cache, share
from tests.unit.test_share import ABOUT, VMLINUX, Channel, Guest, GuestEnd, RunDirectory
cache.REPO = Path({str(tmp_path)!r})
run = RunDirectory()
run.console.touch()
with share.shared(Guest(Channel(GuestEnd().theirs), run.console, VMLINUX), ABOUT):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=REPO).returncode == -signal.SIGKILL
    monkeypatch.setattr(cache, "REPO", tmp_path)
    (run,) = (tmp_path / ".work" / "run").iterdir()
    assert sorted(path.name for path in run.iterdir()) == ["console.log", "lock", "share.json", "share.sock"]
    assert found() is None
