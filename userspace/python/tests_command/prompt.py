# SPDX-License-Identifier: MIT
"""A shell at a terminal, with the completions that were installed: what keys make of its line."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from shell import PATIENCE

SHARE = Path(sys.prefix) / "share"
PROMPT = b"what now? "
TELL = b"\x18t"  # Control-X t shows the line between two characters that nothing else shows
TOLD = re.compile(b"\x01(.*)\x02", re.S)
BASH = r"""
set -o emacs
source SHARE/bash-completion/completions/agentmem
tell() { printf '\1%s\2' "$READLINE_LINE"; }
bind -x '"\C-xt": tell'
"""
ZSH = r"""
bindkey -e
fpath=(SHARE/zsh/site-functions $fpath)
autoload -Uz compinit && compinit -u -D
tell() { printf '\1%s\2' "$BUFFER"; }
zle -N tell && bindkey '^Xt' tell
"""
SHELLS = {
    "bash": (("bash", "--noprofile", "--rcfile", ".bashrc", "-i"), BASH, ".bashrc"),
    "zsh": (("zsh", "--no-global-rcs", "-i"), ZSH, ".zshrc"),
}


class Prompt:
    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._shown(lambda seen: PROMPT in seen)

    def line(self, keys: str) -> str:
        """What the line is, from empty, after these keys."""
        os.write(self._terminal, b"\x15" + keys.encode() + TELL)
        told = TOLD.search(self._shown(TOLD.search))
        assert told
        return told[1].decode()

    def _shown(self, enough: Callable[[bytes], object]) -> bytes:
        seen, end = b"", time.monotonic() + PATIENCE
        while not enough(seen):
            assert time.monotonic() < end, seen
            if select.select([self._terminal], [], [], 0.1)[0]:
                seen += os.read(self._terminal, 1 << 16)
        return seen


@contextlib.contextmanager
def prompt(name: str, place: Path, env: dict[str, str]) -> Iterator[Prompt]:
    """A shell of that name; `place`: its home."""
    argv, settings, file = SHELLS[name]
    (place / file).write_text(settings.replace("SHARE", str(SHARE)) + f"PS1='{PROMPT.decode()}'\n")
    own = {"HOME": str(place), "ZDOTDIR": str(place), "TERM": "xterm", "COLUMNS": "200"}
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(place)
        os.execvpe(argv[0], argv, {**env, **own})
    try:
        yield Prompt(terminal)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
