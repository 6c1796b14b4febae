"""Gates on the series as it is, without a build; `harness check` has the others, which compile."""

from __future__ import annotations

import pytest

from harness import gates, tree
from harness.pytest_lab import applied

GATES = ("kernel-doc", "maintainers", pytest.param("checkpatch", marks=pytest.mark.long))


def test_patches_are_what_the_branch_exports(pytestconfig: pytest.Config) -> None:
    applied(pytestconfig)
    assert gates.exported().complaints == ()


@pytest.mark.parametrize("name", GATES)
def test_the_series_passes(pytestconfig: pytest.Config, name: str) -> None:
    applied(pytestconfig)
    gate = next(one for one in gates.read() if one.name == name)
    verdict = gates.Runner(tree.main_tree()).run(gate, lambda _: None)
    assert verdict.complaints == ()
    assert verdict.items > 0
