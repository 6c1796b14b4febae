"""The Python binding on the fallback: its suite on each version of CPython, its wheel, its types."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from harness import binding, interpreters, sanitizers
from harness.errors import LabError, ToolError

# Those available here: on the machine, else from Debian's next release. An older release's interpreter brings an older
# C library than a wheel that is built here needs.
VERSIONS = [version for version in ("3.11", "3.12", "3.13", "3.14") if interpreters.obtainable(version)]
LEAST = 100  # tests of the suite: fewer, and some were not found
SUITE = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
MEASURES = ("--deselect", "tests/test_lifetime.py::test_nothing_is_left_behind")  # ASan keeps what is freed for long
NEEDED = {"libc.so.6"}
CONSUMER = """
import agentmem

with agentmem.put("text", agentmem.Type.TOOL_DEF, base=None) as smu:
    reveal_type(smu)
    reveal_type(smu.append(memoryview(smu)).stats().holders)
    agentmem.attach(smu.hexdigest).mark(agentmem.Temperature.COLD)
    reveal_type(agentmem.stats(agentmem.Scope.DOMAIN).node)
    reveal_type(agentmem.backend())
agentmem.put(5)
smu.digest = b""
"""


def run(*argv: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    ours = {"AGENTMEM_BACKEND": "fallback", "PYTHONDONTWRITEBYTECODE": "1", "MYPY_CACHE_DIR": os.devnull}
    env = {**os.environ, **ours, **env}
    return subprocess.run(argv, capture_output=True, text=True, timeout=280, cwd=cwd, env=env)


@pytest.fixture(scope="module")
def wheel() -> Path:
    return binding.wheel("native")


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """With all that is tested with; on the laboratory's version."""
    return binding.environment(wheel, binding.PROJECT / "requirements-frameworks.txt")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_suite_passes(wheel: Path, version: str) -> None:
    python = binding.environment(wheel, binding.PROJECT / "requirements-test.txt", interpreters.find(version))
    assert run(python, "--version").stdout.startswith(f"Python {version}.")
    judged(run(python, *SUITE, cwd=binding.PROJECT))


def judged(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= LEAST, done.stdout


def test_the_suite_passes_under_the_sanitizers(tmp_path: Path) -> None:
    wheel = binding.wheel("asan-ubsan", sanitized=True)
    needed, _ = linked(wheel)
    assert {name.split(".")[0] for name in needed} == {"libasan", "libubsan", "libc"}
    python = binding.environment(wheel, binding.PROJECT / "requirements-test.txt")
    argv = (python, *SUITE, "--capture=no", *MEASURES)  # not captured: a report would be lost with its process
    done = run(*argv, cwd=binding.PROJECT, PYTHONMALLOC="malloc", **sanitizers.running(tmp_path))
    assert sanitizers.reports(tmp_path, done.stderr) == ""
    judged(done)


def test_a_version_that_is_nowhere_is_told() -> None:
    with pytest.raises(LabError, match=r"neither this machine nor Debian \w+ has CPython 3\.99") as caught:
        interpreters.find("3.99")
    assert "pyenv install 3.99" in str(caught.value.hint)


def test_a_version_is_listed_if_it_is_here_or_debian_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    obtainable = interpreters.obtainable
    assert obtainable(ours) and not obtainable("3.99")
    monkeypatch.setattr(interpreters, "_here", lambda _: None)
    assert obtainable("3.13") and obtainable("3.14") and not obtainable("3.11") and not obtainable("3.12")


# -- the wheel --


def test_one_wheel_is_for_all_versions_and_keeps_to_the_stable_interface(wheel: Path, python: Path) -> None:
    assert re.fullmatch(r"agentmem-[\d.]+-cp311-abi3-linux_\w+\.whl", wheel.name)
    done = run(python, "-m", "abi3audit", "--strict", "--report", wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    (audited,) = json.loads(done.stdout)["specs"].values()
    (extension,) = audited["wheel"]
    assert extension["result"]["is_abi3"] and extension["result"]["is_abi3_baseline_compatible"]


def test_the_extension_needs_libc_alone_and_shows_one_symbol(wheel: Path) -> None:
    assert linked(wheel) == (NEEDED, ["PyInit__native"])


def linked(wheel: Path) -> tuple[set[str], list[str]]:
    """The libraries that the extension needs, and the symbols that it shows."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        with archive.open(name) as stream:
            elf = ELFFile(stream)
            dynamic, symbols = elf.get_section_by_name(".dynamic"), elf.get_section_by_name(".dynsym")
            assert isinstance(dynamic, DynamicSection) and isinstance(symbols, SymbolTableSection)
            needed = {getattr(tag, "needed") for tag in dynamic.iter_tags("DT_NEEDED")}  # noqa: B009  (typed without)
            shown = [symbol.name for symbol in symbols.iter_symbols() if symbol["st_shndx"] != "SHN_UNDEF"]
    return needed, [name for name in shown if name]


def test_the_source_distribution_is_whole(wheel: Path) -> None:
    """The wheel was built from it; it has the suite and the licences' lines, too."""
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2]: name for name in archive.getnames()}
        for needed in ("libagentmem/src/agentmem.c", "libagentmem/include/agentmem.h", "conftest.py", "LICENSE"):
            assert needed in files
        for short, name in files.items():
            if short.endswith((".c", ".h", ".py", ".pyi")):
                stream = archive.extractfile(name)
                assert stream and (b"SPDX-License-Identifier: MIT" in stream.read(200)), short


def test_the_licence_goes_with_every_copy(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(name) == (binding.PROJECT.parent / "node" / "LICENSE").read_bytes()
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert b"License-Expression: MIT AND BSD-3-Clause AND LGPL-3.0-or-later\n" in archive.read(name)
        found = [name for name in archive.namelist() if "/licenses/libagentmem/" in name]
        placed = {Path(name).name: archive.read(name) for name in found}
    assert linked(wheel)[0] == NEEDED, "zstd and nettle are in the extension"
    texts = binding.PROJECT.parent / "libagentmem" / "licenses"
    assert placed == {path.name: path.read_bytes() for path in texts.iterdir()}
    assert {"NOTICE.txt", "zstd.txt", "LGPL-3.0.txt", "GPL-3.0.txt"} == placed.keys()


def test_build_errors_are_told(tmp_path: Path) -> None:
    (tmp_path / "include" / "asm").mkdir(parents=True)
    (tmp_path / "include" / "asm" / "unistd_64.h").touch()
    with pytest.raises(ToolError, match="has no linux/agent_mem.h"):
        binding.wheel("no-such-headers", headers=tmp_path)


def test_a_build_with_other_flags_is_not_the_former_one(tmp_path: Path) -> None:
    """pip builds in the source's directory, and leaves there what it has built."""
    source, built = shutil.copytree(binding.PROJECT, tmp_path / "source", ignore=binding.NOT_SOURCES), []
    for flags in ("-O1", "-O2"):
        argv = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path / flags, source)
        done = run(sys.executable, *argv, CFLAGS=flags)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = (tmp_path / flags).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            built.append(archive.read("agentmem/_native.abi3.so"))
    assert built[0] != built[1]


# -- its types --


def test_its_types_are_strict(python: Path) -> None:
    found = sorted((binding.PROJECT / "src").rglob("*.py*"))
    sources = [path for path in found if path.parent.name != "command"]  # see test_agentmem_command.py
    done = run(python, "-m", "mypy", "--strict", "--python-version", "3.11", "--cache-dir", os.devnull, *sources)
    assert done.returncode == 0, done.stdout


def test_the_stub_of_the_extension_is_what_it_is(python: Path, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("agentmem._native.Handle.__buffer__\n")  # not shown by Python 3.11
    known = ("--allowlist", "known", "--ignore-unused-allowlist")
    done = run(python, "-m", "mypy.stubtest", "agentmem._native", "--ignore-positional-only", *known, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_who_uses_it_sees_types(python: Path, tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    done = run(python, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "consumer.py", cwd=tmp_path)
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert revealed[:3] == ["agentmem.smu.Smu", "int", "int | None"] and "kernel" in revealed[3], done.stdout
    errors = re.findall(r"error: .*\[([\w-]+)\]", done.stdout)
    assert errors == ["arg-type", "misc"], done.stdout
