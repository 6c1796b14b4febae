"""Lost options and their reasons, as the kernel's own Kconfig sees them: on the real tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import kbuild, kconfig, tree
from harness.errors import ConfigError

ASKED = """\
CONFIG_LZ4HC_COMPRESS=y
CONFIG_NO_SUCH_OPTION=y
CONFIG_NODES_SHIFT=99
CONFIG_HZ_1000=y
CONFIG_USB_STORAGE=y
"""


@pytest.fixture(scope="module")
def source() -> Path:
    return tree.apply(own_work="keep").tree


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: each configures anew, with the same program."""
    return tmp_path_factory.mktemp("out")


def make_in(out: Path, plan: kbuild.Plan) -> list[str]:
    return [word if not word.startswith("O=") else f"O={out}" for word in kbuild.make_command(plan)]


def test_each_lost_option_is_named_with_its_unmet_dependency(source: Path, out: Path, tmp_path: Path) -> None:
    flavour = kbuild.flavours()["lab"]
    plan = kbuild.Plan(flavour, source, (), "", tmp_path / "log")
    make = make_in(out, plan)
    requests = [*kconfig.read(["base"]), *kconfig.parse(ASKED, "wish.config")]
    with pytest.raises(ConfigError) as caught:
        kconfig.configure(make, out, requests, plan.log, kbuild.environment(plan))
    said = {line.split("=")[0].strip(): line for line in caught.value.cause.splitlines()[1:]}
    assert set(said) == {f"CONFIG_{request.name}" for request in kconfig.parse(ASKED, "wish.config")}
    assert "other options select it" in said["CONFIG_LZ4HC_COMPRESS"]
    assert "no such option" in said["CONFIG_NO_SUCH_OPTION"]
    assert "it is 10" in said["CONFIG_NODES_SHIFT"]
    assert "another member of its choice" in said["CONFIG_HZ_1000"]
    assert "needs" in said["CONFIG_USB_STORAGE"] and "USB [=n]" in said["CONFIG_USB_STORAGE"]
    assert "wish.config:4" in said["CONFIG_HZ_1000"]


HERE = [name for name, one in kbuild.flavours().items() if not one.cross]  # the machine has these compilers


@pytest.mark.parametrize("name", HERE)
def test_every_flavour_configures_and_all_its_options_survive(
    name: str, source: Path, out: Path, tmp_path: Path
) -> None:
    plan = kbuild.plan(source, kbuild.flavours()[name], tmp_path / "log")
    (out / ".config").unlink(missing_ok=True)
    config = kconfig.configure(make_in(out, plan), out, plan.requests, plan.log, kbuild.environment(plan))
    assert not kconfig.lost(plan.requests, config.read_text())
