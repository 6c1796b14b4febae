"""The pages for users: what each begins with does what the page says, on the fallback."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import binding, node, userspace
from harness.cache import REPO


class Page:
    def __init__(self, name: str) -> None:
        self._text = (REPO / "docs" / f"{name}.md").read_text()

    def first(self, language: str) -> str:
        found = re.search(rf"^```{language}\n(.*?)^```$", self._text, re.DOTALL | re.MULTILINE)
        assert found
        return found[1]

    def prints(self) -> str:
        """What the sentence after it quotes."""
        found = re.search(r"^It prints (`.*?)(?:, on any Linux|: the command)", self._text, re.MULTILINE)
        assert found
        return "".join(f"{line}\n" for line in re.findall(r"`([^`]+)`", found[1]))


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """With a store of the test's own."""
    (store := tmp_path / "runtime").mkdir(mode=0o700)
    return {**os.environ, "XDG_RUNTIME_DIR": str(store), "AGENTMEM_BACKEND": "fallback"}


def says(*argv: str | Path, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command() -> Path:
    return binding.environment(binding.wheel("native"), binding.PROJECT / "requirements-command.txt")


def test_c(tmp_path: Path, env: dict[str, str]) -> None:
    page, library = Page("c"), userspace.preload() / "subprojects" / "libagentmem"
    (tmp_path / "reviewer.c").write_text(page.first("c"))
    link = (f"-I{userspace.LIBRARY}/include", f"-L{library}", f"-Wl,-rpath,{library}", "-lagentmem")
    says("cc", "-Wall", "-Wextra", "-Werror", "-o", "reviewer", "reviewer.c", *link, cwd=tmp_path, env=env)
    assert says("./reviewer", cwd=tmp_path, env=env) == page.prints()


def test_python(tmp_path: Path, env: dict[str, str]) -> None:
    page = Page("python")
    (tmp_path / "reviewer.py").write_text(page.first("python"))
    assert says(command(), "reviewer.py", cwd=tmp_path, env=env) == page.prints()


def test_node(tmp_path: Path, env: dict[str, str]) -> None:
    page, built = Page("node"), node.build("plain")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "libagentmem-node").symlink_to(built)
    (tmp_path / "reviewer.mjs").write_text(page.first("js"))
    assert says(node.node().program, "reviewer.mjs", cwd=tmp_path, env=env) == page.prints()


def test_operator(env: dict[str, str]) -> None:
    """Without the lines that install it."""
    _, lines = Page("operator").first("sh").split("\n\n", 1)
    path = f"{command().parent}:{env['PATH']}"
    said = says("bash", "-e", "-c", lines, cwd=REPO, env={**env, "PATH": path})
    assert said.startswith((REPO / "README.md").read_text().splitlines()[0]) and "(fallback backend)" in said


def test_preload(tmp_path: Path, env: dict[str, str]) -> None:
    page = Page("preload")
    *_, line = page.first("sh").splitlines()
    path = f"{userspace.preload()}:{env['PATH']}"
    assert says("sh", "-c", line, cwd=tmp_path, env={**env, "PATH": path}) == page.prints()
