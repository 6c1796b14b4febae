# SPDX-License-Identifier: MIT
"""The agentmem command: what agents' memory holds, from a shell. `man agentmem` describes it."""

from agentmem.command.main import main

__all__ = ["main"]
