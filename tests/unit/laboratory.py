"""A laboratory of its own for a test: cache, work area, and a base small enough for milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import git

MAKEFILE = """\
VERSION = 7
PATCHLEVEL = 3
SUBLEVEL = 4

O ?= .
allnoconfig:
\t@mkdir -p $(O)
\t@cp $(KCONFIG_ALLCONFIG) $(O)/.config
bzImage:
\t@mkdir -p $(O)/arch/x86/boot $(O)/include/config
\tgcc -c -o $(O)/vmlinux mm/one.c
\t@cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
\t@nm $(O)/vmlinux > $(O)/System.map
\t@echo 7.3.4$(LOCALVERSION) > $(O)/include/config/kernel.release
headers_install:
\t@mkdir -p $(INSTALL_HDR_PATH)/include/linux
\t@cp include/agent.h $(INSTALL_HDR_PATH)/include/linux/
"""
FILES = {
    "Makefile": MAKEFILE,
    "mm/one.c": "int one = 1;\n",
    "mm/two.c": "int two = 2;\n",
    "include/agent.h": "#define AGENT 1\n",
    ".gitignore": "/*\n",  # as Debian's: what is new has to be added by force
}
AUTHOR = {
    "GIT_AUTHOR_NAME": "A Developer",
    "GIT_AUTHOR_EMAIL": "dev@example.org",
    "GIT_AUTHOR_DATE": "2026-03-01T12:00:00Z",
    "GIT_COMMITTER_NAME": "Somebody Else",
    "GIT_COMMITTER_EMAIL": "else@example.org",
    "GIT_COMMITTER_DATE": "2026-04-01T12:00:00Z",
}


@dataclass(frozen=True)
class Laboratory:
    """Directories of a test's own laboratory."""

    cache: Path
    repo: Path
    base: Path
    patches: Path

    @property
    def tree(self) -> Path:
        return self.repo / ".work" / "linux"

    def commit(self, tree: Path, name: str, content: str, subject: str) -> str:
        """Changes one file in a commit of its own."""
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        git.git(tree, "add", "--force", name)
        git.git(tree, "commit", "--quiet", "--message", subject, env=AUTHOR)
        return git.line(tree, "rev-parse", "HEAD")
