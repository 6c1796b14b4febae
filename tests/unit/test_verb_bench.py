"""Options of `harness bench`, refused before anything is built."""

from __future__ import annotations

import argparse

import pytest

from harness import cli
from harness.errors import UsageError
from harness.verbs import bench


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["tiers", "--profile"], "--profile"),
        (["tiers", "--fleet", "a"], "--fleet"),
        (["density", "--topology", "hmat"], "--topology"),
        (["density", "--quick"], "--quick"),
        (["core", "--corpus", "archive"], "--corpus"),
        (["policy", "--topology", "hmat"], "--topology"),
        (["isolation", "--policy-source", "file"], "--policy-source"),
        (["core", "--only", "node"], "--only"),
    ],
)
def test_an_option_that_a_benchmark_does_not_use_is_refused(
    words: list[str], option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", *words]) == UsageError.exit_code
    assert f"bench {words[0]} takes no {option}" in capfd.readouterr().err


def test_every_option_is_known_to_be_for_some_benchmarks() -> None:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    options = set(vars(parser.parse_args(["core"]))) - {"what", "out", "json"}
    assert options == set(bench.TAKEN_BY)
    assert all(set(takers) <= set(bench.WHAT) for takers in bench.TAKEN_BY.values())
