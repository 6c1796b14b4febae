"""Makes random calls in a guest and compares each answer with what a model of the contract predicts.

The same seed makes the same calls. The first failure is shrunk to the calls it takes and written to out/calls/.
Exit codes: 1 an answer is not the predicted one; 3 the kernel printed a splat, panicked or hangs.
"""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path
from typing import Any

from harness import kernel
from harness.cache import REPO
from harness.calls import campaign, failures
from harness.calls.campaign import Report
from harness.calls.failures import Failure
from harness.errors import EXIT_OK, TestsFailed, UsageError
from harness.kernel import Kernel
from harness.progress import say, step

SUMMARY = "random calls against a model of the contract"
COUNT = 100_000
FLAVOURS = ("lab", "debug")
MAX_SEED = 100  # characters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--count", type=int, default=COUNT, metavar="N", help=f"how many calls (default {COUNT})")
    what.add_argument("--replay", type=Path, metavar="FILE", help="run what a failure has left in out/calls/")
    parser.add_argument("--seed", metavar="S", help="what the calls are made from (default: a random one)")
    parser.add_argument("--flavour", default="lab", choices=FLAVOURS, help="which kernel (default lab)")
    parser.add_argument("--out", type=Path, default=REPO / "out" / "calls", metavar="DIR", help="where failures go")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, alone on stdout")


def run(args: argparse.Namespace) -> int:
    if args.count < 1:
        raise UsageError(f"--count takes 1 or more, not {args.count}")
    seed = args.seed or secrets.token_hex(4)
    if len(seed) > MAX_SEED:
        raise UsageError(f"--seed takes {MAX_SEED} characters at most")
    failure = failures.read(args.replay) if args.replay else None  # before the build
    built = kernel.build(args.flavour)
    if failure:
        return _replay(built, failure, args)
    say(f"seed {seed}")
    with step(f"{args.count} calls, seed {seed}") as wait, campaign.start(built) as guest:
        report = campaign.campaign(guest, seed, args.count, args.out.resolve(), built.key, wait.update)
    if args.json:
        print(json.dumps(_as_json(report, built)))
    else:
        say(f"{report.calls} calls in {report.seconds:.0f} s, seed {seed}")
    if report.fault:
        raise failed(report)
    return EXIT_OK


def failed(report: Report) -> TestsFailed:
    """The report of a failure as an error."""
    assert report.fault is not None
    size = f"shrunk to {report.shrunk_to} calls" if report.shrunk_to else "not shrunk: it did not fail again alone"
    cause = f"{report.fault} (seed {report.program}, {size})"
    return TestsFailed(cause, log=report.file, hint=f"harness calls --replay {report.file}")


def _replay(built: Kernel, failure: Failure, args: argparse.Namespace) -> int:
    count = sum(map(len, failure.programs))
    with step(f"{count} calls of seed {failure.seed}") as _, campaign.start(built) as guest:
        found = campaign.replay(guest, failure)
    if args.json:
        fields = {"seed": failure.seed, "calls": count, "faults": [str(fault) for fault in found]}
        print(json.dumps(fields | {"flavour": built.flavour, "kernel": built.key}))
    if found:
        raise TestsFailed(failures.joined(found), log=args.replay)
    say(f"{count} calls: every answer is the predicted one")
    return EXIT_OK


def _as_json(report: Report, built: Kernel) -> dict[str, Any]:
    fault = report.fault
    failure = fault and {
        "program": report.program,
        "file": str(report.file),
        "shrunk_to": report.shrunk_to,
        "index": fault.index,
        "call": fault.call,
        "predicted": fault.predicted,
        "got": fault.got,
    }
    return {
        "seed": report.seed,
        "calls": report.calls,
        "seconds": round(report.seconds, 1),
        "flavour": built.flavour,
        "kernel": built.key,
        "failure": failure,
    }
