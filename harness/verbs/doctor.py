"""Looks over this machine: tools, disk, memory, accelerator, mirror. --fix installs the missing system packages."""

from __future__ import annotations

import argparse
import dataclasses
import json

from harness import doctor
from harness.cache import log_file
from harness.errors import EXIT_LAB, EXIT_OK
from harness.progress import say, step

SUMMARY = "look over this machine, and install what is missing"
MARKS = {"good": "ok  ", "note": "note", "bad": "BAD "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fix", action="store_true", help="install missing system packages first")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    if args.fix:
        with step("install system packages", log_file("doctor")):
            doctor.fix()
    with step("look over the machine") as under_way:
        findings = doctor.examine(under_way.update)
    for finding in findings:
        say(f"{MARKS[finding.state]}  {finding.name}: {finding.text}")
        if finding.cure:
            say(f"      cure: {finding.cure}")
    bad = [finding for finding in findings if finding.state == "bad"]
    if args.json:
        print(json.dumps({"good": not bad, "findings": [dataclasses.asdict(finding) for finding in findings]}))
    return EXIT_LAB if bad else EXIT_OK
