"""Runs one command in a guest: stdin, stdout, stderr and the exact exit code pass through.

It uses the guest of a `harness boot` that runs in this checkout if that has the same kernel and topology, else a fresh
one. Afterwards the console is looked at: a splat ends with exit code 3, even when the command succeeded.

--ssh alone boots a guest with the host's root. --ssh [USER@]HOST[:PORT] boots nothing: the command runs on that machine
by a login as ssh does it (agent, keys, known hosts; HostName, Port, User and IdentityFile of ~/.ssh/config), and its
console is not looked at. Over ssh a command has no stdin. A relative path there begins where the login does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import emulator, initramfs, kernel, share, topology
from harness.errors import EXIT_OK, LabError, UsageError
from harness.guest import Guest
from harness.kernel import Kernel
from harness.progress import say, stderr, step
from harness.share import About
from harness.topology import Topology

if TYPE_CHECKING:
    from harness.ssh import Connection

SUMMARY = "run one command in a guest, its exit code passed through"
MEMORY_MB = 1024
LEAST_MB = topology.BLOCK_MB
CPUS = 2
MOST_CPUS = 16
UMA, LAB = "uma", "lab"  # what a guest is unless asked otherwise
SSH_TIMEOUT = 600.0  # seconds
HOSTROOT = ""  # --ssh without a machine
SILENT = 15.0  # seconds
Pushes = list[tuple[Path, str]]
Pulls = list[tuple[str, Path]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_machine(parser)
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds after which the command is killed: exit 4")
    parser.add_argument("--push", action="append", default=[], metavar="LOCAL:GUEST", help="copy a file in, before")
    parser.add_argument("--pull", action="append", default=[], metavar="GUEST:LOCAL", help="copy a file out, after")
    where = "over ssh: in a guest with the host's root, or on a machine that runs already"
    parser.add_argument("--ssh", nargs="?", const=HOSTROOT, metavar="[USER@]HOST[:PORT]", help=where)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")


def add_machine(parser: argparse.ArgumentParser) -> None:
    """What a guest is: for `boot` as well."""
    parser.add_argument("--topology", default=UMA, metavar="T", help=f"memory (default uma). {topology.described()}")
    parser.add_argument(
        "--memory", type=int, metavar="MB", help=f"memory in MB (default {MEMORY_MB}, least {LEAST_MB})"
    )
    parser.add_argument("--cpus", type=int, metavar="N", help=f"processors, 1 to {MOST_CPUS} (default {CPUS})")
    parser.add_argument("--flavour", default=LAB, metavar="F", help="which kernel (default lab), see harness build")


def run(args: argparse.Namespace) -> int:
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        machine = f"--ssh {args.ssh} -- CMD, or --ssh -- {args.ssh}" if args.ssh else "-- uname -a"
        raise UsageError("exec takes a command", hint=f"harness exec {machine}")
    pushes, pulls = [_push(text) for text in args.push], [_pull(text) for text in args.pull]
    if args.ssh:
        return _elsewhere(args, command, pushes, pulls)
    if args.ssh == HOSTROOT and (pushes or pulls or args.topology != UMA):
        raise UsageError("--ssh goes without --push, --pull and --topology: its root is the host's")
    memory(args.topology, *size(args))
    with _unless_long():
        built = kernel.build(args.flavour)
    if args.ssh == HOSTROOT:
        return _by_ssh(built, args, command)
    with _guest(built, args) as guest:
        for local, inside in pushes:
            guest.push(local, inside)
        code = guest.stream(command, show_stdout, show_stderr, timeout=args.timeout, stdin=piped()).code
        for inside, local in pulls:
            _bring(guest, inside, local, code)
    return code


def size(args: argparse.Namespace) -> tuple[int, int]:
    """Memory in MB and processors, as asked for or by default; UsageError if a guest cannot have that."""
    memory_mb = MEMORY_MB if args.memory is None else args.memory
    cpus = CPUS if args.cpus is None else args.cpus
    if memory_mb < LEAST_MB:
        raise UsageError(f"--memory takes {LEAST_MB} or more (MB), not {memory_mb}")
    if not 1 <= cpus <= MOST_CPUS:
        raise UsageError(f"--cpus takes 1 to {MOST_CPUS}, not {cpus}")
    return memory_mb, cpus


def memory(name: str, memory_mb: int | None = None, cpus: int = CPUS) -> Topology:
    """The topology of that name, with a QEMU for it: before a build, so that an error does not take minutes.

    memory_mb: checked if it is given; None if the caller computes it.
    """
    chosen = topology.named(name)
    if memory_mb is not None:
        chosen.arguments(memory_mb)  # refuses what is too little for this topology's nodes
    least = emulator.least(chosen, cpus)
    if not emulator.at_hand(least):
        with step(f"QEMU {'.'.join(map(str, least))} or newer") as wait:
            emulator.program(least, wait.update)
    return chosen


def about(built: Kernel, args: argparse.Namespace) -> About:
    return About(built.key, args.topology, *size(args))


def start(built: Kernel, args: argparse.Namespace) -> Guest:
    """Boots a guest of our own."""
    wanted = about(built, args)
    with step(f"boot {built.release}"):
        return Guest.start(built, topology=wanted.topology, memory_mb=wanted.memory_mb, cpus=wanted.cpus)


def _guest(built: Kernel, args: argparse.Namespace) -> Guest:
    any_size = args.memory is None and args.cpus is None
    with _unless_long():
        return share.find(about(built, args), built.vmlinux, any_size=any_size) or start(built, args)


@contextlib.contextmanager
def _unless_long() -> Iterator[None]:
    """No word about progress where stderr is no terminal, for there it is the command's own; but after a while, yes."""
    timer = threading.Timer(SILENT, _speak)
    timer.daemon = True
    stderr.quiet = not stderr.is_terminal
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        _speak()


def _speak() -> None:
    stderr.quiet = False


def _by_ssh(built: Kernel, args: argparse.Namespace, command: Sequence[str]) -> int:
    from harness import hostroot  # paramiko takes half a second to import

    memory_mb, cpus = size(args)
    return hostroot.ssh_exec(built, command, memory_mb=memory_mb, cpus=cpus, timeout=args.timeout or SSH_TIMEOUT)


def _elsewhere(args: argparse.Namespace, command: Sequence[str], pushes: Pushes, pulls: Pulls) -> int:
    """On a machine of the user's, as it is: nothing is built or booted."""
    from harness import destination, ssh

    if (args.topology, args.flavour, args.memory, args.cpus) != (UMA, LAB, None, None):
        cause = f"--ssh {args.ssh} goes without --topology, --flavour, --memory and --cpus: that machine runs already"
        raise UsageError(cause, hint="harness exec --ssh [option ...] -- CMD boots a guest of our own")
    place = destination.place(args.ssh)
    try:
        connection = ssh.Connection.open(place, ssh.ALIVE)
    except ssh.Refused as error:
        ours = f"if {args.ssh} is the command: harness exec --ssh -- {shlex.join([args.ssh, *command])}"
        error.hint = ours if isinstance(error.__cause__, socket.gaierror) else f"does `{place.login}` get there?"
        raise
    with connection:
        for local, there in pushes:
            connection.push(local, there)
        timeout = args.timeout or SSH_TIMEOUT
        code = connection.run(command, timeout, sys.stdout.buffer, sys.stderr.buffer)
        for there, local in pulls:
            _bring(connection, there, local, code)
    return code


def _push(text: str) -> tuple[Path, str]:
    local, colon, inside = text.rpartition(":")
    if not colon or not local:
        raise UsageError(f"--push takes LOCAL:GUEST, not {text!r}")
    if not Path(local).is_file():
        raise UsageError(f"{local} is no file")
    initramfs.guest_path(inside)
    return Path(local), inside


def _pull(text: str) -> tuple[str, Path]:
    inside, colon, local = text.partition(":")
    if not colon or not local:
        raise UsageError(f"--pull takes GUEST:LOCAL, not {text!r}")
    initramfs.guest_path(inside)
    return inside, Path(local).absolute()


def _bring(machine: Guest | Connection, inside: str, local: Path, code: int) -> None:
    """A file that is not there because the command failed does not hide that it failed."""
    try:
        machine.pull(inside, local)
    except LabError as error:
        if code == EXIT_OK:
            raise
        say(f"note: {error.cause}")


def piped() -> Iterator[bytes]:
    """Our stdin in parts as they come, nothing if it is a terminal."""
    try:
        if not os.isatty(0):
            yield from iter(lambda: os.read(0, 1 << 16), b"")
    except OSError:  # closed, or nothing that can be read
        return


def show_stdout(part: bytes) -> None:
    sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def show_stderr(part: bytes) -> None:
    sys.stderr.buffer.write(part)
    sys.stderr.buffer.flush()
