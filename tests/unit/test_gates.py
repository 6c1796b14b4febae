"""Gates: their files, what counts as a complaint, and that a tool which did not run is not a pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import gates, git, kbuild, tree
from harness.cache import REPO
from harness.errors import UsageError
from harness.verbs import check
from tests.unit.laboratory import Laboratory


def gate(tmp_path: Path, text: str) -> gates.Gate:
    (tmp_path / "one.toml").write_text(text)
    return gates.read(tmp_path)[0]


def test_the_repositorys_own_gates_read() -> None:
    names = {one.name for one in gates.read()}
    assert {"checkpatch", "kernel-doc", "maintainers", "sparse", "warnings"} <= names
    assert all(exemption.reason for one in gates.read() for exemption in one.exceptions)


def test_a_compiler_that_a_gate_needs_is_listed_or_documented() -> None:
    told = (REPO / "ci" / "packages.txt").read_text() + (REPO / "docs" / "dependencies.md").read_text()
    crosses = [flavour.cross for flavour in kbuild.flavours().values() if flavour.cross]
    assert crosses
    assert [cross for cross in crosses if f"gcc-{cross.rstrip('-')}" not in told] == []


@pytest.mark.parametrize(
    "text",
    [
        "summary = ",
        'summary = "s"\nover = "patch"\n',
        'summary = "s"\nover = "patch"\ncommand = ["true"]\n',
        'summary = "s"\nover = "patch"\ncommand = ["true"]\nmake = ["W=1"]\ncomplaint = "x"\n',
        'summary = "s"\nover = "patch"\ncommand = ["true"]\ncomplaint = "("\n',
        'summary = "s"\nover = "patch"\ncommand = ["true"]\ncomplaint = "x"\nunknown = 1\n',
        'summary = "s"\nover = "patch"\ncommand = ["true"]\ncomplaint = "x"\n[[exception]]\nmatch = "y"\n',
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"one\.toml"):
        gate(tmp_path, text)


def test_an_object_belongs_to_a_kernel_whose_configuration_has_it(tmp_path: Path) -> None:
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm" / "Makefile").write_text(
        "obj-y += always.o\nobj-$(CONFIG_ONE) += first.o \\\n\t\t  one.o\nobj-$(CONFIG_TWO) += two.o\n"
    )
    config = "CONFIG_ONE=y\n# CONFIG_TWO is not set\n"
    has = [name for name in ("always", "first", "one", "two") if gates.belongs(tmp_path, f"mm/{name}.o", config)]
    assert has == ["always", "first", "one"]


def test_exceptions_take_lines_out_and_nothing_else(tmp_path: Path) -> None:
    one = gate(
        tmp_path,
        'summary = "s"\nover = "patch"\ncommand = ["true"]\ncomplaint = "WARNING:"\n'
        '[[exception]]\nmatch = "LONG_LINE"\nreason = "a table"\n',
    )
    said = "a:1: WARNING:LONG_LINE: long\na:2: WARNING:TYPO: typo\nall is well\n"
    assert one.complaints(said) == ["a:2: WARNING:TYPO: typo"]


@pytest.fixture
def applied(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """A branch with one commit, exported; the gates look at these patches."""
    monkeypatch.setattr(gates, "PATCHES", laboratory.patches)
    monkeypatch.setattr(tree.differences, "__kwdefaults__", {"patches": laboratory.patches})
    tree.apply(patches=laboratory.patches)
    laboratory.commit(laboratory.tree, "mm/agent.c", "int agent; /* odd */\n", "mm: agent")
    tree.export(patches=laboratory.patches)
    return laboratory


def verdict(applied: Laboratory, text: str) -> gates.Verdict:
    return gates.Runner(applied.tree).run(gate(applied.cache, text), lambda _: None)


def test_a_command_runs_over_each_added_source(applied: Laboratory) -> None:
    found = verdict(applied, 'summary = "s"\nover = "source"\ncommand = ["grep", "-n", "odd"]\ncomplaint = "odd"\n')
    assert (found.items, found.complaints) == (1, ("agent.c: 1:int agent; /* odd */",))
    missing = verdict(applied, 'summary = "s"\nover = "added"\ncommand = ["cat"]\nrequire = "maintainer"\n')
    assert missing.complaints == ("mm/agent.c: nothing matches maintainer",)
    passes = verdict(applied, 'summary = "s"\nover = "patch"\ncommand = ["cat"]\ncomplaint = "no such text"\n')
    assert (passes.items, passes.good) == (1, True)


def test_a_tool_that_fails_without_a_word_is_no_pass(applied: Laboratory) -> None:
    found = verdict(applied, 'summary = "s"\nover = "source"\ncommand = ["false"]\ncomplaint = "x"\n')
    assert found.complaints == ("mm/agent.c: exit code 1: ",)


def test_make_gates_need_proof_that_the_tool_ran(applied: Laboratory) -> None:
    makefile = applied.tree / "Makefile"
    (applied.tree / "mm" / "Makefile").write_text("obj-y += agent.o\n")
    makefile.write_text(makefile.read_text() + "mm/agent.o:\n\t@echo checking with $(CHECK)\n")
    text = 'summary = "s"\nover = "object"\nmake = ["CHECK=sparse"]\ncomplaint = "warning:"\nrequire = "{}"\n'
    (applied.repo / "kconfig").mkdir()
    assert verdict(applied, text.format("checking with sparse")).good
    assert "did not run" in verdict(applied, text.format("CHECK ")).complaints[0]
    makefile.write_text(makefile.read_text() + "\t@echo mm/agent.c:1: warning: odd; false\n")
    failed = verdict(applied, text.format("checking"))
    assert failed.complaints[0] == "mm/agent.c:1: warning: odd"
    assert "does not build" in failed.complaints[1]


def test_export_and_apply_notice_what_differs(applied: Laboratory) -> None:
    assert gates.exported().good
    assert gates.applies(lambda _: None).good
    patch = next(iter(applied.patches.glob("0001*")))
    good = patch.read_bytes()
    patch.write_bytes(good.replace(b"/* odd */", b"/* new */"))
    assert "harness export" in gates.exported().complaints[0]
    assert gates.applies(lambda _: None).complaints == ("the result differs from the branch",)
    patch.write_bytes(good.replace(b"+int agent", b"int agent"))
    broken = gates.applies(lambda _: None)
    assert "0001-mm-agent.patch does not apply" in broken.complaints[0]
    assert patch.read_bytes() != good  # check never writes patches/
    assert git.is_clean(applied.tree)


def test_the_exit_code_is_that_of_failed_tests(
    applied: Laboratory, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gates, "read", lambda: [])
    import argparse

    arguments = argparse.Namespace(each_patch=False, json=True)
    assert check.run(arguments) == 0
    assert '"good": true' in capfd.readouterr().out
    next(iter(applied.patches.glob("0001*"))).unlink()
    assert check.run(arguments) == 1
    assert '"good": false' in capfd.readouterr().out
