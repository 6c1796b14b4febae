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
        (
            ["exec", "--topology", "cube", "--", "true"],
            "no topology 'cube'; it is one of: uma, hmat, cxl, cxl-switch\n",
        ),
        (["demo", "--topology", "cube"], "harness boot --topology T --draw"),
        (["exec", "--push", "nocolon", "--", "true"], "LOCAL:GUEST"),
        (["exec", "--push", ":/x", "--", "true"], "LOCAL:GUEST"),
        (["exec", "--push", "/no/such/file:/x", "--", "true"], "/no/such/file is no file"),
        (["exec", "--push", "/etc/passwd:../x", "--", "true"], "no path of a file in the guest"),
        (["exec", "--pull", "nocolon", "--", "true"], "GUEST:LOCAL"),
        (["exec", "--pull", "/a/../../b:x", "--", "true"], "no path of a file in the guest"),
        (["exec", "--ssh"], "takes a command"),
        (["exec", "--ssh", "uname"], "or --ssh -- uname"),
        (["exec", "--ssh", "--pull", "/a:b", "--", "true"], "its root is the host's"),
        (["exec", "--ssh", "me@box:ssh", "--", "true"], "takes [USER@]HOST[:PORT]"),
        (["exec", "--ssh", "box", "--topology", "hmat", "--", "true"], "that machine runs already"),
        (["exec", "--ssh", "box", "--memory", "64", "--", "true"], "that machine runs already"),
        (["exec", "--ssh", "box", "--cpus", "1", "--", "true"], "that machine runs already"),
        (["exec", "--ssh", "box", "--flavour", "debug", "--", "true"], "that machine runs already"),
        (["exec", "--cpus", "0", "--", "true"], "--cpus takes 1 to 16, not 0"),
        (["exec", "--memory", "0", "--", "true"], "--memory takes 128 or more (MB), not 0"),
        (["exec", "--ssh", "--cpus", "17", "--", "true"], "--cpus takes 1 to 16, not 17"),
        (["exec", "--topology", "hmat", "--memory", "255", "--", "true"], "needs --memory 256 or more, not 255"),
        (["boot", "--topology", "cube"], "no topology 'cube'"),
        (["boot", "--cpus", "0"], "--cpus takes 1 to 16, not 0"),
        (["boot", "--memory", "127"], "--memory takes 128 or more (MB), not 127"),
        (["boot", "--draw", "--memory", "0"], "--memory takes 128 or more (MB), not 0"),
        (["boot", "--root", "host", "--topology", "hmat"], "it goes without --topology"),
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


def test_a_commands_own_options_come_after_the_dashes(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["exec", "--ssh", "uname", "-a"])
    assert "unrecognized arguments: -a (a command's own come after --)" in capfd.readouterr().err
