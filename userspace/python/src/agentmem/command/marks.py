# SPDX-License-Identifier: MIT
"""The verb mark: how an object or an agent is used."""

from __future__ import annotations

import sys
from argparse import Namespace

import agentmem
from agentmem import State, Temperature
from agentmem.command import find, show
from agentmem.command.trouble import Exit, Trouble


def mark(args: Namespace) -> int:
    temperature = Temperature[args.temperature.upper()] if args.temperature else None
    state = State[args.state.upper()] if args.state else None
    if find.is_object(args.target):
        if state or args.name:
            raise Trouble("an object has no state and no name; agents have", "agentmem agents", Exit.USAGE)
        _object(args, temperature)
    else:
        how = {"importance": args.importance, "node": args.node, "name": args.name}
        agentmem.mark(temperature, state=state, pid=find.agent(args.target), **how)
    return Exit.DONE


def _object(args: Namespace, temperature: Temperature | None) -> None:
    with find.smu(args.target) as smu:
        smu.mark(temperature, importance=args.importance, node=args.node)
        stats = smu.stats()
    if temperature and stats.temperature < temperature:
        note = f"note: it stays {show.word(stats.temperature)}, as others who hold it say; `agentmem mark PID "
        print(f"{note}{show.word(temperature)}` is for all that an agent holds", file=sys.stderr)
