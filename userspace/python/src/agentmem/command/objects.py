# SPDX-License-Identifier: MIT
"""The verbs for one object: put, get, append, share."""

from __future__ import annotations

import contextlib
from argparse import Namespace

import agentmem
from agentmem import Smu, Type
from agentmem.command import content, find, lifetime, process
from agentmem.command.trouble import Exit, Trouble


def put(args: Namespace) -> int:
    def make() -> Smu:
        data, of = content.read(args.file), kind(args.type) or Type.CONVERSATION
        compress = not args.no_compress
        with find.smu(args.base) if args.base else contextlib.nullcontext() as base:
            return agentmem.put(data, of, base=base, compress=compress, node=args.node, importance=args.importance)

    return _last(make, args)


def append(args: Namespace) -> int:
    def make() -> Smu:
        with find.smu(args.object) as base:
            return base.append(content.read(args.file, len(base)), kind(args.type))

    return _last(make, args)


def get(args: Namespace) -> int:
    with find.smu(args.object) as smu, memoryview(smu) as view, process.output(args.output) as out:
        out.write(view)
    return Exit.DONE


def share(args: Namespace) -> int:
    pid = find.agent(args.agent)
    with find.smu(args.object) as smu:
        try:
            smu.share(pid, revoke=args.revoke)
        except FileNotFoundError:
            cause = f"{args.agent}: has no unclaimed grant of it"
            raise Trouble(cause, code=Exit.NOT_FOUND) from None
    return Exit.DONE


def kind(word: str | None) -> Type | None:
    return Type[word.upper().replace("-", "_")] if word else None


def _last(make: lifetime.Make, args: Namespace) -> int:
    """Makes the object, and sees to it that it lasts as long as was asked for."""
    if args.command:
        return lifetime.with_command(make, args.variable, args.command)
    if args.process:
        return lifetime.with_process(make, args.process, args.json)
    return lifetime.until_told(make, args.json)
