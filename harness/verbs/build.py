"""Configures and compiles the kernel, or finds it among the finished builds."""

from __future__ import annotations

import argparse
import json
import time

from harness import kbuild, kernel
from harness.progress import say

SUMMARY = "configure and compile the kernel"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    listed = "; ".join(f"{one.name}: {one.summary}" for one in kbuild.flavours().values())
    parser.add_argument("--flavour", default="lab", metavar="F", help=f"which kernel (default lab). {listed}")
    parser.add_argument("--json", action="store_true", help="print image, vmlinux, config, tree and more as JSON")


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    built = kernel.build(args.flavour)
    seconds = time.monotonic() - started
    say(f"{'found' if built.cached else 'built'} Linux {built.release} in {seconds:.1f} s: {built.image}")
    if args.json:
        print(json.dumps(kernel.describe(built, seconds)))
    return 0
