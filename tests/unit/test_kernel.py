"""Builds, found or made: on a tree of five files with real make and gcc."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from harness import git, kbuild, kernel
from harness.errors import BuildError, ConfigError, LabError, UsageError
from tests.unit.laboratory import Laboratory

FLAVOUR = kbuild.Flavour("lab", "a test's", "x86", ())


def build(laboratory: Laboratory) -> kernel.Kernel:
    return kernel.build_tree(laboratory.base, FLAVOUR)


def test_a_build_is_kept_whole_and_found_again(laboratory: Laboratory) -> None:
    made = build(laboratory)
    assert not made.cached
    assert made.release == "7.3.4-agent-mem-lab"
    assert made.image.read_bytes() == made.vmlinux.read_bytes()
    assert (made.headers / "include" / "linux" / "agent.h").read_text() == "#define AGENT 1\n"
    assert made.config.exists()
    found = build(laboratory)
    assert found.cached
    assert found == made


def test_an_edit_makes_another_kernel_and_taking_it_back_finds_the_first(laboratory: Laboratory) -> None:
    first = build(laboratory)
    (laboratory.base / "mm" / "one.c").write_text("int one = 7;\n")
    second = build(laboratory)
    assert second.key != first.key
    (laboratory.base / "mm" / "one.c").write_text("int one = 1;\n")
    assert build(laboratory).key == first.key


def test_equal_content_is_one_kernel_in_any_place(laboratory: Laboratory) -> None:
    first = build(laboratory)
    elsewhere = laboratory.repo / "elsewhere" / "linux"
    git.git(laboratory.base, "clone", "--quiet", str(laboratory.base), str(elsewhere))
    assert kernel.build_tree(elsewhere, FLAVOUR) == dataclasses.replace(first, tree=elsewhere)


def test_options_and_flavour_are_in_the_key(laboratory: Laboratory) -> None:
    log = laboratory.repo / "log"
    plain = kbuild.plan(laboratory.base, FLAVOUR, log)
    other = kbuild.plan(laboratory.base, dataclasses.replace(FLAVOUR, name="debug"), log)
    base = kbuild.plan(laboratory.base, dataclasses.replace(FLAVOUR, fragments=("base",)), log)
    assert len({plain.key, other.key, base.key}) == 3


def test_a_compile_error_is_quoted_and_nothing_is_kept(laboratory: Laboratory) -> None:
    (laboratory.base / "mm" / "one.c").write_text("int one = ;\n")
    with pytest.raises(BuildError, match=r"mm/one\.c:1:11: error: expected expression") as caught:
        build(laboratory)
    assert caught.value.exit_code == 3
    assert caught.value.log is not None
    assert "expected expression" in caught.value.log.read_text()
    assert not list((laboratory.cache / "kernels").glob("*"))


def test_tree_that_changes_under_the_compiler_is_not_kept(laboratory: Laboratory) -> None:
    makefile = laboratory.base / "Makefile"
    edits = "gcc -c -o $(O)/vmlinux mm/one.c; echo 'int two = 3;' > mm/two.c"
    makefile.write_text(makefile.read_text().replace("gcc -c -o $(O)/vmlinux mm/one.c", edits))
    with pytest.raises(LabError, match="was changed while it was compiled"):
        build(laboratory)
    assert not list((laboratory.cache / "kernels").glob("*"))
    assert build(laboratory).cached is False, "the second time it stays as it is"


def test_a_full_disk_is_not_the_kernels_fault(laboratory: Laboratory) -> None:
    makefile = laboratory.base / "Makefile"
    full = "gcc -c -o /dev/full mm/one.c; cat mm/one.c > /dev/full"
    makefile.write_text(makefile.read_text().replace("gcc -c -o $(O)/vmlinux mm/one.c", full))
    with pytest.raises(LabError, match="No space left on device") as caught:
        build(laboratory)
    assert caught.value.exit_code == 4


def test_too_little_room_is_said_before_the_build(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "NEEDED_FREE", 1 << 60)
    with pytest.raises(LabError, match="MB are free") as caught:
        build(laboratory)
    assert "harness clean" in str(caught.value.hint)


def test_a_failing_configuration_has_its_log(laboratory: Laboratory) -> None:
    makefile = laboratory.base / "Makefile"
    makefile.write_text(makefile.read_text().replace("allnoconfig:\n", "allnoconfig:\n\t@echo Kconfig:1: bad; false\n"))
    with pytest.raises(ConfigError) as caught:
        build(laboratory)
    assert caught.value.log is not None
    assert "Kconfig:1: bad" in caught.value.log.read_text()


def test_a_damaged_record_is_built_again(laboratory: Laboratory) -> None:
    made = build(laboratory)
    (made.vmlinux.parent / "kernel.json").write_text("{")
    assert not build(laboratory).cached


def test_prune_keeps_the_newest_and_those_asked_for(laboratory: Laboratory) -> None:
    store = laboratory.cache / "kernels"
    for number in range(5):
        place = store / f"key{number}"
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(json.dumps({}))
        (place / "vmlinux").write_bytes(b"x" * 8192)
        os.utime(place, (number, number))
    assert kernel.prune(2) >= 3 * 8192
    assert sorted(path.name for path in store.iterdir()) == ["key3", "key4"]


def test_an_unknown_flavour_names_the_known(laboratory: Laboratory) -> None:
    with pytest.raises(UsageError, match="lab, debug"):
        kernel.build("fast")


def test_the_users_make_settings_do_not_leak_in(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "--dry-run")
    monkeypatch.setenv("KBUILD_OUTPUT", "/nonexistent")
    assert build(laboratory).image.exists()


def test_what_build_prints_for_other_tools(laboratory: Laboratory) -> None:
    told = kernel.describe(build(laboratory), 1.234)
    promised = ("image", "vmlinux", "config", "tree", "headers", "key", "flavour", "release", "seconds", "cached")
    assert set(promised) <= set(told)
    assert json.loads(json.dumps(told))["seconds"] == 1.2
