"""QEMU as a process and a directory. What is in the guest is tested with guests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import accel, qemu
from harness.accel import Accel
from harness.cache import REPO, work_dir
from harness.errors import UsageError
from harness.qemu import Machine, Qemu, RunDirectory
from harness.topology import named
from tests.unit.laboratory import Laboratory

TCG = Accel("tcg", "a test")


def machine(kernel: Path = Path("/no/kernel"), *, memory_mb: int = 256, cpus: int = 2, append: str = "") -> Machine:
    return Machine(kernel, Path("/no/initramfs"), named("uma"), memory_mb, cpus, TCG, append)


def idle_kernel(directory: Path) -> Path:
    """The smallest bzImage: it jumps to itself."""
    image = bytearray(4096)
    image[0x1F1] = 1  # setup sectors
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x200:0x202] = b"\xeb\xfe"  # jmp to itself, in real mode
    image[0x202:0x206] = b"HdrS"
    image[0x206:0x208] = b"\x02\x02"  # of the protocol, the oldest that QEMU loads high
    image[0x211] = 1  # loaded high
    path = directory / "idle"
    path.write_bytes(image)
    return path


def idle(directory: Path) -> Machine:
    (directory / "initrd").write_bytes(bytes(4))
    return Machine(idle_kernel(directory), directory / "initrd", named("uma"), 128, 1, TCG)


def test_the_command_line_is_what_was_asked_for() -> None:
    argv = qemu.arguments(machine(append="quiet"), Path("/r/console.log"), 7, 8)
    text = " ".join(argv)
    assert argv[0] == accel.QEMU
    assert f"-cpu {accel.CPU} " in text and f"-machine {accel.MACHINE} " in text  # as the probe had them
    assert "-no-reboot" in argv and "-nodefaults" in argv
    assert argv[argv.index("-append") + 1].endswith(" quiet")
    assert "socket,id=control,fd=7" in text


def test_a_machine_with_cxl_has_its_own_devices_first_and_its_memory_on_line() -> None:
    """What comes later would go to a bus behind CXL."""
    with_cxl = Machine(Path("/k"), Path("/i"), named("cxl"), 1024, 2, TCG, "quiet", program=("/new/qemu", "-L", "/new"))
    argv = qemu.arguments(with_cxl, Path("/c"), 7, 8)
    assert argv[:3] == ["/new/qemu", "-L", "/new"]
    assert argv[argv.index("-append") + 1].endswith(" memhp_default_state=online_movable quiet")
    devices = [argv[at + 1] for at, word in enumerate(argv) if word == "-device"]
    assert [device.split(",")[0] for device in devices][-3:] == ["pxb-cxl", "cxl-rp", "cxl-type3"]


def test_no_processor_of_the_host_runs_code_behind_cxl() -> None:
    kvm = Accel("kvm", "a test")
    Machine(Path("/k"), Path("/i"), named("hmat"), 1024, 2, kvm)
    with pytest.raises(UsageError, match=r"topology cxl in emulation \(tcg\) only: memory behind CXL"):
        Machine(Path("/k"), Path("/i"), named("cxl"), 1024, 2, kvm)


def test_a_machine_that_counts_instructions() -> None:
    counted = Machine(Path("/k"), Path("/i"), named("uma"), 256, 1, TCG, counted=True)
    assert "-accel tcg -icount shift=0 " in " ".join(qemu.arguments(counted, Path("/c"), 7, 8))
    assert "-icount" not in qemu.arguments(machine(), Path("/c"), 7, 8)
    for cpus, on in ((2, TCG), (1, Accel("kvm", "a test"))):
        with pytest.raises(UsageError, match="counted"):
            Machine(Path("/k"), Path("/i"), named("uma"), 256, cpus, on, counted=True)


def test_disks_are_read_only_and_in_order() -> None:
    made = Machine(Path("/k"), Path("/i"), named("uma"), 256, 1, TCG, disks=(Path("/one"), Path("/t,wo")))
    words = qemu.arguments(made, Path("/c"), 3, 4)
    drives = [after for word, after in zip(words, words[1:], strict=False) if word == "-drive"]
    assert [drive.split(",if=")[0] for drive in drives] == ["file=/one", "file=/t,,wo"]
    assert all(drive.endswith("format=raw,readonly=on") for drive in drives)
    assert words.index("virtio-blk-pci,drive=disk0") < words.index("virtio-blk-pci,drive=disk1")


def test_commas_in_a_path_are_no_options() -> None:
    argv = qemu.arguments(machine(), Path("/a,server=on/console.log"), 7, 8)
    assert "file,id=console,path=/a,,server=on/console.log" in argv


@pytest.mark.parametrize(("memory_mb", "cpus"), [(127, 1), (-1, 1), (256, 0), (256, 17)])
def test_machines_that_cannot_be(memory_mb: int, cpus: int) -> None:
    with pytest.raises(UsageError):
        machine(memory_mb=memory_mb, cpus=cpus)


def test_a_qemu_that_does_not_start_is_told_with_its_words(laboratory: Laboratory) -> None:
    started = Qemu(machine(), RunDirectory())
    try:
        assert started.ended(10) == 1
        failure = started.failure()
        assert failure is not None and "/no/kernel" in failure.cause
        assert failure.log == started.run.log
    finally:
        started.stop()


def test_a_killed_qemu_is_the_laboratorys_trouble(laboratory: Laboratory, tmp_path: Path) -> None:
    started = Qemu(idle(tmp_path), RunDirectory())
    try:
        assert started.ended(0.3) is None
        assert started.failure() is None
        os.kill(started.pid, signal.SIGKILL)
        started.ended(10)
        failure = started.failure()
        assert failure is not None and "SIGKILL" in failure.cause and failure.exit_code == 4
    finally:
        started.stop()


def test_stopping_leaves_the_log_and_no_process(laboratory: Laboratory, tmp_path: Path) -> None:
    started = Qemu(idle(tmp_path), RunDirectory())
    started.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(started.pid, 0)
    assert started.run.console.exists()
    assert "-append" in started.run.log.read_text()


def test_qemu_goes_with_a_laboratory_that_is_killed(laboratory: Laboratory, tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from harness import cache
from tests.unit.test_qemu import Qemu, RunDirectory, idle
cache.REPO = Path({str(laboratory.repo)!r})
print(Qemu(idle(Path({str(tmp_path)!r})), RunDirectory()).pid, flush=True)
time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=REPO)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    owner.kill()
    owner.wait()
    end = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_directory_is_live_while_its_owner_holds_it(laboratory: Laboratory) -> None:
    run = RunDirectory()
    assert qemu.live(run.path)
    run.close()
    assert not qemu.live(run.path)
    shutil.rmtree(run.path)
    assert not qemu.live(run.path)


def test_old_directories_go_and_live_ones_stay(laboratory: Laboratory) -> None:
    first = RunDirectory()
    for _ in range(qemu.KEPT + 5):
        RunDirectory().close()
    RunDirectory().close()
    assert first.path.exists()
    assert len(list(work_dir("run").iterdir())) == qemu.KEPT + 2
    first.close()
