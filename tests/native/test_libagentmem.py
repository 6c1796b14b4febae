"""libagentmem on the fallback, as it is and under the sanitizers; its header, its symbols, what it installs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import ktap, userspace
from harness.cache import work_dir
from harness.errors import ToolError

FALLBACK = {"AGENTMEM_BACKEND": "fallback", "TSAN_OPTIONS": "die_after_fork=0", "UBSAN_OPTIONS": "halt_on_error=1"}
PROGRAM = """
#include <agentmem.h>
#include <stdio.h>

int main(void)
{
	struct agentmem_view view;
	int fd = agentmem_put(AGENTMEM_TOOL_DEF, "installed", 9, NULL, NULL);

	if (fd < 0 || agentmem_map(fd, &view) < 0)
		return 1;
	printf("%s %.*s\\n", agentmem_backend(), (int)view.size, (const char *)view.data);
	return agentmem_unmap(&view) < 0 || agentmem_close(fd) < 0;
}
"""


def run(*argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=280, env={**os.environ, **env})


@pytest.fixture(scope="module", params=userspace.BUILDS)
def built(request: pytest.FixtureRequest) -> Path:
    return userspace.build(request.param, userspace.BUILDS[request.param])


@pytest.fixture(scope="module")
def plain() -> Path:
    return userspace.build("plain")


def judged(output: str, least: int) -> None:
    """All tests of the output passed; a skip says that something was not looked at."""
    report = ktap.parse(output)
    assert report.good, output
    assert len(report.leaves()) >= least


def test_conformance_suite_passes_on_the_fallback(built: Path) -> None:
    done = run(built / "tests" / "conformance", **FALLBACK)
    judged(done.stdout, 60)
    assert done.returncode == 0, done.stderr


def test_damaged_stores_give_errors_not_other_content(built: Path) -> None:
    done = run(built / "tests" / "fuzz_store", "200", **FALLBACK)
    judged(done.stdout, 1)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["header in C", "header in C++", "exported symbols"])
def test_what_others_compile_and_link_against(plain: Path, name: str) -> None:
    done = run(userspace.TOOLS / "meson", "test", "-C", plain, "--no-rebuild", "--print-errorlogs", name)
    assert done.returncode == 0, done.stdout
    assert "Ok:                1" in done.stdout


@pytest.mark.parametrize("static", [False, True])
def test_an_installed_library_is_found_and_used(plain: Path, tmp_path: Path, static: bool) -> None:
    root = tmp_path / "root"
    done = run(userspace.TOOLS / "meson", "install", "-C", plain, "--no-rebuild", "--destdir", root)
    assert done.returncode == 0, done.stderr
    (found,) = root.rglob("libagentmem.pc")
    env = {"PKG_CONFIG_LIBDIR": f"{found.parent}:{_system_pkg_config()}", "PKG_CONFIG_SYSROOT_DIR": str(root)}
    options = ["--cflags", "--libs", *(["--static"] if static else [])]
    asked = run("pkg-config", *options, "libagentmem", **env)
    assert asked.returncode == 0, asked.stderr
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    link = ["-static"] if static else [f"-Wl,-rpath,{found.parent.parent}"]
    done = run("cc", "-Wall", "-Werror", source, "-o", program, *asked.stdout.split(), *link)
    assert done.returncode == 0, done.stderr
    (store := tmp_path / "runtime").mkdir(mode=0o700)
    done = run(program, XDG_RUNTIME_DIR=str(store), AGENTMEM_BACKEND="fallback")
    assert (done.returncode, done.stdout) == (0, "fallback installed\n")
    assert (store / "agentmem").is_dir()


def _system_pkg_config() -> str:
    return run("pkg-config", "--variable", "pc_path", "pkg-config").stdout.strip()


def test_installs_a_page_for_each_function(plain: Path, tmp_path: Path) -> None:
    done = run(userspace.TOOLS / "meson", "install", "-C", plain, "--no-rebuild", "--destdir", tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in tmp_path.rglob("man3/*.3")}
    listed = (userspace.LIBRARY / "src" / "agentmem.map").read_text()
    functions = {line.strip(" \t;") for line in listed.splitlines() if line.startswith("\tagentmem_")}
    assert functions and pages == functions | {"libagentmem"}
    for page in tmp_path.rglob("man3/*.3"):
        if not page.read_text().startswith(".so "):
            done = run("groff", "-t", "-man", "-Tutf8", "-ww", "-z", page)
            assert not done.stderr, done.stderr


@pytest.mark.parametrize(
    ("project", "name", "library"),
    [
        (userspace.LIBRARY, "agentmem", "libagentmem.so.0.1.0"),
        (userspace.PRELOAD, "alloc", "libagentmem-alloc.so.0.1.0"),
    ],
    ids=["libagentmem", "libagentmem-alloc"],
)
def test_the_interface_is_what_is_written_down(project: Path, name: str, library: str) -> None:
    """abidiff against the interface's description in the repository: an addition has to be written down, too."""
    built = userspace.preload() if project == userspace.PRELOAD else userspace.build("plain")
    done = run("abidiff", "--no-show-locs", project / "src" / f"{name}.abi", built / library)
    assert done.returncode == 0, done.stdout


def test_build_errors_are_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as failed:
        userspace.build("no-such-headers", headers=tmp_path)
    assert "has no agent_alloc_smu" in str(failed.value)
    shutil.rmtree(work_dir("userspace", "no-such-headers"))
