# SPDX-License-Identifier: MIT
"""How long an object lasts that was put from a shell: somebody has to hold it.

As long as a command that gets the descriptor, as long as a process that is named, or as long as this one runs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence

from agentmem import Smu
from agentmem.command import process
from agentmem.command.trouble import Exit, Trouble, of_system

Make = Callable[[], Smu]
ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def with_command(make: Make, variable: str, command: Sequence[str]) -> int:
    """Becomes the command, which has the descriptor, and the digest in its environment."""
    smu = make()
    os.set_inheritable(smu.fileno(), True)
    os.environ[variable] = smu.hexdigest
    process.become(command)


def with_process(make: Make, pid: int, as_json: bool) -> int:
    """Says what was made and returns; a process in the background holds it until the other one ends."""
    watched = process.opened(pid, "--with=$$ is this shell")
    reader, writer = os.pipe()
    if not os.fork():
        os.close(reader)
        _hold(make, watched, writer, as_json)
    os.close(writer)
    with os.fdopen(reader) as told:
        said, _, failure = told.read().partition("\0")
    if failure:
        raise Trouble(**json.loads(failure))
    if not said:
        raise Trouble("the process that was to hold it has ended")
    sys.stdout.write(said)
    return Exit.DONE


def until_told(make: Make, as_json: bool) -> int:
    """Says what was made and holds it until SIGINT, SIGTERM or SIGHUP."""
    with make() as smu:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        sys.stdout.write(told(smu, as_json))
        sys.stdout.flush()
        signal.sigwait(ENDS)
    return Exit.DONE


def told(smu: Smu, as_json: bool) -> str:
    if not as_json:
        return f"{smu.hexdigest}\n"
    facts = {"digest": smu.hexdigest, "length": len(smu), "dedup": smu.dedup, "delta": smu.delta}
    return json.dumps(facts) + "\n"


def _hold(make: Make, watched: int, writer: int, as_json: bool) -> None:
    """The child: makes it, tells, and lets go of what is the shell's. Never returns."""
    try:
        smu = make()
    except (OSError, Trouble) as error:
        trouble = of_system(error) if isinstance(error, OSError) else error
        failure = {"cause": trouble.cause, "next": trouble.next, "code": trouble.code}
        os.write(writer, f"\0{json.dumps(failure)}".encode())
        os._exit(trouble.code)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.chdir("/")
    os.write(writer, told(smu, as_json).encode())
    os.close(writer)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    poll.poll()
    smu.close()
    os._exit(Exit.DONE)
