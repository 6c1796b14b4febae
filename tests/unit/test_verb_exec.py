"""exec and boot: what is refused before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli
from tests.unit.laboratory import Laboratory


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["exec"], "takes a command"),
        (["exec", "--"], "takes a command"),
        (["exec", "--topology", "cube", "--", "true"], "no topology 'cube'"),
        (["exec", "--push", "nocolon", "--", "true"], "LOCAL:GUEST"),
        (["exec", "--push", ":/x", "--", "true"], "LOCAL:GUEST"),
        (["exec", "--push", "/no/such/file:/x", "--", "true"], "/no/such/file is no file"),
        (["exec", "--push", "/etc/passwd:../x", "--", "true"], "no path of a file in the guest"),
        (["exec", "--pull", "nocolon", "--", "true"], "GUEST:LOCAL"),
        (["exec", "--pull", "/a/../../b:x", "--", "true"], "no path of a file in the guest"),
        (["boot", "--topology", "cube"], "no topology 'cube'"),
    ],
)
def test_wrong_use_is_told_before_anything_is_built(
    laboratory: Laboratory, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.main(arguments) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert not (Path(laboratory.repo) / ".work" / "linux").exists()
