"""A booted guest: what goes through it unchanged, and what is noticed when its kernel is in trouble."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import guest as module
from harness import health, initramfs
from harness.errors import BootHang, GuestFault, LabError, LabTimeout, UsageError
from harness.frames import FRAME_MAX, VERSION, Kind, encode, word
from harness.guest import Guest
from harness.kernel import Kernel
from harness.qemu import Machine, Qemu, RunDirectory

MB = 1 << 20


@pytest.fixture(scope="module")
def kernel(kernels: Callable[[str], Kernel]) -> Kernel:
    return kernels("lab")


@pytest.fixture(scope="module")
def guest(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    script = tmp_path_factory.mktemp("files") / "script"
    script.write_text("#!/bin/sh\necho given $1\n")
    script.chmod(0o755)
    with Guest.start(kernel, files={"/opt/deep/script": script}) as started:
        yield started


@pytest.fixture
def fresh(kernel: Kernel) -> Iterator[Guest]:
    """For a test that ruins it."""
    with Guest.start(kernel, memory_mb=512) as started:
        yield started


def sh(guest: Guest, script: str, timeout: float = 60) -> str:
    done = guest.run(["sh", "-c", script], timeout=timeout)
    assert (done.code, done.stderr) == (0, b""), done
    return done.stdout.decode()


def alive(guest: Guest) -> None:
    assert sh(guest, "echo alive") == "alive\n"


# -- commands --


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 42, 126, 127, 128, 255])
def test_exit_codes_are_exact(guest: Guest, code: int) -> None:
    done = guest.run(["sh", "-c", f"exit {code}"])
    assert (done.code, done.signal) == (code, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGPIPE])
def test_a_signal_is_told_apart_from_the_code_of_the_same_number(guest: Guest, number: int) -> None:
    done = guest.run(["sh", "-c", f"kill -{number} $$"])
    assert (done.code, done.signal) == (128 + number, number)


def test_streams_are_apart_and_bytes_are_bytes(guest: Guest) -> None:
    done = guest.run(["sh", "-c", r"printf 'a\0\377\r\n'; printf 'b\n\033[31m' >&2; printf c"])
    assert (done.stdout, done.stderr) == (b"a\0\xff\r\nc", b"b\n\x1b[31m")


def test_what_cannot_be_run_has_the_codes_of_a_shell(guest: Guest) -> None:
    done = guest.run(["no-such-command"])
    assert (done.code, done.stdout) == (127, b"")
    assert b"no-such-command: No such file or directory" in done.stderr
    assert guest.run(["/etc/passwd"]).code == 126
    assert guest.run(["true"], cwd="/no/such/place").code == 126


def test_words_environment_and_directory(guest: Guest) -> None:
    words = ["a b", "", "$HOME", "ü", "*", "-n"]
    done = guest.run(
        ["sh", "-c", 'for word; do echo "[$word]"; done; pwd; echo "$ONE"', "sh", *words],
        cwd="/sys",
        env={"ONE": "1 2"},
    )
    assert done.stdout.decode().splitlines() == [*(f"[{word}]" for word in words), "/sys", "1 2"]


def test_no_input_is_an_end_of_input(guest: Guest) -> None:
    assert guest.run(["cat"], timeout=20).stdout == b""


def test_megabytes_both_ways_at_once(guest: Guest) -> None:
    content = random.Random(2).randbytes(8 * MB)
    assert guest.run(["cat"], stdin=content).stdout == content


def test_all_of_the_output_comes_before_the_end(guest: Guest) -> None:
    """More than a pipe and a window hold, and the command ends at once after it."""
    done = guest.run(["sh", "-c", "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2"])
    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 1_000_000)


def test_input_that_nobody_reads_delays_nothing(guest: Guest) -> None:
    assert guest.run(["true"], stdin=bytes(4 * MB), timeout=20).code == 0
    done = guest.run(["sh", "-c", "head -c 5; exec 0<&-; sleep 1; echo end"], stdin=b"x" * 4 * MB, timeout=30)
    assert done.stdout == b"xxxxxend\n"


def test_a_child_in_the_background_is_not_waited_for(guest: Guest) -> None:
    began = time.monotonic()
    assert guest.run(["sh", "-c", "sleep 60 & echo started"], timeout=30).stdout == b"started\n"
    assert time.monotonic() - began < 20
    sh(guest, "killall sleep")


def test_output_is_handed_on_as_it_comes(guest: Guest) -> None:
    heard: list[tuple[float, bytes]] = []
    guest.stream(
        ["sh", "-c", "echo one; sleep 2; echo two"], lambda part: heard.append((time.monotonic(), part)), print
    )
    assert [part for _, part in heard] == [b"one\n", b"two\n"]
    assert heard[1][0] - heard[0][0] > 1


def test_commands_run_at_the_same_time(guest: Guest) -> None:
    results: dict[int, bytes] = {}

    def one(number: int) -> None:
        results[number] = guest.run(["sh", "-c", f"sleep 2; echo {number}"]).stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: b"%d\n" % number for number in range(8)}
    assert time.monotonic() - began < 12, "one after the other takes 16 s"


def test_one_that_is_not_read_stalls_no_other(guest: Guest) -> None:
    stalled = guest.open(["yes"])
    time.sleep(1)
    alive(guest)
    stalled.signal(signal.SIGKILL)
    while (frame := guest.take(stalled, 5)) is None or frame.kind is not Kind.EXIT:
        pass


def test_too_many_commands_at_a_time_are_refused_one_by_one(guest: Guest) -> None:
    sessions = [guest.open(["sleep", "100"]) for _ in range(64)]
    refused = guest.run(["true"])
    assert (refused.code, b"too many commands" in refused.stderr) == (126, True)
    for session in sessions:
        session.signal(signal.SIGTERM)
    for session in sessions:
        while not session.ended:
            guest.take(session)
    alive(guest)


# -- time-outs --


def test_a_command_that_runs_too_long_is_killed_with_its_children(guest: Guest) -> None:
    began = time.monotonic()
    with pytest.raises(LabTimeout, match="within 1 s: sh -c sleep 1234") as caught:
        guest.run(["sh", "-c", "sleep 1234 & sleep 1234"], timeout=1)
    assert time.monotonic() - began < 10
    assert caught.value.exit_code == 4
    assert caught.value.log == guest.console
    assert "1234" not in sh(guest, "ps | grep -v grep")


def test_a_flood_is_cut_off(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTPUT", MB)
    with pytest.raises(LabError, match="yes printed more than"):
        guest.run(["yes"], timeout=60)
    alive(guest)
    assert sh(guest, "ps | grep -c '[y]es' || true") == "0\n"


def test_a_flood_ends_at_its_time_out(guest: Guest) -> None:
    with pytest.raises(LabTimeout):
        guest.stream(["yes"], lambda part: None, lambda part: None, timeout=1)
    alive(guest)


# -- a terminal --


def test_a_terminal_has_a_size_and_turns_ctrl_c_into_a_signal(guest: Guest) -> None:
    session = guest.open(["sh", "-c", "stty size; sleep 100"], terminal=(33, 101))
    heard = b""
    while b"\n" not in heard:
        frame = guest.take(session, 5)
        heard += frame.payload if frame else b""
    assert heard == b"33 101\r\n"
    session.resize(50, 132)
    session.write(b"\x03")
    while True:
        frame = guest.take(session, 5)
        if frame and frame.kind is Kind.EXIT:
            assert frame.payload[:1] == bytes([signal.SIGINT])
            return


# -- files --


def test_files_come_back_as_they_went(guest: Guest, tmp_path: Path) -> None:
    content = random.Random(3).randbytes(5 * MB + 1)
    (tmp_path / "in").write_bytes(content)
    (tmp_path / "in").chmod(0o751)
    guest.push(tmp_path / "in", "/tmp/new/place/file")
    assert sh(guest, "stat -c '%a %s' /tmp/new/place/file") == f"751 {len(content)}\n"
    guest.pull("/tmp/new/place/file", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


def test_files_given_at_the_start_are_there(guest: Guest) -> None:
    assert sh(guest, "/opt/deep/script it") == "given it\n"


def test_files_of_the_kernel_can_be_had(guest: Guest, tmp_path: Path) -> None:
    guest.pull("/proc/version", tmp_path / "version")
    assert (tmp_path / "version").read_text() == sh(guest, "cat /proc/version")


def test_copies_that_fail_leave_what_was_there(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    with pytest.raises(LabError, match="/no/such cannot be had from the guest: /no/such: No such file"):
        guest.pull("/no/such", tmp_path / "old")
    with pytest.raises(LabError, match="more than 1000 bytes"):
        guest.pull("/dev/zero", tmp_path / "old", limit=1000)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "old")]
    with pytest.raises(LabError, match="Is a directory"):
        guest.push(tmp_path / "old", "/tmp")
    with pytest.raises(UsageError, match="no path of a file"):
        guest.push(tmp_path / "old", "/tmp/../etc/x")
    with pytest.raises(UsageError, match="cannot be read"):
        guest.push(tmp_path / "none", "/tmp/x")


def test_a_full_guest_is_told(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(MB))
    sh(guest, "mkdir /tmp/small && mount -t tmpfs -o size=64k none /tmp/small")
    with pytest.raises(LabError, match="No space left on device"):
        guest.push(tmp_path / "big", "/tmp/small/big")
    sh(guest, "umount /tmp/small")


# -- the machine --


def test_the_usual_file_systems_are_mounted(guest: Guest) -> None:
    kinds = {line.split()[2] for line in sh(guest, "cat /proc/mounts").splitlines()}
    assert {"proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "cgroup2", "debugfs", "tracefs"} <= kinds


def test_the_console_is_kept_and_clean(guest: Guest) -> None:
    guest.check()
    assert "Linux version" in guest.console.read_text(errors="replace")


def test_two_nodes_with_latencies_and_tiers(kernel: Kernel) -> None:
    with Guest.start(kernel, topology="hmat", cpus=2) as guest:
        node = "/sys/devices/system/node/node"
        assert sh(guest, f"cat {node}0/distance {node}1/distance") == "10 30\n30 10\n"
        assert sh(guest, f"cat {node}0/cpulist {node}1/cpulist") == "0-1\n\n"
        assert sh(guest, f"cat {node}0/access0/initiators/read_latency") == "100\n"
        assert sh(guest, f"cat {node}1/access0/initiators/read_latency") == "300\n"
        tiers = sh(guest, "cd /sys/devices/virtual/memory_tiering; cat memory_tier*/nodelist")
        assert tiers.split() == ["0", "1"]


@pytest.mark.parametrize("cpus", [1, 4])
def test_as_many_processors_as_asked_for(kernel: Kernel, cpus: int) -> None:
    with Guest.start(kernel, cpus=cpus, memory_mb=512, append="harness.said=hello") as guest:
        assert sh(guest, "nproc") == f"{cpus}\n"
        assert "harness.said=hello" in sh(guest, "cat /proc/cmdline")


# -- a kernel in trouble --


def splat(guest: Guest) -> None:
    """What a report looks like, without one: user space may write to the kernel's log."""
    sh(guest, "echo 'WARNING: CPU: 0 PID: 1 at mm/agent_mem.c:12 agent_mem_alloc+0x1/0x2' > /dev/kmsg")


def test_a_splat_is_told_once_by_check(guest: Guest) -> None:
    splat(guest)
    with pytest.raises(GuestFault, match="agent_mem.c:12") as caught:
        guest.check()
    assert caught.value.log == guest.console
    guest.check()
    alive(guest)


def test_a_splat_that_nobody_asked_for_is_told_at_the_end(kernel: Kernel) -> None:
    with pytest.raises(GuestFault, match="agent_mem.c:12"), Guest.start(kernel, memory_mb=512) as guest:
        splat(guest)


def test_a_splat_explains_a_test_that_failed(kernel: Kernel) -> None:
    with pytest.raises(GuestFault) as caught, Guest.start(kernel, memory_mb=512) as guest:
        splat(guest)
        raise AssertionError("4 != 5")
    assert isinstance(caught.value.__cause__, AssertionError)


def test_a_panic_ends_the_wait_at_once_and_for_all(fresh: Guest) -> None:
    began = time.monotonic()
    waiting: list[Exception] = []

    def wait() -> None:
        try:
            fresh.run(["sleep", "300"], timeout=300)
        except GuestFault as fault:
            waiting.append(fault)

    other = threading.Thread(target=wait)
    other.start()
    with pytest.raises(GuestFault, match="sysrq triggered crash") as caught:
        fresh.run(["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 300"], timeout=300)
    other.join(20)
    assert time.monotonic() - began < 30
    assert caught.value.exit_code == 3
    assert len(waiting) == 1
    with pytest.raises(GuestFault, match="sysrq triggered crash"):
        fresh.run(["true"])
    assert "sysrq triggered crash" in fresh.console.read_text(errors="replace")


def test_a_guest_that_hangs_is_the_kernels_fault(fresh: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every processor of it stands still: it answers nothing, not even a SIGKILL, nor where it hangs."""
    monkeypatch.setattr(module, "GRACE", 2.0)
    assert fresh.qemu is not None
    fresh.qemu.monitor.patience = 1.0
    os.kill(fresh.qemu.pid, signal.SIGSTOP)
    try:
        with pytest.raises(GuestFault, match="the kernel hangs: SIGKILL did not end sleep 300") as caught:
            fresh.run(["sleep", "300"], timeout=1)
        assert "QEMU's monitor does not answer within 1 s" in caught.value.cause
    finally:
        os.kill(fresh.qemu.pid, signal.SIGCONT)


class Stuck(Qemu):
    """The first one of them stops as soon as it has started."""

    left = 1

    def __init__(self, machine: Machine, run: RunDirectory) -> None:
        super().__init__(machine, run)
        self.monitor.patience = 1.0
        if Stuck.left:
            Stuck.left -= 1
            os.kill(self.pid, signal.SIGSTOP)


@pytest.mark.parametrize(("topology", "boots"), [("uma", False), ("cxl", True)])
def test_a_boot_that_hangs_is_tried_again_where_cxl_is_emulated(
    kernels: Callable[[str], Kernel], monkeypatch: pytest.MonkeyPatch, topology: str, boots: bool
) -> None:
    monkeypatch.setattr(module, "Qemu", Stuck)
    monkeypatch.setattr(Stuck, "left", 1)
    monkeypatch.setattr(health, "SILENCE", 12.0)
    told = contextlib.nullcontext() if boots else pytest.raises(BootHang, match="has been silent for 12 s")
    with told, Guest.start(kernels("lab"), topology=topology) as started:
        assert started.run(["true"]).code == 0
    assert Stuck.left == 0


def test_a_command_that_ignores_signals_is_killed_all_the_same(guest: Guest) -> None:
    with pytest.raises(LabTimeout):
        guest.run(["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"], timeout=1)
    alive(guest)


def test_a_kernel_that_does_not_come_up(kernel: Kernel) -> None:
    with pytest.raises(GuestFault, match="panic") as caught:
        Guest.start(kernel, append="rdinit=/no/such/init", memory_mb=512)
    assert caught.value.log is not None
    assert "Kernel panic" in caught.value.log.read_text(errors="replace")


def test_a_boot_that_hangs_is_told_with_the_last_lines_and_where(kernel: Kernel) -> None:
    with pytest.raises(GuestFault, match="did not come up within") as caught:
        Guest.start(kernel, append="rdinit=/bin/sleep -- 1000", memory_mb=512, timeout=20)
    assert "/bin/sleep" in caught.value.cause
    assert "NMI: Not continuing" in caught.value.log.read_text(errors="replace") if caught.value.log else False
    assert re.search(r"RIP: 0010:\w*(?:halt|idle)", caught.value.cause), caught.value.cause


def test_a_guest_switched_off_from_inside_is_no_fault_of_the_kernel(fresh: Guest) -> None:
    with pytest.raises(LabError, match="switched off by a program") as caught:
        fresh.run(["sh", "-c", "poweroff -f; sleep 100"], timeout=60)
    assert caught.value.exit_code == 4


def test_a_killed_qemu_is_no_fault_of_the_kernel(fresh: Guest) -> None:
    assert fresh.qemu is not None
    threading.Timer(1, os.kill, (fresh.qemu.pid, signal.SIGKILL)).start()
    with pytest.raises(LabError, match="QEMU ended with signal SIGKILL"):
        fresh.run(["sleep", "300"], timeout=300)


def test_qemu_is_gone_afterwards(kernel: Kernel) -> None:
    with Guest.start(kernel, memory_mb=512) as guest:
        assert guest.qemu is not None
        pid = guest.qemu.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert guest.console.exists()


# -- a hostile guest: a program in it writes to the control port itself --

# A port has one opener, the first process; a program with its rights takes the descriptor from there.
INTRUDER = r"""
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	int init = syscall(SYS_pidfd_open, 1, 0);
	char path[64], target[64], frames[1 << 20];
	ssize_t length = 0, now;

	while ((now = read(0, frames + length, sizeof(frames) - length)) > 0)
		length += now;
	for (int fd = 0; fd < 20; fd++) {
		snprintf(path, sizeof(path), "/proc/1/fd/%d", fd);
		now = readlink(path, target, sizeof(target) - 1);
		if (now < 0 || strncmp(target, "/dev/vport", 10))
			continue;
		fd = syscall(SYS_pidfd_getfd, init, fd, 0);
		for (ssize_t done = 0; done < length;)
			if ((now = write(fd, frames + done, length - done)) > 0)
				done += now;
		pause();
	}
	return 1;
}
"""
HOSTILE = {
    "garbage": random.Random(4).randbytes(4096),
    "an endless frame": encode(Kind.OUTPUT, 1)[:8] + b"\xff\xff\xff\xff",
    "an exit of nobody": encode(Kind.EXIT, 4000, bytes(8)),
    "a flood": encode(Kind.OUTPUT, 1, bytes(FRAME_MAX)) * 20,
    "a second greeting": encode(Kind.HELLO, 0, word(VERSION)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_guest_that_breaks_the_protocol_is_at_fault(kernel: Kernel, tmp_path: Path, what: str) -> None:
    (tmp_path / "intruder.c").write_text(INTRUDER)
    program = initramfs.compile_static([tmp_path / "intruder.c"], headers=kernel.headers, name="intruder")
    with Guest.start(kernel, memory_mb=512, files={"/bin/intruder": program}) as guest:
        sleeping = guest.open(["sleep", "100"])
        with pytest.raises(GuestFault, match="broke the control channel's protocol"):
            guest.run(["intruder"], stdin=HOSTILE[what], timeout=30)
        with pytest.raises(GuestFault, match="broke the control channel's protocol"):
            guest.take(sleeping)
        assert guest.console.exists()


def test_a_second_boot_packs_nothing(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    image = initramfs.build(kernel.headers, {})
    monkeypatch.delattr(initramfs, "archive")
    assert initramfs.build(kernel.headers, {}) == image
