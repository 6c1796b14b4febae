"""Runs the gates of ci/gates on patches/ and the branch: what a series must pass before it is mailed."""

from __future__ import annotations

import argparse
import json

from harness import gates
from harness.errors import EXIT_OK, EXIT_TESTS_FAILED
from harness.progress import say, step

SUMMARY = "the gates a series passes before it is mailed"
SHOWN = 10  # complaints of one gate on the screen; --json has all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--each-patch", action="store_true", help="build the kernel after every patch, too")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")


def run(args: argparse.Namespace) -> int:
    verdicts: list[gates.Verdict] = []
    with step("check") as under_way:
        for verdict in gates.run(gates.read(), under_way.update):
            _show(verdict)
            verdicts.append(verdict)
        if args.each_patch and all(verdict.good for verdict in verdicts):
            for verdict in gates.each_patch(under_way.update):
                _show(verdict)
                verdicts.append(verdict)
    good = all(verdict.good for verdict in verdicts)
    if args.json:
        listed = [
            {"name": v.name, "good": v.good, "items": v.items, "complaints": list(v.complaints)} for v in verdicts
        ]
        print(json.dumps({"good": good, "gates": listed}))
    return EXIT_OK if good else EXIT_TESTS_FAILED


def _show(verdict: gates.Verdict) -> None:
    say(f"{'ok  ' if verdict.good else 'FAIL'}  {verdict.name}: {verdict.summary} ({verdict.items})")
    for complaint in verdict.complaints[:SHOWN]:
        say(f"      {complaint}")
    if len(verdict.complaints) > SHOWN:
        say(f"      and {len(verdict.complaints) - SHOWN} more (--json has all)")
