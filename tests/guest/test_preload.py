"""The preload tools on the kernel's backend: texts that are sealed, and agentmem-run, whose agents are the kernel's."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from harness import initramfs, ktap, userspace
from harness.frames import Kind
from harness.guest import Guest
from harness.kernel import Kernel

PROGRAMS = ("tests/test_texts", "agentmem-run")
SECONDS = 900.0
PATIENCE = 300.0  # seconds for what takes less than one on a processor
KERNEL = {"AGENTMEM_BACKEND": "kernel"}
# A line makes it work until there is the file; with the last line it ends.
WORKER = "echo $$; while read line; do until [ -e /tmp/rest ]; do :; done; done; exit 7"


@pytest.fixture(scope="module")
def guest(kernels: Callable[[str], Kernel]) -> Iterator[Guest]:
    kernel = kernels("lab")
    options = ["-Dlibagentmem:static-dependencies=true"]
    targets = ("test_texts", "agentmem-run")
    name = f"guest-preload-{kernel.flavour}"
    built = userspace.build(name, options, headers=kernel.headers, project=userspace.PRELOAD, targets=targets)
    with Guest.start(kernel, memory_mb=1024, cpus=2) as started:
        for name in PROGRAMS:
            program = built / name
            assert initramfs.is_static(program)
            started.push(program, f"/tmp/{program.name}")
        yield started


@pytest.mark.parametrize("backend", ["kernel", "fallback"])
def test_texts_are_sealed(guest: Guest, backend: str) -> None:
    done = guest.run(["/tmp/test_texts"], timeout=SECONDS, env={"AGENTMEM_BACKEND": backend})
    report = ktap.parse(done.stdout.decode())
    assert report.good and done.code == 0, done.stdout.decode()
    assert len(report.leaves()) >= 9


# -- agentmem-run --------------------------------------------------------------------


class Started:
    """A command of agentmem-run's, under way; the first that it writes is its pid."""

    def __init__(self, guest: Guest, *argv: str) -> None:
        self._guest = guest
        self._session = guest.open(["/tmp/agentmem-run", "--no-preload", *argv], env=KERNEL)
        self.pid = int(self._next(Kind.OUTPUT))

    def write(self, line: str) -> None:
        self._session.write(line.encode())

    def ends(self) -> int:
        """Its exit code, when its input has ended."""
        self._session.end_input()
        return int.from_bytes(self._next(Kind.EXIT)[4:], "little")

    def signal(self, name: str) -> None:
        """To it alone; a session's signals are for all that it has started."""
        assert self._guest.run(["kill", f"-{name}", str(self.pid)]).code == 0

    def becomes(self, told: str) -> None:
        end = time.monotonic() + PATIENCE
        while (seen := agent(self._guest, self.pid)) != told:
            assert time.monotonic() < end, f"{seen!r} is not {told!r}"

    def _next(self, kind: Kind) -> bytes:
        end = time.monotonic() + PATIENCE
        while (frame := self._guest.take(self._session)) is None:
            assert time.monotonic() < end, f"there is no {kind.name}"
        assert frame.kind is kind, frame
        return frame.payload


def agent(guest: Guest, pid: int) -> str:
    """State, importance and name, as the kernel itself tells them."""
    done = guest.run(["cat", f"/proc/{pid}/agent"])
    fields = dict(line.split(" ", 1) for line in done.stdout.decode().splitlines())
    return " ".join(fields.get(name, "?") for name in ("state", "importance", "name"))


def test_a_command_is_an_agent_of_the_kernels_and_its_state_is_followed(guest: Guest) -> None:
    options = ("--idle=0.4", "--importance=900", "the reviewer")
    started = Started(guest, *options, "--", "sh", "-c", WORKER)
    started.becomes("idle 900 the reviewer")
    started.write("work\n")
    started.becomes("active 900 the reviewer")
    for name, state in (("STOP", "paused"), ("CONT", "active")):
        started.signal(name)
        started.becomes(f"{state} 900 the reviewer")
    assert guest.run(["touch", "/tmp/rest"]).code == 0
    started.becomes("idle 900 the reviewer")
    for name, state in (("STOP", "paused"), ("CONT", "idle")):
        started.signal(name)
        started.becomes(f"{state} 900 the reviewer")
    assert started.ends() == 7


def test_how_a_command_of_an_agent_ends_passes_through(guest: Guest) -> None:
    command = ["/tmp/agentmem-run", "--no-preload", "reviewer", "--", "sh", "-c"]
    done = guest.run([*command, "echo out; echo err >&2; exit 9"], env=KERNEL)
    assert (done.code, done.stdout, done.stderr) == (9, b"out\n", b"err\n")
    assert guest.run([*command, "kill -TERM $$"], env=KERNEL).signal == signal.SIGTERM
