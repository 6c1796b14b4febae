# SPDX-License-Identifier: MIT
"""From the command line to an exit status; whatever happens, a user is told in words."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import agentmem
from agentmem.command import complete, parser, process
from agentmem.command.trouble import Exit, Trouble, of_backend, of_system

DEVELOPER = "AGENTMEM_TRACEBACK"  # in the environment: errors of ours as Python tells them


def main(argv: Sequence[str] | None = None) -> int:
    process.standard_streams()
    process.default_signals()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [complete.VERB]:
        return complete.words(words[1:])
    try:
        args = _parse(parser.build(), words)
        _backend()
        status: int = args.run(args)
        sys.stdout.flush()
    except Trouble as trouble:
        return _tell(trouble)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OSError as error:
        process.give_up_output()
        return _tell(of_system(error))
    except Exception as error:  # noqa: BLE001
        if DEVELOPER in os.environ:
            raise
        next = f"{DEVELOPER}=1 shows where; please report it"
        return _tell(Trouble(f"this is a mistake of agentmem's own: {type(error).__name__}: {error}", next))
    return status


def _parse(made: ArgumentParser, words: list[str]) -> Namespace:
    """The command after the first -- is not ours to look at."""
    takes = bool(words) and words[0] in parser.TAKE_COMMANDS and "--" in words
    ours, command = (words[: words.index("--")], words[words.index("--") + 1 :]) if takes else (words, [])
    args, unknown = made.parse_known_args(ours)
    verb: ArgumentParser = args.parser  # its usage is the one to show
    args.command = command
    if unknown:
        note = " (a command and its arguments come after --)" if args.verb in parser.TAKE_COMMANDS and not takes else ""
        verb.error(f"unrecognized arguments: {' '.join(unknown)}{note}")
    if takes and not command:
        verb.error("there is no command after --")
    if args.verb == "run" and not command:
        verb.error(f"there is no command to run: agentmem run {args.name} -- COMMAND")
    if args.verb in ("put", "append"):
        _lasting(verb, args)
    if args.verb == "flame" and command and (args.read or args.seconds):
        verb.error("a command goes without --seconds and --read: recording ends when the command does")
    return args


def _lasting(verb: ArgumentParser, args: Namespace) -> None:
    if args.command and (args.process or args.json):
        verb.error("a command goes without --with and --json: it holds the object, and the output is its own")
    if args.variable and not args.command:
        verb.error(f"--as names a variable for a command, and there is none: agentmem {args.verb} ... -- COMMAND")
    args.variable = args.variable or "SMU"
    if "=" in args.variable or "\0" in args.variable:
        verb.error(f"--as: {args.variable!r} cannot be the name of an environment variable")


def _backend() -> None:
    try:
        agentmem.backend()
    except OSError as error:
        raise of_backend(error) from None


def _tell(trouble: Trouble) -> int:
    print(f"error: {trouble.cause}", file=sys.stderr)
    if trouble.next:
        print(f"next: {trouble.next}", file=sys.stderr)
    return trouble.code
