"""Gets the base kernel's source, verifies it, and keeps it as a pristine git repository.

Without --source: what this checkout chose before, else the machine's own Debian mirror, else kernel.org.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from harness import source
from harness.cache import log_file
from harness.progress import say, step

SUMMARY = "get and verify the base kernel's source"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", metavar="TREE|TARBALL|debian|kernel.org", help="where to take it from")
    parser.add_argument("--json", action="store_true", help="print what was got as JSON")


def run(args: argparse.Namespace) -> int:
    with step("fetch", log_file("fetch-unpack")) as under_way:
        base = source.fetch(args.source, under_way.update)
    say(f"base: Linux {base.version} from {base.origin}, commit {base.commit[:12]}, in {base.repository}")
    say(f"verified by {base.verified}" if base.verified else "not verified: nothing vouches for this source but you")
    if base.note:
        say(f"note: {base.note}")
    if args.json:
        print(json.dumps(dataclasses.asdict(base)))
    return 0
