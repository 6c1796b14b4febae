# SPDX-License-Identifier: MIT
"""What may be said: verbs, options, and what completes them."""

from __future__ import annotations

import math
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import NoReturn

from agentmem import State, Temperature, Type
from agentmem.command import explain, figures, flame, marks, objects, process, show
from agentmem.command.columns import NAMES

FILES = {"bash": "_shtab_compgen_files", "zsh": "_files"}
OBJECTS = {"bash": "_agentmem_objects", "zsh": "_agentmem_objects"}
AGENTS = {"bash": "_agentmem_agents", "zsh": "_agentmem_agents"}
EITHER = {"bash": "_agentmem_either", "zsh": "_agentmem_either"}
TAKE_COMMANDS = ("run", "put", "append", "flame")  # after --
TYPES, STATES, TEMPERATURES = ([show.word(each) for each in kinds] for kinds in (Type, State, Temperature))

Verb = Callable[[Namespace], int]


class Version(Action):
    """Looked up when it is asked for: that takes longer than most of what the command does."""

    def __call__(self, parser: ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"agentmem {version('agentmem')}")
        parser.exit()


def build() -> ArgumentParser:
    """The parser of everything but the command after --."""
    about = "Texts of many agents, held once. DIGEST: or the first 6 digits of it. AGENT: a PID or a name."
    parser = ArgumentParser("agentmem", description=about, epilog="man agentmem says more.", allow_abbrev=False)
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, does: Verb, help: str, *, command: str = "") -> ArgumentParser:
        usage = f"agentmem {name} {command}" if command else None
        made = verbs.add_parser(name, help=help, description=help, usage=usage, allow_abbrev=False)
        made.set_defaults(run=does, verb=name)
        return made

    _run(verb("run", _as_agent, "run a command as an agent", command="[OPTION]... NAME -- COMMAND..."))
    _put(verb("put", objects.put, "make an object of a file, and hold it", command="[OPTION]... FILE [-- COMMAND...]"))
    get = verb("get", objects.get, "write an object's content")
    _completed(get.add_argument("object", metavar="DIGEST"), OBJECTS)
    _completed(get.add_argument("-o", "--output", metavar="FILE", help="instead of standard output"), FILES)
    words = "[OPTION]... DIGEST FILE [-- COMMAND...]"
    _append(verb("append", objects.append, "make the object with more at its end, and hold it", command=words))
    _share(verb("share", objects.share, "let another agent attach an object"))
    _mark(verb("mark", marks.mark, "say how an object or an agent is used"))
    _stat(verb("stat", figures.stat, "figures of an object, of an agent, or of all"))
    _json(verb("agents", figures.agents, "the agents and what they hold"))
    _top(verb("top", _top_of, "the agents, live"))
    _json(verb("explain", explain.explain, "where the memory is, and what would save more"))
    _flame(verb("flame", flame.flame, "a flame graph of what is put", command="[OPTION]... [-- COMMAND...]"))
    return parser


def _run(verb: ArgumentParser) -> None:
    verb.add_argument("name", metavar="NAME", help="what the agent is called")
    verb.add_argument("-i", "--importance", type=importance, help="1 to 1000: whom to spare when memory is short")
    verb.add_argument("-t", "--idle", metavar="SECONDS", help="without work, and it is idle; 10")
    verb.add_argument("-n", "--no-preload", action="store_true", help="leave its memory alone")


def _put(verb: ArgumentParser) -> None:
    _completed(verb.add_argument("file", metavar="FILE", help="or - for standard input"), FILES)
    _made(verb)
    _completed(verb.add_argument("--base", metavar="DIGEST", help="of similar content: hold the difference"), OBJECTS)
    verb.add_argument("--no-compress", action="store_true", help="for what is compressed already")
    verb.add_argument("--node", type=count, help="preferred NUMA node")
    verb.add_argument("--importance", type=importance, help="1 to 1000; else the agent's")


def _append(verb: ArgumentParser) -> None:
    _completed(verb.add_argument("object", metavar="DIGEST", help="what comes first"), OBJECTS)
    _completed(verb.add_argument("file", metavar="FILE", help="what follows; or - for standard input"), FILES)
    _made(verb)


def _made(verb: ArgumentParser) -> None:
    verb.add_argument("--type", choices=TYPES, help="what the text is")
    lasts = verb.add_mutually_exclusive_group()
    words = "print the digest and return; hold the object until this process ends (--with=$$: this shell)"
    _completed(lasts.add_argument("--with", dest="process", type=pid, metavar="PID", help=words), AGENTS)
    lasts.add_argument("--as", dest="variable", metavar="VARIABLE", help="has the digest, for the command; SMU")
    _json(verb)


def _share(verb: ArgumentParser) -> None:
    _completed(verb.add_argument("object", metavar="DIGEST"), OBJECTS)
    _completed(verb.add_argument("agent", metavar="AGENT"), AGENTS)
    verb.add_argument("--revoke", action="store_true", help="take back what was not claimed yet")


def _mark(verb: ArgumentParser) -> None:
    _completed(verb.add_argument("target", metavar="TARGET", help="an object or an agent"), EITHER)
    verb.add_argument("temperature", nargs="?", choices=TEMPERATURES, help="if nothing is said: hot")
    verb.add_argument("--state", choices=STATES, help="of an agent")
    verb.add_argument("--importance", type=importance, help="1 to 1000: whom to spare when memory is short")
    verb.add_argument("--node", type=node, help="preferred NUMA node; -1: none")
    verb.add_argument("--name", help="of an agent")


def _stat(verb: ArgumentParser) -> None:
    whose = verb.add_mutually_exclusive_group()
    words = "an object or an agent; without it, the sum over this user's agents"
    _completed(whose.add_argument("target", nargs="?", metavar="TARGET", help=words), EITHER)
    whose.add_argument("--system", action="store_true", help="of all users; for root, with the kernel's backend")
    _json(verb)


def _top(verb: ArgumentParser) -> None:
    verb.add_argument("-d", "--interval", type=seconds, default=1.0, metavar="SECONDS", help="between looks; 1")
    verb.add_argument("-s", "--sort", choices=NAMES, default="logical", help="by this column at first; logical")


def _flame(verb: ArgumentParser) -> None:
    words = "all bytes, or those that took no memory"
    verb.add_argument("--by", choices=("bytes", "saved"), default="bytes", help=words)
    _completed(verb.add_argument("--svg", metavar="FILE", help="draw it there; else: folded stacks"), FILES)
    source = verb.add_mutually_exclusive_group()
    source.add_argument("--seconds", type=seconds, help="how long to record; else until ^C, or until the command ends")
    _completed(source.add_argument("--read", metavar="TRACE", help="not record, but read what trace_pipe gave"), FILES)
    _json(verb)


def _json(verb: ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="for programs")


def _completed(action: Action, how: dict[str, str]) -> None:
    action.complete = how  # type: ignore[attr-defined]  # shtab reads it


def _as_agent(args: Namespace) -> int:
    options = [f"--importance={args.importance}"] if args.importance else []
    options += [f"--idle={args.idle}"] if args.idle else []
    options += ["--no-preload"] if args.no_preload else []
    process.run([*options, args.name, "--", *args.command])


def _top_of(args: Namespace) -> int:
    from agentmem.command.top import top  # not before it is asked for: it needs a library, and takes its time

    return top(args)


# -- values --


def importance(word: str) -> int:
    return _within(word, 1, 1000)


def count(word: str) -> int:
    return _within(word, 0, 1 << 20)


def node(word: str) -> int:
    return _within(word, -1, 1 << 20)


def pid(word: str) -> int:
    return _within(word, 1, 1 << 22)


def seconds(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0.05 <= value <= 1e6:
        raise ArgumentTypeError(f"{word}: seconds, 0.05 or more")
    return value


def _within(word: str, least: int, most: int) -> int:
    try:
        value = int(word)
    except ValueError:
        raise ArgumentTypeError(f"{word}: not a number") from None
    if not least <= value <= most:
        raise ArgumentTypeError(f"{word}: not from {least} to {most}")
    return value
