"""Guests with the host's root: a command over ssh, and the shell that vng makes, on a terminal of our own."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import hostroot
from harness.cache import REPO
from harness.errors import GuestFault, LabTimeout
from harness.hostroot import HostRoot, Machine
from harness.kernel import Kernel

PATIENCE = 300.0  # seconds for a shell to come up on a busy machine


@pytest.fixture(scope="module")
def built(kernels: Callable[[str], Kernel]) -> Kernel:
    return kernels("lab")


@pytest.fixture(scope="module")
def guest(built: Kernel) -> Iterator[HostRoot]:
    with hostroot.start(Machine(built, 1024, 2)) as started:
        yield started


def run(guest: HostRoot, *argv: str, timeout: float = 60.0) -> tuple[int, bytes, bytes]:
    out, err = io.BytesIO(), io.BytesIO()
    return guest.run(argv, timeout, out, err), out.getvalue(), err.getvalue()


def test_it_is_our_kernel_on_the_hosts_files(guest: HostRoot, built: Kernel) -> None:
    assert run(guest, "uname", "-r") == (0, built.release.encode() + b"\n", b"")
    assert run(guest, "cat", str(REPO / "pyproject.toml")) == (0, (REPO / "pyproject.toml").read_bytes(), b"")


def test_exit_code_and_both_streams_are_the_commands(guest: HostRoot) -> None:
    assert run(guest, "sh", "-c", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")
    assert run(guest, "printf", "%s|", "a b", "$HOME", "'", "*", "") == (0, b"a b|$HOME|'|*||", b"")


def test_a_signal_ends_as_a_shell_tells_it(guest: HostRoot) -> None:
    assert run(guest, "sh", "-c", "kill -TERM $$")[0] == 128 + 15


def test_a_megabyte_arrives_whole(guest: HostRoot) -> None:
    code, out, err = run(guest, "head", "-c", "1048576", "/dev/zero")
    assert (code, len(out), out.count(0), err) == (0, 1 << 20, 1 << 20, b"")


def test_the_hosts_files_are_not_written(guest: HostRoot, tmp_path: Path) -> None:
    assert run(guest, "sh", "-c", f"echo guest > {tmp_path}/file && cat {tmp_path}/file") == (0, b"guest\n", b"")
    assert not (tmp_path / "file").exists()


def test_a_command_that_takes_too_long_is_not_the_kernels_fault(guest: HostRoot) -> None:
    with pytest.raises(LabTimeout, match="did not end"):
        run(guest, "sleep", "1000", timeout=2.0)
    assert run(guest, "true")[0] == 0


def test_a_sound_guest_has_no_splat(guest: HostRoot) -> None:
    guest.check()


def test_its_address_is_there_before_anything_can_rename_the_device(guest: HostRoot) -> None:
    code, out, _ = run(guest, "ip", "-oneline", "-4", "address", "show", "scope", "global")
    assert code == 0 and out.count(b"inet 10.0.2.15/24") == 1, out
    text = guest.log.read_text(errors="replace")
    assert "udhcpc" not in text
    assert text.index("IP-Config: Complete") < text.index("virtme-ng-init:")


def test_no_key_gets_into_the_users_home(guest: HostRoot) -> None:
    keys = REPO / ".work" / "run" / "hostroot" / ".cache" / "virtme-ng" / ".ssh"
    assert (keys / "id_virtme").stat().st_mode & 0o077 == 0


def test_a_kernel_that_dies_under_a_command_is_at_fault(built: Kernel) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    with pytest.raises(GuestFault, match="sysrq triggered crash") as caught:
        hostroot.ssh_exec(built, ["sh", "-c", "echo c > /proc/sysrq-trigger"], stdout=out, stderr=err)
    assert caught.value.exit_code == 3
    assert caught.value.log is not None and "sysrq: Trigger a crash" in caught.value.log.read_text()


def test_a_splat_counts_even_if_the_command_succeeded(built: Kernel) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    with pytest.raises(GuestFault, match="BUG: for a test"):
        hostroot.ssh_exec(built, ["sh", "-c", "echo BUG: for a test > /dev/kmsg; echo done"], stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == (b"done\n", b"")


def test_exec_passes_the_command_through_over_ssh(built: Kernel) -> None:
    argv = [sys.executable, "-m", "harness", "exec", "--ssh", "--", "sh", "-c", "uname -r; echo err >&2; exit 9"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=REPO, timeout=600)
    assert (done.returncode, done.stdout) == (9, f"{built.release}\n")
    assert done.stderr.endswith("err\n")


class Terminal:
    """A program on a pseudo-terminal, as a person would sit at one."""

    def __init__(self, *argv: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=REPO)
        os.close(theirs)
        self.seen = b""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text.encode() not in self.seen:
            assert time.monotonic() < end, self.seen[-2000:]
            self._read(1.0)

    def wait(self) -> int:
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.2)
        return self.process.wait(1)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def _read(self, seconds: float) -> None:
        if select.select([self._ours], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # nobody has the other end open any more
                self.seen += os.read(self._ours, 1 << 16)


@pytest.fixture
def terminal(built: Kernel) -> Iterator[Terminal]:
    started = Terminal(sys.executable, "-m", "harness", "boot", "--root", "host")
    yield started
    started.close()


def test_a_shell_that_runs_our_kernel_and_ends_well(terminal: Terminal, built: Kernel) -> None:
    terminal.wait_for("# ")
    terminal.type("echo kernel=$(uname -r).\n")
    terminal.wait_for(f"kernel={built.release}.")
    terminal.type("exit\n")
    assert terminal.wait() == 0


def test_a_splat_seen_during_a_shell_fails_it(terminal: Terminal) -> None:
    terminal.wait_for("# ")
    terminal.type("echo c > /proc/sysrq-trigger\n")
    assert terminal.wait() == 3
    assert b"sysrq triggered crash" in terminal.seen
