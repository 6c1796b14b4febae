"""The command line: arguments only. Each verb is a module of harness/verbs, imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from harness.errors import EXIT_LAB, EXIT_OK, EXIT_USAGE, HarnessError, LabError, UsageError
from harness.progress import say

# In the order in which a person meets them. One that fails to import leaves the others usable.
VERBS = {
    "doctor": "look over this machine, and install what is missing",
    "fetch": "get and verify the base kernel's source",
    "apply": "make the kernel tree: base plus patches/",
    "build": "configure and compile the kernel",
    "boot": "boot it and give a shell",
    "exec": "run one command in a guest, its exit code passed through",
    "test": "run the tests",
    "calls": "random calls against a model of the contract",
    "demo": "the main job: a fleet of agents, before and after",
    "bench": "what the calls cost, what another domain can time, how densely texts are held",
    "check": "the gates a series passes before it is mailed",
    "export": "write the tree's commits back to patches/",
    "clean": "remove what can be made again",
}
INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except HarnessError as error:
        _explain(error, arguments)
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where this one stopped")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our stdout went away (`harness ... | head`): nothing more can be told to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_LAB
    except OSError as error:
        _explain(LabError(_operating_system(error)), arguments)
        return EXIT_LAB
    except Exception:
        # Python's own exit code for this is 1, which here means that tests failed.
        traceback.print_exc()
        _explain(LabError("a defect of the harness itself, see the lines above"), arguments)
        return EXIT_LAB


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help(), flush=True)
        return EXIT_OK
    verb, *rest = arguments
    if verb not in VERBS:
        say(f"harness: there is no verb {verb!r}; it is one of: {', '.join(VERBS)}")
        return EXIT_USAGE
    code = _run(verb, rest)
    sys.stdout.flush()  # here, where a reader that went away is not a surprise
    return code


def _run(verb: str, rest: list[str]) -> int:
    module = importlib.import_module(f"harness.verbs.{verb}")
    parser = argparse.ArgumentParser(
        prog=f"harness {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    args, unknown = parser.parse_known_args(rest)
    if unknown:
        commands = " (a command's own come after --)" if "command" in args else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{commands}")
    code: int = module.run(args)
    return code


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {summary}" for verb, summary in VERBS.items())
    return f"""usage: harness VERB [options]      (./lab VERB does the same, and sets the machine up first)

{verbs}

`harness VERB --help` lists a verb's options.
Exit codes: 0 good; 1 tests failed; 2 usage; 3 the kernel is at fault; 4 the laboratory is; 130 interrupted."""


def _operating_system(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def _explain(error: HarnessError, arguments: Sequence[str]) -> None:
    say(f"error: {error.cause}")
    if error.log:
        say(f"  log:  {error.log}")
    say(f"  next: {error.hint or _usual_step(error, arguments)}")


def _usual_step(error: HarnessError, arguments: Sequence[str]) -> str:
    if error.log:
        return f"less {error.log}"
    if isinstance(error, UsageError):
        return f"harness {arguments[0]} --help"
    return "harness doctor (looks at disk, memory and tools)"


if __name__ == "__main__":
    sys.exit(main())
