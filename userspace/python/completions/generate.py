# SPDX-License-Identifier: MIT
"""Writes the completions beside this file, from the command's own parser. Needs shtab and the installed package."""

from __future__ import annotations

from pathlib import Path

import shtab

from agentmem.command.parser import build

HERE = Path(__file__).parent
NAMES = {"bash": "agentmem", "zsh": "_agentmem"}
ASKED = {"objects": "objects", "agents": "agents", "either": "objects agents"}
BASH = '_agentmem_{}() {{ compgen -W "$(agentmem _words {} 2>/dev/null)" -- "$1"; }}'
ZSH = '_agentmem_{}() {{ compadd -- ${{(f)"$(agentmem _words {} 2>/dev/null)"}}; }}'


def completion(shell: str) -> str:
    function = BASH if shell == "bash" else ZSH
    preamble = "\n".join(function.format(name, kinds) for name, kinds in ASKED.items())
    return shtab.complete(build(), shell=shell, preamble={shell: preamble})


if __name__ == "__main__":
    for shell, name in NAMES.items():
        (HERE / name).write_text(completion(shell))
