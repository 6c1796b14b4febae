"""Fragments: what they may say, what they may not, and what the kernel made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import kbuild, kconfig
from harness.errors import ConfigError, UsageError
from tests.unit.laboratory import Laboratory

FINAL = """\
CONFIG_SMP=y
CONFIG_NR_CPUS=16
# CONFIG_KASAN is not set
CONFIG_LOCALVERSION="-lab"
CONFIG_ZRAM=m
"""


def requests(text: str) -> list[kconfig.Request]:
    return kconfig.parse(text, "some.config")


def test_a_fragment_may_hold_options_comments_and_blank_lines() -> None:
    read = requests('# why\n\nCONFIG_SMP=y\nCONFIG_KASAN=n\nCONFIG_NR_CPUS=16\nCONFIG_PHYS=0x1000\nCONFIG_L="-lab"\n')
    assert [(r.name, r.value, r.line) for r in read] == [
        ("SMP", "y", 3),
        ("KASAN", "n", 4),
        ("NR_CPUS", "16", 5),
        ("PHYS", "0x1000", 6),
        ("L", '"-lab"', 7),
    ]


@pytest.mark.parametrize("line", ["CONFIG_SMP", "SMP=y", "CONFIG_SMP=yes", "CONFIG_SMP = y", "CONFIG_X=y # why"])
def test_any_other_line_is_named(line: str) -> None:
    with pytest.raises(UsageError, match="some.config:2"):
        requests(f"CONFIG_OK=y\n{line}\n")


def test_fragments_that_contradict_each_other_are_named_both(tmp_path: Path) -> None:
    (tmp_path / "a.config").write_text("CONFIG_SMP=y\n")
    (tmp_path / "b.config").write_text("# no\nCONFIG_SMP=n\n")
    with pytest.raises(ConfigError, match=r"CONFIG_SMP=y \(a.config:1\) and CONFIG_SMP=n \(b.config:2\)"):
        kconfig.read(["a", "b"], tmp_path)
    with pytest.raises(UsageError, match=r"c\.config"):
        kconfig.read(["a", "c"], tmp_path)


def test_what_was_lost_is_told_with_what_it_became() -> None:
    asked = requests("CONFIG_SMP=y\nCONFIG_KASAN=y\nCONFIG_NR_CPUS=64\nCONFIG_ZRAM=y\nCONFIG_GONE=n\nCONFIG_SMP2=n\n")
    found = kconfig.lost(asked, FINAL)
    assert [(one.request.name, one.actual) for one in found] == [("KASAN", "n"), ("NR_CPUS", "16"), ("ZRAM", "m")]


def test_the_text_of_a_configuration_does_not_depend_on_order() -> None:
    assert kconfig.text(requests("CONFIG_A=y\nCONFIG_B=n\n")) == kconfig.text(requests("CONFIG_B=n\n\nCONFIG_A=y\n"))


def test_every_flavour_reads_and_no_fragment_contradicts_another() -> None:
    used = set[str]()
    for flavour in kbuild.flavours().values():
        assert kconfig.read(flavour.fragments)
        used.update(flavour.fragments)
    assert used == {path.stem for path in kconfig.KCONFIG.glob("*.config")}


def test_an_option_that_does_not_survive_stops_the_build(laboratory: Laboratory) -> None:
    # This tree's allnoconfig keeps what it is given; one option goes missing on the way.
    makefile = laboratory.base / "Makefile"
    loses = "grep -v CONFIG_LOST $(KCONFIG_ALLCONFIG) > $(O)/.config"
    makefile.write_text(makefile.read_text().replace("cp $(KCONFIG_ALLCONFIG) $(O)/.config", loses))
    out, log = laboratory.repo / "out", laboratory.repo / "log"
    out.mkdir()
    make = ["make", "-C", str(laboratory.base), f"O={out}"]
    asked = requests("CONFIG_KEPT=y\nCONFIG_LOST=y\n")
    with pytest.raises(ConfigError, match=r"CONFIG_LOST=y \(some.config:2\) became n") as caught:
        kconfig.configure(make, out, asked, log, {})
    assert caught.value.exit_code == 3
    assert "CONFIG_KEPT" not in caught.value.cause
    assert kconfig.configure(make, out, asked, log, {}, strict=False).read_text() == "CONFIG_KEPT=y\n"
