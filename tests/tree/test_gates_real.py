"""The gates that take seconds, on the series as it is; `harness check` has the others, which compile."""

from __future__ import annotations

import pytest

from harness import gates, tree
from harness.pytest_lab import applied

QUICK = ("checkpatch", "kernel-doc", "maintainers")


def test_patches_are_what_the_branch_exports(pytestconfig: pytest.Config) -> None:
    applied(pytestconfig)
    assert gates.exported().complaints == ()


@pytest.mark.parametrize("name", QUICK)
def test_the_series_passes(pytestconfig: pytest.Config, name: str) -> None:
    applied(pytestconfig)
    gate = next(one for one in gates.read() if one.name == name)
    verdict = gates.Runner(tree.main_tree()).run(gate, lambda _: None)
    assert verdict.complaints == ()
    assert verdict.items > 0
