# SPDX-License-Identifier: MIT
"""What may be said: verbs, options, and what completes them."""

from __future__ import annotations

import math
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
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
DIGEST = "64 hexadecimal digits, or the first 6 or more of an object that is held"
IMPORTANCE = "1 to 1000: the higher, the later its content is evicted when memory is short"
AGENT = "a process id, or an agent's name"
ABOUT = f"""\
Stores texts that many agents hold, each text once.

DIGEST: {DIGEST}
AGENT: {AGENT}"""
MORE = """\
exit status:
  0    done
  1    failed
  2    wrong usage
  3    no such object, agent or process
  4    not available on this system
  126  the command after -- cannot be run
  127  the command after -- was not found
  130  interrupted
  With a command after --, its own exit status.

example:
  prompt=$(agentmem put --with=$$ --type=system-prompt prompt.txt)
  agentmem get "$prompt" | head

man agentmem says more."""
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
    layout = RawDescriptionHelpFormatter
    parser = ArgumentParser("agentmem", description=ABOUT, epilog=MORE, formatter_class=layout, allow_abbrev=False)
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, does: Verb, help: str, *, command: str = "") -> ArgumentParser:
        usage = f"agentmem {name} {command}" if command else None
        made = verbs.add_parser(name, help=help, description=help, usage=usage, allow_abbrev=False)
        made.set_defaults(run=does, verb=name, parser=made)
        return made

    _run(verb("run", _as_agent, "run a command as an agent", command="[OPTION]... NAME -- COMMAND..."))
    _put(verb("put", objects.put, "store a file as an object, and hold it", command="[OPTION]... FILE [-- COMMAND...]"))
    get = verb("get", objects.get, "write an object's content")
    _completed(get.add_argument("object", metavar="DIGEST", help=DIGEST), OBJECTS)
    _completed(
        get.add_argument("-o", "--output", metavar="FILE", help="file to write to (default standard output)"), FILES
    )
    words = "[OPTION]... DIGEST FILE [-- COMMAND...]"
    _append(verb("append", objects.append, "store an object followed by a file, and hold that", command=words))
    _share(verb("share", objects.share, "let another agent attach an object"))
    _mark(verb("mark", marks.mark, "hint how an object or an agent is used"))
    _stat(verb("stat", figures.stat, "show figures of an object, of an agent, or of all"))
    _json(verb("agents", figures.agents, "list the agents and what they hold"))
    _top(verb("top", _top_of, "show the agents, live"))
    _json(verb("explain", explain.explain, "show where the memory is, and what would save more"))
    _flame(
        verb(
            "flame", flame.flame, "draw a flame graph of what is put or attached", command="[OPTION]... [-- COMMAND...]"
        )
    )
    return parser


def _run(verb: ArgumentParser) -> None:
    verb.add_argument("name", metavar="NAME", type=name, help="name of the agent")
    verb.add_argument("-i", "--importance", type=importance, metavar="N", help=f"{IMPORTANCE} (default 500)")
    words = "the agent is idle after this long without work (default 10)"
    verb.add_argument("-t", "--idle", type=idle, metavar="SECONDS", help=words)
    words = "leave its memory alone: do not load libagentmem-preload.so"
    verb.add_argument("-n", "--no-preload", action="store_true", help=words)


def _put(verb: ArgumentParser) -> None:
    _completed(verb.add_argument("file", metavar="FILE", help="file to store (-: standard input)"), FILES)
    _made(verb, "conversation")
    words = "an object with similar content: store only the difference to it"
    _completed(verb.add_argument("--base", metavar="DIGEST", help=words), OBJECTS)
    verb.add_argument("--no-compress", action="store_true", help="do not compress it: it is compressed already")
    verb.add_argument("--node", type=count, metavar="N", help="preferred NUMA node (default the agent's)")
    verb.add_argument("--importance", type=importance, metavar="N", help=f"{IMPORTANCE} (default the agent's)")


def _append(verb: ArgumentParser) -> None:
    _completed(verb.add_argument("object", metavar="DIGEST", help=f"object that comes first: {DIGEST}"), OBJECTS)
    _completed(verb.add_argument("file", metavar="FILE", help="file that follows it (-: standard input)"), FILES)
    _made(verb, "that of DIGEST")


def _made(verb: ArgumentParser, kind: str) -> None:
    verb.add_argument("--type", choices=TYPES, help=f"what the text is (default {kind})")
    lasts = verb.add_mutually_exclusive_group()
    words = "print the digest and return; the object is held until this process ends ($$: this shell)"
    _completed(lasts.add_argument("--with", dest="process", type=pid, metavar="PID", help=words), AGENTS)
    words = "environment variable in which the command finds the digest (default SMU)"
    lasts.add_argument("--as", dest="variable", metavar="VARIABLE", help=words)
    _json(verb)


def _share(verb: ArgumentParser) -> None:
    _completed(verb.add_argument("object", metavar="DIGEST", help=DIGEST), OBJECTS)
    _completed(verb.add_argument("agent", metavar="AGENT", help=AGENT), AGENTS)
    verb.add_argument("--revoke", action="store_true", help="take the grant back, if the agent has not claimed it yet")


def _mark(verb: ArgumentParser) -> None:
    _completed(verb.add_argument("target", metavar="TARGET", help="DIGEST of an object, or AGENT"), EITHER)
    words = "how soon it will be used again (default hot, if no option is given either)"
    verb.add_argument("temperature", nargs="?", choices=TEMPERATURES, help=words)
    verb.add_argument("--state", choices=STATES, help="what the agent is doing")
    verb.add_argument("--importance", type=importance, metavar="N", help=IMPORTANCE)
    verb.add_argument("--node", type=node, metavar="N", help="preferred NUMA node (-1: none)")
    verb.add_argument("--name", type=name, help="new name of the agent")


def _stat(verb: ArgumentParser) -> None:
    whose = verb.add_mutually_exclusive_group()
    words = "DIGEST of an object, or AGENT (default the sum over this user's agents)"
    _completed(whose.add_argument("target", nargs="?", metavar="TARGET", help=words), EITHER)
    whose.add_argument("--system", action="store_true", help="the sum over all users' agents (root, kernel backend)")
    _json(verb)


def _top(verb: ArgumentParser) -> None:
    verb.add_argument(
        "-d", "--interval", type=seconds, default=1.0, metavar="SECONDS", help="time between updates (default 1)"
    )
    verb.add_argument(
        "-s", "--sort", choices=NAMES, default="logical", help="column to sort by at first (default logical)"
    )


def _flame(verb: ArgumentParser) -> None:
    words = "count all bytes, or those that took no memory (default bytes)"
    verb.add_argument("--by", choices=("bytes", "saved"), default="bytes", help=words)
    _completed(verb.add_argument("--svg", metavar="FILE", help="file to draw to (default: print folded stacks)"), FILES)
    source = verb.add_mutually_exclusive_group()
    words = "how long to record (default until ^C, or until the command ends)"
    source.add_argument("--seconds", type=seconds, help=words)
    words = "do not record: read the text of a trace_pipe from this file (-: standard input)"
    _completed(source.add_argument("--read", metavar="TRACE", help=words), FILES)
    _json(verb)


def _json(verb: ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON")


def _completed(action: Action, how: dict[str, str]) -> None:
    action.complete = how  # type: ignore[attr-defined]  # shtab reads it


def _as_agent(args: Namespace) -> int:
    options = [f"--importance={args.importance}"] if args.importance else []
    options += [f"--idle={args.idle:g}"] if args.idle else []
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


def name(word: str) -> str:
    if not word:
        raise ArgumentTypeError("a name has one character or more")
    return word


def seconds(word: str) -> float:
    return _time(word, 0.05, 1e6)


def idle(word: str) -> float:
    """As agentmem-run takes it."""
    return _time(word, 0.01, 86400)


def _time(word: str, least: float, most: float) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ArgumentTypeError(f"{word}: not from {least:g} to {most:g} seconds")
    return value


def _within(word: str, least: int, most: int) -> int:
    try:
        value = int(word)
    except ValueError:
        raise ArgumentTypeError(f"{word}: not a number") from None
    if not least <= value <= most:
        raise ArgumentTypeError(f"{word}: not from {least} to {most}")
    return value
