# SPDX-License-Identifier: MIT
"""As `python -m agentmem.command`, where the command itself is not on PATH."""

import sys

from agentmem.command.main import main

sys.exit(main())
