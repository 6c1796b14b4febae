"""`harness boot` and `harness exec` as commands: what passes through, and the exit codes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cache import REPO
from harness.kernel import Kernel

HARNESS = (sys.executable, "-m", "harness")
SHELL_SECONDS = 15  # three times the 5 s that it should take: other tests run at the same time
PROMPT = b"guest:~# "
SLEEP = b"sh -c 'echo up; exec sleep 1000'\n"
SPLAT = "WARNING: CPU: 0 PID: 1 at mm/agent_mem.c:12 agent_mem_alloc+0x1/0x2"


@pytest.fixture(scope="module", autouse=True)
def _built(kernels: Callable[[str], Kernel]) -> None:
    """Not while a command's time is running."""
    kernels("lab")


def harness(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*HARNESS, *arguments], input=stdin, capture_output=True, timeout=300, cwd=REPO)


def test_exec_passes_everything_through() -> None:
    done = harness("exec", "--", "sh", "-c", r"printf 'out\0\377'; printf err >&2; exit 42")
    assert (done.returncode, done.stdout, done.stderr) == (42, b"out\0\xff", b"err")


def test_exec_passes_stdin_and_files(tmp_path: Path) -> None:
    content = random.Random(5).randbytes(3_000_000)
    (tmp_path / "in").write_bytes(content)
    copies = ("--push", f"{tmp_path}/in:/tmp/a/in", "--pull", f"/tmp/out:{tmp_path}/out", "--topology", "hmat")
    done = harness("exec", *copies, "--", "sh", "-c", "cat > /tmp/out; cmp /tmp/a/in /tmp/out", stdin=content)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out").read_bytes() == content


def test_a_failed_command_is_told_before_the_file_that_it_did_not_write(tmp_path: Path) -> None:
    done = harness("exec", "--pull", f"/tmp/none:{tmp_path}/none", "--", "sh", "-c", "exit 9")
    assert done.returncode == 9
    done = harness("exec", "--pull", f"/tmp/none:{tmp_path}/none", "--", "true")
    assert done.returncode == 4
    assert b"/tmp/none cannot be had from the guest" in done.stderr


def test_a_splat_is_the_kernels_fault_even_if_the_command_succeeded() -> None:
    done = harness("exec", "--", "sh", "-c", f"echo '{SPLAT}' > /dev/kmsg")
    assert done.returncode == 3
    assert b"agent_mem.c:12" in done.stderr and b"log:" in done.stderr and b"next: less " in done.stderr


def test_a_panic_is_the_kernels_fault() -> None:
    done = harness("exec", "--", "sh", "-c", "echo c > /proc/sysrq-trigger; sleep 100")
    assert done.returncode == 3
    assert b"sysrq triggered crash" in done.stderr


def test_a_time_out_is_the_laboratorys() -> None:
    done = harness("exec", "--timeout", "1", "--", "sleep", "100")
    assert done.returncode == 4
    assert b"did not end within 1 s: sleep 100" in done.stderr


def test_boot_without_a_terminal_reads_commands_from_stdin() -> None:
    done = harness("boot", stdin=b"echo $((6 * 7))\nuname -s\n")
    assert (done.returncode, done.stdout) == (0, b"42\nLinux\n")
    took = re.search(rb"up in ([\d.]+) s", done.stderr)
    assert took and float(took[1]) < SHELL_SECONDS


class Person:
    """At a terminal."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.chdir(REPO)
            os.execv(sys.executable, [*HARNESS, *arguments])
        self._heard = b""
        self.resize(33, 101)

    def hears(self, wanted: bytes, patience: float = 120) -> bytes:
        """All up to and with what is waited for."""
        end = time.monotonic() + patience
        while wanted not in self._heard:
            assert select.select([self._terminal], [], [], max(0, end - time.monotonic()))[0], self._heard
            self._heard += re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", os.read(self._terminal, 65536))
        heard, _, self._heard = self._heard.partition(wanted)
        return heard + wanted

    def types(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def leaves(self) -> int:
        """The exit code of the command, which must end now."""
        end = time.monotonic() + 60
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while time.monotonic() < end and select.select([self._terminal], [], [], 60)[0]:
                self._heard += os.read(self._terminal, 65536)
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        raise AssertionError(f"it did not end: {self._heard!r}")

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)


@pytest.fixture
def person() -> Iterator[Person]:
    made = Person("boot")
    made.hears(PROMPT)
    yield made
    made.close()


def test_a_shell_on_a_terminal_with_job_control(person: Person) -> None:
    person.types(b"stty size\n")
    assert b"33 101" in person.hears(PROMPT)
    person.types(SLEEP)
    person.hears(b"\nup")  # the shell has let go of the terminal
    person.types(b"\x03")
    assert b"^C" in person.hears(PROMPT, 10)
    person.types(SLEEP)
    person.hears(b"\nup")
    person.types(b"\x1a")
    assert b"Stopped" in person.hears(PROMPT, 10)
    person.resize(50, 132)
    time.sleep(0.5)
    person.types(b"kill -9 %1; wait %1; stty size\n")  # of a job that is there still the shell would warn
    person.hears(b"50 132")  # the shell may draw its prompt once more for the new size
    person.hears(PROMPT)
    person.types(b"exit 5\n")
    assert person.leaves() == 0


def test_exec_uses_the_guest_of_a_running_boot(person: Person) -> None:
    person.types(b"echo from the shell > /tmp/note\n")
    person.hears(PROMPT)
    done = harness("exec", "--", "sh", "-c", "cat /tmp/note; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"from the shell\n", b"")
    other = harness("exec", "--topology", "hmat", "--", "ls", "/tmp/note")
    assert other.returncode == 1
    flooding = subprocess.Popen([*HARNESS, "exec", "--", "yes"], stdout=subprocess.PIPE, cwd=REPO)
    assert flooding.stdout is not None
    assert flooding.stdout.read(4) == b"y\ny\n"
    flooding.kill()
    flooding.wait()
    time.sleep(1)
    person.types(b"ps | grep -c '[y]es'\n")
    assert b"\n0\r\n" in person.hears(PROMPT)
    splat = harness("exec", "--", "sh", "-c", f"echo '{SPLAT}' > /dev/kmsg")
    assert splat.returncode == 3
    assert harness("exec", "--", "true").returncode == 0, "what came before a command is not its fault"
    person.types(b"exit\n")
    assert person.leaves() == 3, "the owner of the guest is told, too"


def test_a_guest_can_be_left_while_something_runs_in_it(person: Person) -> None:
    person.types(b"sleep 1000\n")
    time.sleep(0.5)
    person.types(b"\x1d")
    assert person.leaves() == 0
