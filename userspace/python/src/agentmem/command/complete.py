# SPDX-License-Identifier: MIT
"""What a shell's completion asks for: digests of objects that are held, numbers and names of agents."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from agentmem.command import figures, holdings, show

VERB = "_words"


def words(kinds: Sequence[str]) -> int:
    """Prints them, one a line; nothing on any trouble, for a prompt is no place for it."""
    with contextlib.suppress(OSError):
        if "objects" in kinds:
            print("\n".join(holdings.look().objects))
        if "agents" in kinds:
            for pid, stats in figures.snapshot().items():
                print(pid)
                if stats.name and show.plain(stats.name) == stats.name and " " not in stats.name:
                    print(stats.name)
    return 0
