"""Boots the kernel and gives an interactive shell in the guest; `exit` or Ctrl-] ends both.

Meanwhile `harness exec -- CMD` of the same checkout runs its commands in this guest. Without a terminal, the shell
reads its commands from stdin. --root host: the host's own file system as the guest's root, by virtme-ng.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import drawing, kernel, share, terminal, topology
from harness.errors import EXIT_OK, UsageError
from harness.kernel import Kernel
from harness.progress import say
from harness.topology import Topology
from harness.verbs.exec import about, add_machine, memory, piped, show_stderr, show_stdout, size, start

SUMMARY = "boot it and give a shell"
SHELL = ("/bin/sh", "-l")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_machine(parser)
    draw = "boot nothing: draw the topology, as text or into an SVG file"
    parser.add_argument("--draw", nargs="?", const="-", metavar="FILE", help=draw)
    parser.add_argument("--root", choices=("initramfs", "host"), default="initramfs", help="what the guest's root is")


def run(args: argparse.Namespace) -> int:
    if args.draw:
        return _draw(topology.named(args.topology), args)
    if args.root == "host" and args.topology != "uma":
        raise UsageError("--root host has plain memory only: it goes without --topology")
    memory(args.topology, *size(args))
    built = kernel.build(args.flavour)
    if args.root == "host":
        return _host_root(built, args)
    with start(built, args) as guest, share.shared(guest, about(built, args)):
        say(f"up in {guest.boot_seconds:.1f} s; the kernel's messages: {guest.console}")
        if terminal.attended():
            say("exit or Ctrl-] ends the guest; harness exec -- CMD runs a command in it")
            terminal.interact(guest, SHELL)
        else:
            guest.stream(SHELL, show_stdout, show_stderr, timeout=None, stdin=piped())
    return EXIT_OK


def _draw(chosen: Topology, args: argparse.Namespace) -> int:
    memory_mb, _ = size(args)
    drawn = drawing.boxes(chosen, memory_mb)
    if args.draw == "-":
        print(drawing.text(drawn), end="")
        return EXIT_OK
    target = Path(args.draw)
    if target.suffix != ".svg":
        raise UsageError(f"--draw writes SVG, into a file *.svg, not {target.name}", hint="--draw alone is text")
    try:
        target.write_text(drawing.svg(drawn))
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
    say(f"drawn: {target}")
    return EXIT_OK


def _host_root(built: Kernel, args: argparse.Namespace) -> int:
    from harness import hostroot

    memory_mb, cpus = size(args)
    return hostroot.shell(built, memory_mb=memory_mb, cpus=cpus)
