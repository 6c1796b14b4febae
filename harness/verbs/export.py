"""Writes the commits of the branch agent_mem back to patches/. Run twice, it changes nothing the second time."""

from __future__ import annotations

import argparse
import json

from harness import tree
from harness.progress import say, step

SUMMARY = "write the tree's commits back to patches/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the changed files as JSON")


def run(args: argparse.Namespace) -> int:
    with step("export"):
        changed = tree.export()
    for name, difference in changed.items():
        say(f"patches/{name}: {difference}" if name != "." else f"patches: {difference}")
    if not changed:
        say("patches/ already holds the branch")
    if args.json:
        print(json.dumps({name: {"written": d.written, "removed": d.stale} for name, d in changed.items()}))
    return 0
