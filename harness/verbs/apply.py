"""Makes the kernel tree of this checkout, .work/linux: the base with patches/ on the branch agent_mem.

Run again, it does nothing if branch and patches are equal, and refuses to throw away work that is not exported.
"""

from __future__ import annotations

import argparse
import json

from harness import tree
from harness.progress import say, step

SUMMARY = "make the kernel tree: base plus patches/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="save unexported work as a backup branch, and go on")
    parser.add_argument("--json", action="store_true", help="print tree, commit and number of patches as JSON")


def run(args: argparse.Namespace) -> int:
    with step("apply") as under_way:
        done = tree.apply(own_work="save" if args.force else "refuse", update=under_way.update)
    say(f"{done.tree}: {done.patches} patches on the base, {'made now' if done.changed else 'as it was'}")
    if done.backup:
        say(f"the work that was there is the branch {done.backup}")
    if args.json:
        print(
            json.dumps(
                {
                    "tree": str(done.tree),
                    "commit": done.commit,
                    "patches": done.patches,
                    "changed": done.changed,
                    "backup": done.backup,
                }
            )
        )
    return 0
