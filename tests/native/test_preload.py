"""The shim: its blocks under the sanitizers; a program on three allocators, which must behave with it as without it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness import anonymous, ktap, userspace
from harness.ktap_report import Status
from tests.native import allocators

SANITIZERS = {"TSAN_OPTIONS": "die_after_fork=0", "UBSAN_OPTIONS": "halt_on_error=1"}
ALLOCATORS = {"glibc": "", **allocators.OTHERS}
TEXT = 100_000  # bytes; where nothing else decides, glibc has such a text in its heap, anywhere in a page
TEXTS = 40


def run(*argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=280, env={**os.environ, **env})


@pytest.fixture(scope="module")
def built() -> Path:
    return userspace.preload()


@pytest.fixture
def store(tmp_path: Path) -> dict[str, str]:
    """A content store of the test's own."""
    (place := tmp_path / "runtime").mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(place), "AGENTMEM_BACKEND": "fallback"}


def shim(built: Path, *others: str) -> dict[str, str]:
    return {"LD_PRELOAD": ":".join([str(built / "libagentmem-preload.so"), *filter(None, others)])}


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, Status]:
    return {leaf.name: leaf.status for leaf in ktap.parse(done.stdout).leaves()}


def all_passed(done: subprocess.CompletedProcess[str], least: int) -> None:
    told = outcomes(done)
    assert done.returncode == 0 and set(told.values()) == {Status.PASSED}, done.stdout + done.stderr
    assert len(told) >= least


@pytest.mark.parametrize("build", userspace.BUILDS)
def test_blocks_and_texts(build: str, store: dict[str, str]) -> None:
    targets = ("test_blocks", "test_texts")
    options = userspace.BUILDS[build]
    place = userspace.build(f"preload-{build}", options, project=userspace.PRELOAD, targets=targets)
    all_passed(run(place / "tests" / "test_blocks", **SANITIZERS), 19)
    all_passed(run(place / "tests" / "test_texts", **SANITIZERS, **store), 9)


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_malloc_and_mmap_do_what_they_do_without_it(built: Path, allocator: str) -> None:
    program = built / "tests" / "test_shim"
    without = outcomes(run(program, LD_PRELOAD=ALLOCATORS[allocator]))
    with_it = outcomes(run(program, **shim(built, ALLOCATORS[allocator]), SHIM="1"))
    assert with_it == without
    assert len(with_it) >= 14
    if allocator == "glibc":  # the others have less to offer in a limited address space
        assert set(with_it.values()) == {Status.PASSED}
    none_large = outcomes(run(program, **shim(built, ALLOCATORS[allocator]), AGENTMEM_THRESHOLD="0"))
    assert none_large == without


@pytest.mark.parametrize("allocator", allocators.OTHERS)
def test_behind_another_allocator_it_only_places_what_that_maps(built: Path, allocator: str) -> None:
    program = built / "tests" / "test_shim"
    without = outcomes(run(program, LD_PRELOAD=ALLOCATORS[allocator]))
    behind = f"{ALLOCATORS[allocator]}:{built / 'libagentmem-preload.so'}"
    assert outcomes(run(program, LD_PRELOAD=behind)) == without


def test_texts_with_and_without_the_shim(built: Path, store: dict[str, str]) -> None:
    all_passed(run(built / "tests" / "test_alloc", **store), 9)
    all_passed(run(built / "tests" / "test_alloc", **shim(built), SHIM="1", **store), 9)


@pytest.mark.parametrize("name", ["header in C", "header in C++"])
def test_the_header_is_c_and_cpp(built: Path, name: str) -> None:
    done = run(userspace.TOOLS / "meson", "test", "-C", built, "--no-rebuild", f"agentmem-preload:{name}")
    assert done.returncode == 0 and re.search(r"Ok:\s+1\s", done.stdout), done.stdout


# -- equal texts are equal pages -------------------------------------------------------------------------------------

HOLDS_TEXTS = f"""
import random, signal, sys
chance = random.Random(sys.argv[1])
litter = [bytes(chance.randrange(100, 30000)) for _ in range(chance.randrange(200, 400))]
common = random.Random("the same in all")
texts = [common.randbytes({TEXT}).hex()[:{TEXT}] for _ in range({TEXTS})]
print("ready", flush=True)
signal.pause()
"""


def pages_in_common(*environments: dict[str, str]) -> int:
    """Pages that processes, each with litter of its own and the same texts, have alike."""
    children = [
        subprocess.Popen([sys.executable, "-c", HOLDS_TEXTS, str(n)], stdout=subprocess.PIPE, env={**os.environ, **env})
        for n, env in enumerate(environments)
    ]
    try:
        for child in children:
            assert child.stdout and child.stdout.readline() == b"ready\n"
        # What a process has twice by itself (zeros) is not what two have in common.
        held = [Counter(anonymous.pages(child.pid)).keys() for child in children]
        return len(frozenset.intersection(*map(frozenset, held)))
    finally:
        for child in children:
            child.send_signal(signal.SIGKILL)
            child.communicate()


def test_equal_texts_of_different_processes_are_equal_pages(built: Path) -> None:
    whole = TEXTS * (TEXT // anonymous.PAGE - 1)  # the first page of each has the interpreter's own words in it
    assert pages_in_common(shim(built), shim(built)) >= whole
    assert pages_in_common({}, {}) < whole / 2
    assert pages_in_common(shim(built), {}) < whole / 2


# -- the environment -------------------------------------------------------------------------------------------------

WHERE = "import ctypes; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p; print(libc.malloc({}) % 65536)"


@pytest.mark.parametrize(
    ("size", "env", "placed"),
    [
        (65536, {}, True),
        (65535, {}, False),
        (65536, {"AGENTMEM_THRESHOLD": "1M"}, False),
        (1 << 20, {"AGENTMEM_THRESHOLD": "1M"}, True),
        (20000, {"AGENTMEM_THRESHOLD": "16K"}, True),
        (1 << 30, {"AGENTMEM_THRESHOLD": "0"}, False),
        (65536, {"AGENTMEM_THRESHOLD": "many"}, True),
        (65536, {"AGENTMEM_THRESHOLD": "99999999999999999999999"}, True),
    ],
)
def test_the_threshold_decides_what_is_placed(built: Path, size: int, env: dict[str, str], placed: bool) -> None:
    done = run(sys.executable, "-c", WHERE.format(size), **shim(built), **env)
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip() == "0") == placed


def test_blocks_can_be_offered_for_page_merging(built: Path) -> None:
    script = "import sys; held = bytes(range(256)) * 4000; print(open('/proc/self/smaps').read())"
    done = run(sys.executable, "-c", script, **shim(built), AGENTMEM_MERGE="1")
    assert re.search(r"^VmFlags:.* mg", done.stdout, re.MULTILINE)
    assert not re.search(r"^VmFlags:.* mg", run(sys.executable, "-c", script, **shim(built)).stdout, re.MULTILINE)


def test_a_program_with_a_sanitizer_is_left_alone(built: Path, tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <stdint.h>\n"
        "int main(int argc, char **argv) { char *at = malloc(1 << 20); at[argc > 1 ? 1 << 20 : 0] = 1;"
        'printf("%d\\n", (int)((uintptr_t)at % 65536)); free(at); return 0; }'
    )
    for kind, mark in (("address", "heap-buffer-overflow"), ("thread", "")):
        program = tmp_path / kind
        done = run("cc", "-g", f"-fsanitize={kind}", source, "-o", program)
        assert done.returncode == 0, done.stderr
        env = {**shim(built), "ASAN_OPTIONS": "verify_asan_link_order=0"}
        good = run(program, **env)
        assert good.returncode == 0 and (kind == "thread" or good.stdout != "0\n"), good.stderr
        assert mark in run(program, "beyond", **env).stderr


# -- installed -------------------------------------------------------------------------------------------------------

SEALS = """
#include <agentmem-alloc.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	char *text = agent_malloc(6, AGENTMEM_TOOL_DEF);
	int sealed;

	strcpy(text, "whole");
	sealed = agent_seal(text);
	if (sealed < 0)
		strcpy(text, strerrorname_np(errno));
	printf("%d %s\\n", sealed, text);
	agent_free(text);
	return 0;
}
"""


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    done = run(userspace.TOOLS / "meson", "install", "-C", built, "--no-rebuild", "--destdir", root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def sealing(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that is linked as the package's file says."""
    (found,) = installed.rglob("libagentmem-alloc.pc")
    system = run("pkg-config", "--variable", "pc_path", "pkg-config").stdout.strip()
    env = {"PKG_CONFIG_LIBDIR": f"{found.parent}:{system}", "PKG_CONFIG_SYSROOT_DIR": str(installed)}
    asked = run("pkg-config", "--cflags", "--libs", "libagentmem-alloc", **env)
    assert asked.returncode == 0, asked.stderr
    program = tmp_path_factory.mktemp("sealing") / "program"
    source = program.with_suffix(".c")
    source.write_text("#define _GNU_SOURCE\n#include <errno.h>\n" + SEALS)
    link = ["-Wl,-rpath," + str(found.parent.parent), "-Wl,--no-as-needed"]
    done = run("cc", "-Wall", "-Werror", source, "-o", program, *link, *asked.stdout.split())
    assert done.returncode == 0, done.stderr
    return program


def test_what_is_installed_is_found_and_used(installed: Path, sealing: Path, store: dict[str, str]) -> None:
    (shim_,) = installed.rglob("libagentmem-preload.so")
    for env in ({}, {"LD_PRELOAD": str(shim_)}):
        done = run(sealing, **env, **store)
        assert (done.returncode, done.stdout) == (0, "0 whole\n"), done.stderr


def test_installs_its_man_pages(installed: Path) -> None:
    pages = {path.name for path in installed.rglob("man/man*/*")}
    functions = {f"agent_{name}.3" for name in ("free", "malloc", "realloc", "seal")}
    assert functions | {"agentmem-run.1", "libagentmem-preload.7"} <= pages
    for page in (userspace.PRELOAD / "man").iterdir():
        if not page.read_text().startswith(".so "):
            assert not run("groff", "-man", "-Tutf8", "-ww", "-z", page).stderr


def test_without_the_library_a_text_stays_memory(installed: Path, sealing: Path, tmp_path: Path) -> None:
    """The shim by itself, in a program that finds agent_malloc() in it and libagentmem nowhere."""
    (shim_,) = installed.rglob("libagentmem-preload.so")
    (alone := tmp_path / "alone").mkdir()
    (alone / "shim.so").write_bytes(shim_.read_bytes())
    program = tmp_path / "program"
    include = next(installed.rglob("agentmem.h")).parent
    done = run("cc", "-Wall", "-I", include, sealing.with_suffix(".c"), alone / "shim.so", "-o", program)
    assert done.returncode == 0, done.stderr
    done = run(program)
    assert (done.returncode, done.stdout) == (0, "-1 ENOSYS\n"), done.stderr
