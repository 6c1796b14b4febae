"""Archives as cpio reads them, programs as gcc makes them."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
import zstandard

from harness import initramfs
from harness.errors import ToolError, UsageError
from harness.initramfs import Entry, compile_static
from tests.unit.laboratory import Laboratory

USR = Path("/usr")  # its include/ stands for a kernel's headers


def unpack(archive: bytes, where: Path) -> None:
    where.mkdir()
    subprocess.run(["cpio", "-idm", "--quiet"], input=archive, cwd=where, check=True)


def listed(archive: bytes) -> dict[str, str]:
    """Name -> line of `cpio -itv`."""
    said = subprocess.run(["cpio", "-itv", "--quiet"], input=archive, capture_output=True, check=True).stdout.decode()
    return {line.split(" 1970 ")[1].split(" -> ")[0]: line for line in said.splitlines()}


def test_cpio_unpacks_what_was_packed(tmp_path: Path) -> None:
    entries = [
        Entry("a/b", stat.S_IFREG | 0o640, b"content"),
        Entry("a/odd", stat.S_IFREG | 0o755, b"x" * 4097),
        Entry("a/ä name", stat.S_IFREG | 0o600, b""),
        Entry("link", stat.S_IFLNK | 0o777, b"a/b"),
    ]
    unpack(initramfs.archive(initramfs.with_parents(entries)), tmp_path / "out")
    root = tmp_path / "out"
    assert (root / "a" / "b").read_bytes() == b"content"
    assert stat.S_IMODE((root / "a" / "b").stat().st_mode) == 0o640
    assert (root / "a" / "odd").stat().st_size == 4097
    assert (root / "a" / "ä name").stat().st_size == 0
    assert (root / "link").readlink() == Path("a/b")


def test_directories_come_before_what_is_in_them_and_once() -> None:
    paths = [e.path for e in initramfs.with_parents([Entry("a/b/c", stat.S_IFREG), Entry("a/b/d", stat.S_IFREG)])]
    assert paths == ["a", "a/b", "a/b/c", "a/b/d"]


def test_the_base_has_a_shell_a_console_and_no_foreign_init(laboratory: Laboratory) -> None:
    image = initramfs.build(USR, {})
    table = listed(zstandard.ZstdDecompressor().decompressobj().decompress(image.read_bytes()))
    assert table["bin/sh"].endswith("-> /bin/busybox")
    assert table["dev/console"].startswith("crw")
    assert table["init"].startswith("-rwxr-xr-x")
    assert len(table) > 250
    assert len(set(table)) == len(table)


def test_given_files_are_a_second_archive_and_kept_by_content(laboratory: Laboratory, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"#!/bin/sh\n")
    program.chmod(0o755)
    base = initramfs.build(USR, {})
    image = initramfs.build(USR, {"/opt/tool": program})
    second = image.read_bytes().removeprefix(base.read_bytes())
    table = listed(zstandard.ZstdDecompressor().decompress(second, max_output_size=1 << 20))
    assert set(table) == {"opt", "opt/tool"}
    assert table["opt/tool"].startswith("-rwxr-xr-x")
    again = image.stat().st_mtime_ns
    assert initramfs.build(USR, {"opt/tool": program}).stat().st_mtime_ns == again
    program.write_bytes(b"#!/bin/false\n")
    assert initramfs.build(USR, {"/opt/tool": program}) != image
    program.chmod(0o644)
    changed = initramfs.build(USR, {"/opt/tool": program})
    program.chmod(0o600)
    assert initramfs.build(USR, {"/opt/tool": program}) != changed


@pytest.mark.parametrize("path", ["", "/", "..", "a/../../b", "/a/", "a\0b", "../etc/passwd"])
def test_paths_that_are_no_file_in_the_guest(path: str) -> None:
    with pytest.raises(UsageError, match="no path of a file"):
        initramfs.guest_path(path)


@pytest.mark.parametrize(("path", "whole"), [("/a/b", "a/b"), ("a//b", "a/b"), ("//a/./b", "a/b"), ("...", "...")])
def test_paths_in_the_guest_start_at_its_root(path: str, whole: str) -> None:
    assert initramfs.guest_path(path) == whole


def test_a_given_file_that_is_missing_is_named(laboratory: Laboratory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere cannot be read"):
        initramfs.build(USR, {"/x": tmp_path / "nowhere"})


def test_a_dynamic_busybox_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "busybox").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="not a static program") as caught:
        initramfs.busybox()
    assert "doctor --fix" in str(caught.value.hint)


# -- programs --


def program(directory: Path, text: str, header: str = "#define CODE 7\n") -> list[Path]:
    (directory / "code.h").write_text(header)
    (directory / "main.c").write_text(text)
    return [directory / "main.c"]


def test_a_program_is_static_and_kept_until_anything_it_includes_changes(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    sources = program(tmp_path, '#include "code.h"\nint main(void) { return CODE; }\n')
    first = compile_static(sources, headers=USR, name="seven")
    assert subprocess.run([first]).returncode == 7
    assert initramfs.is_static(first)
    made = first.stat().st_mtime_ns
    assert compile_static(sources, headers=USR, name="seven").stat().st_mtime_ns == made
    (tmp_path / "code.h").write_text("#define CODE 8\n")
    second = compile_static(sources, headers=USR, name="seven")
    assert second != first
    assert subprocess.run([second]).returncode == 8
    assert compile_static(sources, headers=USR, name="seven", flags=["-DX"]) != second


def test_the_kernels_headers_are_taken_first(laboratory: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "include" / "linux").mkdir(parents=True)
    (tmp_path / "include" / "linux" / "brand_new.h").write_text("#define BRAND_NEW 9\n")
    sources = program(tmp_path, "#include <linux/brand_new.h>\nint main(void) { return BRAND_NEW; }\n")
    assert subprocess.run([compile_static(sources, headers=tmp_path, name="new")]).returncode == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int main(void) { return x; }\n", "'x' undeclared"),
        ("#include <no/such.h>\nint main(void) { return 0; }\n", "no/such.h"),
        ("int main(void) { int unused; return 0; }\n", "unused"),
        ("int missing(void);\nint main(void) { return missing(); }\n", "undefined reference"),
    ],
)
def test_what_does_not_compile_is_told_with_the_compilers_words(
    laboratory: Laboratory, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ToolError, match="broken does not compile") as caught:
        compile_static(program(tmp_path, text), headers=USR, name="broken")
    assert said in caught.value.cause
    assert caught.value.log is not None and said in caught.value.log.read_text()
    assert not list((laboratory.cache / "programs").rglob("broken"))
