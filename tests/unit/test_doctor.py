"""The doctor, and the script that finds and installs packages: real tools, made-up wants."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness import apt, cli, doctor, proc
from harness.cache import REPO
from harness.errors import LabError, ToolError
from tests.unit.laboratory import Laboratory

SCRIPT = REPO / "ci" / "packages.sh"


def script(wanted: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PACKAGES": str(wanted)}
    if path is not None:
        env["PATH"] = path
    return subprocess.run(["/bin/sh", str(SCRIPT), *arguments], env=env, capture_output=True, text=True)


def test_each_way_to_see_a_package(tmp_path: Path) -> None:
    wanted = tmp_path / "packages.txt"
    wanted.write_text(
        "# a comment\n\n"
        "have1 cmd:sh is there\nhave2 file:/etc/os-rel* is there\nhave3 inc:stdio.h is there\n"
        "have4 lib:libc.a is there\nhave5 py:json is there\nhave6 static:busybox is there\n"
        "lack1 cmd:no-such-command does this\nlack2 file:/no/such/* does that\nlack3 inc:no/such.h is a header\n"
        "lack4 lib:libnosuch.a is a library\nlack5 py:no_such_module is a module\nlack6 static:sh is dynamic here\n"
    )
    done = script(wanted, "missing")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [f"lack{number}" for number in range(1, 7)]
    assert done.stdout.splitlines()[0] == "lack1 cmd:no-such-command does this"


def test_the_real_list_is_complete_and_reasoned() -> None:
    for line in (REPO / "ci" / "packages.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, probe, reason = line.split(maxsplit=2)
            assert name.islower() and ":" in probe and len(reason) > 10, line


def only(tmp_path: Path, *programs: str) -> str:
    """A PATH with these programs alone."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for program in programs:
        found = next(Path(place) / program for place in ("/usr/bin", "/bin") if (Path(place) / program).exists())
        (directory / program).symlink_to(found)
    return str(directory)


def test_no_debian_says_what_is_missing_and_why(tmp_path: Path) -> None:
    wanted = tmp_path / "packages.txt"
    wanted.write_text("lack cmd:no-such-command draws the charts\n")
    text = SCRIPT.read_text().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", ":")
    moved = tmp_path / "packages.sh"
    moved.write_text(text)
    path = only(tmp_path, "cut", "id", "dirname")
    env = {"PACKAGES": str(wanted), "PATH": path}
    done = subprocess.run(["/bin/sh", str(moved), "install"], env=env, capture_output=True, text=True)
    assert done.returncode == 4
    assert "draws the charts" in done.stderr
    assert "no Debian system" in done.stderr


def test_an_unknown_package_fails_with_its_name(tmp_path: Path) -> None:
    wanted = tmp_path / "packages.txt"
    wanted.write_text("no-such-package-at-all cmd:no-such-command does nothing\n")
    fake = tmp_path / "bin"
    fake.mkdir()
    answer = '#!/bin/sh\ncase "$*" in *update*) exit 0;; esac\necho "E: Unable to locate" >&2\nexit 100\n'
    (fake / "apt-get").write_text(answer)
    (fake / "apt-get").chmod(0o755)
    done = script(wanted, "install", path=f"{fake}:{os.environ['PATH']}")
    assert done.returncode == 4
    assert "could not install: no-such-package-at-all" in done.stderr


def test_nothing_missing_installs_nothing(tmp_path: Path) -> None:
    wanted = tmp_path / "packages.txt"
    wanted.write_text("have cmd:sh is there\n")
    done = script(wanted, "install")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_wrong_use_is_usage() -> None:
    assert subprocess.run(["sh", str(SCRIPT)], capture_output=True).returncode == 2


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright", "12.2.0"),
        ("GNU Make 4.3\nBuilt for", "4.3"),
        ("git version 2.39.5", "2.39.5"),
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "7.2.22"),
        ("ccache version 4.11.2\nFeatures:", "4.11.2"),
        ("no number here", None),
        ("", None),
    ],
)
def test_versions_in_the_tools_own_words(said: str, version: str | None) -> None:
    assert doctor.version_in(said) == version


def test_versions_are_compared_as_numbers() -> None:
    assert doctor.numbers("10.0.2") > doctor.numbers("7.2")
    assert doctor.numbers("4.10") > doctor.numbers("4.9")


def findings(name: str, found: list[doctor.Finding]) -> list[doctor.Finding]:
    return [finding for finding in found if finding.name.startswith(name)]


def test_too_little_disk_and_memory_name_a_cure(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISK_CACHE", 1 << 60)
    monkeypatch.setattr(doctor, "DISK_WORK", 1)
    monkeypatch.setattr(doctor, "MEMORY", 1 << 60)
    cache, work = doctor.disk()
    assert (cache.state, work.state) == ("bad", "good")
    assert "harness clean" in cache.cure
    (memory,) = doctor.memory()
    assert memory.state == "bad" and memory.cure


def test_an_old_tool_is_named_with_the_version_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "VERSIONS", {"git": ("99.1", "a test says so"), "no-such-tool": ("1", "")})
    old, missing = doctor.versions()
    assert old.state == "bad" and "at least 99.1" in old.text
    assert missing.state == "bad" and missing.cure == doctor.CURE


def test_a_missing_mirror_matters_only_before_the_base_is_there(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "machine_archive", lambda: apt.Archive("http://127.0.0.1:9/debian", ""))
    (gone,) = doctor.mirror()
    assert gone.state == "bad" and "127.0.0.1:9" in gone.text and "--source" in gone.cure
    (laboratory.cache / "source" / "linux-7.3.4").mkdir(parents=True)
    assert next(iter(doctor.mirror())).state == "note"


def test_a_check_that_fails_is_a_finding(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> proc.Completed:
        raise ToolError("gcc is not installed", hint="./lab doctor --fix")

    monkeypatch.setattr(proc, "run", fails)
    found = doctor.examine(lambda _: None)
    assert findings("static C library", found)[0].cure == "./lab doctor --fix"


def test_what_this_machine_is_told(laboratory: Laboratory, capfd: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["doctor", "--json"])
    told = json.loads(capfd.readouterr().out)
    assert told["good"] == (code == 0)
    assert {"gcc", "make", "memory", "static C library"} <= {finding["name"] for finding in told["findings"]}


def test_fix_passes_the_scripts_failure_on(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing = tmp_path / "packages.sh"
    failing.write_text("echo 'error: apt-get update failed' >&2; exit 4\n")
    monkeypatch.setattr(doctor, "PACKAGES", failing)
    with pytest.raises(LabError, match="apt-get update failed") as caught:
        doctor.fix()
    assert caught.value.log is not None
