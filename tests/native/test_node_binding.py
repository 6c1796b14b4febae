"""The binding for Node on the fallback: its suite on each line of Node, its types, the package that is published."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import node, sanitizers
from harness.errors import ToolError

PROGRAM = """
import { alloc, backend } from 'libagentmem-node';
const smu = alloc({ type: 'tool-def', data: 'installed' });
console.log(backend(), smu.buffer.toString());
"""
# The oldest and the newest, and with --all those between.
LINES = ("node20", *(pytest.param(line, marks=pytest.mark.long) for line in ("node22", "node24")), "node26")
REFUSES = """
#include <node_api.h>

napi_status refuse(napi_env env, void *data, size_t size, napi_finalize finalize, void *hint, napi_value *result)
{
	return napi_no_external_buffers_allowed;
}
"""


def run(*argv: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **node.node().environment, **env}
    return subprocess.run(argv, capture_output=True, text=True, timeout=280, cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def built() -> Path:
    return node.build("plain")


@pytest.fixture(scope="module")
def package() -> Path:
    return node.pack("package")


@pytest.fixture
def fallback(tmp_path: Path) -> dict[str, str]:
    """The environment of a process whose store is the test's own."""
    (store := tmp_path / "runtime").mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(store), "AGENTMEM_BACKEND": "fallback"}


def judged(done: subprocess.CompletedProcess[str], least: int) -> None:
    """All tests passed."""
    said = re.findall(r"^# (pass|fail|skipped) (\d+)$", done.stdout, re.MULTILINE)
    counts = {name: int(number) for name, number in said}
    assert done.returncode == 0, done.stdout + done.stderr
    assert counts["fail"] == counts["skipped"] == 0 and counts["pass"] >= least


def suite(program: Path, built: Path, **env: str) -> subprocess.CompletedProcess[str]:
    tests = sorted(built.glob("test/*.test.mjs"))
    return run(program, "--expose-gc", "--test", "--test-reporter=tap", *tests, cwd=built, **env)


@pytest.mark.parametrize("line", LINES)
def test_suite_passes_on_each_line_of_node(built: Path, line: str, fallback: dict[str, str]) -> None:
    """One binary for all of them. It is the suite that runs on the kernel's backend, too."""
    program = node.versions()[line]
    assert run(program, "--version", cwd=built).stdout.startswith(f"v{line[4:]}.")
    judged(suite(program, built, **fallback), 59 if line == "node20" else 60)  # which cannot move memory
    left = sorted(path.name[:1] for path in (Path(fallback["XDG_RUNTIME_DIR"]) / "agentmem").glob("[rz]-*"))
    assert len(left) < 50, "objects of processes that have ended are still there"


def test_suite_passes_under_the_sanitizers(tmp_path: Path, fallback: dict[str, str]) -> None:
    built = node.build("asan-ubsan", sanitized=True)
    assert b"__asan_init" in (built / "build" / "Release" / "agentmem.node").read_bytes()
    # Some tests measure memory, so little is kept of what is freed. What a test writes is in the report on it.
    env = sanitizers.running(tmp_path, "quarantine_size_mb=16")
    done = suite(node.node().program, built, **env, **fallback)
    assert sanitizers.reports(tmp_path, done.stdout + done.stderr) == ""
    judged(done, 60)


def test_types_are_what_a_strict_compiler_expects(built: Path, tmp_path: Path) -> None:
    done = run("node_modules/.bin/tsc", "-p", "test/types", cwd=built)
    assert (done.returncode, done.stdout) == (0, "")
    other = shutil.copytree(built, tmp_path / "other", symlinks=True, ignore=shutil.ignore_patterns("build"))
    wrong = other / "test" / "types" / "esm.mts"
    wrong.write_text(wrong.read_text().replace("'tool-def'", "'no-such-type'", 1))
    assert "no-such-type" in run("node_modules/.bin/tsc", "-p", "test/types", cwd=other).stdout


def test_a_runtime_without_external_buffers_is_told_and_can_copy(
    built: Path, tmp_path: Path, fallback: dict[str, str]
) -> None:
    """As Electron is one: Node's own answer in its place, and the rest is real."""
    (tmp_path / "refuse.c").write_text(REFUSES)
    (where := tmp_path / "build" / "Release").mkdir(parents=True)
    for name in ("index.js", "index.mjs", "lib", "package.json", "node_modules"):
        (tmp_path / name).symlink_to(built / name)
    flags = ["-shared", "-fPIC", "-D_GNU_SOURCE", "-DNAPI_VERSION=8", "-Dnapi_create_external_arraybuffer=refuse"]
    places = [f"-I{node.node().root}/include/node", f"-I{built}/libagentmem/include"]
    sources = [*built.glob("native/*.c"), *built.glob("libagentmem/src/*.c"), tmp_path / "refuse.c"]
    libraries: list[str | Path] = ["-o", where / "agentmem.node", "-lzstd", "-lnettle"]
    done = run("cc", *flags, *places, *sources, *libraries, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    source = """
        import { alloc } from './index.mjs';
        const smu = alloc({ type: 'tool-def', data: 'text' });
        try { smu.buffer } catch (error) { console.log(error.code, /copy\\(\\)/.test(error.message)); }
        console.log(String(smu), smu.copy().length);
        """
    (tmp_path / "program.mjs").write_text(source)
    program = ["--preserve-symlinks", "--preserve-symlinks-main", "program.mjs"]
    done = run(node.node().program, *program, cwd=tmp_path, **fallback)
    assert done.stdout == "ERR_AGENTMEM_NO_EXTERNAL_BUFFERS true\ntext 4\n", done.stderr


# -- the package ---------------------------------------------------------------------


def install(package: Path, project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """npm install into an empty project; its only dependency comes from the packages that are here already."""
    (project / "package.json").write_text(json.dumps({"private": True, "name": "project"}))
    return run(*node.node().npm, "install", "--no-audit", "--no-fund", *options, package, cwd=project)


def test_the_package_has_what_is_needed_and_nothing_else(package: Path) -> None:
    listed = subprocess.run(["tar", "-tzf", package], capture_output=True, text=True, check=True).stdout.split()
    names = {name.removeprefix("package/") for name in listed}
    assert {"LICENSE", "README.md", "index.d.mts", "index.d.ts", "index.js", "index.mjs", "package.json"} <= names
    assert {"binding.gyp", "scripts/flags.js", "prebuilds/linux-x64/libagentmem-node.glibc.node"} <= names
    sources = {f"libagentmem/src/{path.name}" for path in (node.BINDING / "libagentmem" / "src").glob("*.[ch]")}
    assert sources <= names and "libagentmem/include/agentmem.h" in names
    licences = {f"libagentmem/licenses/{name}" for name in ("NOTICE.txt", "zstd.txt", "LGPL-3.0.txt", "GPL-3.0.txt")}
    assert licences <= names, "zstd and nettle are in the binary"
    other = re.compile(r"test/|build/|node_modules/|libagentmem/(tests|man)/|.*\.tgz")
    assert not [name for name in names if other.match(name)]
    assert package.stat().st_size < 2 << 20


def test_the_binary_needs_nothing_but_libc(package: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xzf", package, "-C", tmp_path], check=True)
    (binary,) = tmp_path.rglob("*.node")
    needed = re.findall(r"NEEDED +(\S+)", run("objdump", "-p", binary, cwd=tmp_path).stdout)
    assert set(needed) <= {"libc.so.6", "ld-linux-x86-64.so.2"}
    symbols = run("objdump", "-T", binary, cwd=tmp_path).stdout.splitlines()
    # Headers of glibc 2.38 give the numbers' readers these names: what is published is built with older ones.
    symbols = [line for line in symbols if "__isoc23_" not in line]
    versions = re.findall(r"GLIBC_([0-9.]+)", "\n".join(symbols))
    assert max(tuple(map(int, version.split("."))) for version in versions) <= (2, 34)
    exported = run("nm", "-D", "--defined-only", binary, cwd=tmp_path).stdout.split("\n")
    assert sorted(line.split()[-1] for line in exported if line) == [
        "napi_register_module_v1",
        "node_api_module_get_api_version_v1",
    ]


@pytest.mark.parametrize("line", ["node20", "node26"])
def test_an_installed_package_works_without_a_compiler(
    package: Path, tmp_path: Path, fallback: dict[str, str], line: str
) -> None:
    """Nor with install scripts, which many have switched off."""
    done = install(package, tmp_path, "--ignore-scripts")
    assert done.returncode == 0, done.stderr
    (tmp_path / "program.mjs").write_text(PROGRAM)
    done = run(node.versions()[line], "program.mjs", cwd=tmp_path, **fallback, PATH="/nonexistent")
    assert (done.stdout, done.returncode) == ("fallback installed\n", 0), done.stderr
    assert not (tmp_path / "node_modules" / "libagentmem-node" / "build").exists()
    done = run(tmp_path / "node_modules" / ".bin" / "agentmem-claude-hook", cwd=tmp_path, **fallback)
    assert (done.returncode, done.stderr[:22]) == (1, "agentmem-claude-hook: ")


def test_an_installed_package_can_be_built_from_source(package: Path, tmp_path: Path, fallback: dict[str, str]) -> None:
    install(package, tmp_path, "--ignore-scripts")
    placed = tmp_path / "node_modules" / "libagentmem-node"
    (prebuilt,) = placed.rglob("*.node")
    prebuilt.unlink()
    (tmp_path / "program.mjs").write_text(PROGRAM)
    done = run(node.node().program, "program.mjs", cwd=tmp_path, **fallback)
    assert "next: npm rebuild libagentmem-node --build-from-source" in done.stderr
    done = run(*node.node().npm, "rebuild", "libagentmem-node", "--build-from-source", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (placed / "build" / "Release" / "agentmem.node").is_file()
    done = run(node.node().program, "program.mjs", cwd=tmp_path, **fallback)
    assert done.stdout == "fallback installed\n", done.stderr


def test_locked_packages_name_content_and_no_place() -> None:
    locks = [node.BINDING / "package-lock.json", *node.HERE.rglob("package-lock.json")]
    for lock in locks:
        packages = json.loads(lock.read_text())["packages"]
        for name, entry in packages.items():
            assert not name or entry["integrity"].startswith("sha512-"), f"{lock}: {name}"
            assert "resolved" not in entry, f"{lock}: {name} comes from whatever registry npm is configured for"


def test_build_errors_are_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as failed:
        node.build("no-such-headers", headers=tmp_path)
    assert "has no linux/agent_mem.h" in str(failed.value)
