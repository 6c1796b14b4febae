"""./lab: fast when all is ready, once when it is not, and passing everything through."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.cache import REPO

PIP = """#!/bin/sh
# stands where pip would be downloading: notes that it ran, and how often
echo "$@" >> "{notes}"
[ -e "{notes}.fail" ] && exit 1
exit 0
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What ./lab needs, with a python3 that makes an empty environment instead of one from the network."""
    here = tmp_path / "checkout"
    (here / "ci").mkdir(parents=True)
    for name in ("lab", "requirements.txt", "pyproject.toml", "ci/packages.sh"):
        shutil.copy(REPO / name, here / name)
    (here / "ci" / "packages.txt").write_text("have cmd:sh is there\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    notes = tmp_path / "notes"
    (tmp_path / "pip").write_text(PIP.format(notes=notes))
    (tmp_path / "pip").chmod(0o755)
    python = tools / "python3"
    python.write_text(
        "#!/bin/sh\nrm -rf .venv; mkdir -p .venv/bin\n"
        f"cp {tmp_path}/pip .venv/bin/pip\nln -s /usr/bin/env .venv/bin/python\n"
        "printf '%s\\n' '#!/bin/sh' 'echo \"$@\"' 'exit 7' > .venv/bin/harness\nchmod +x .venv/bin/harness\n"
    )
    python.chmod(0o755)
    return here


def lab(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(checkout / "lab"), *arguments]
    return subprocess.run(command, env=environment(checkout), cwd="/", capture_output=True, text=True)


def environment(checkout: Path) -> dict[str, str]:
    bin_ = checkout.parent / "bin"
    return {**os.environ, "PATH": f"{checkout.parent / 'tools'}:{bin_}:{os.environ['PATH']}", "LAB_BIN": str(bin_)}


def installs(checkout: Path) -> int:
    notes = checkout.parent / "notes"
    return len(notes.read_text().splitlines()) if notes.exists() else 0


def test_arguments_and_exit_code_pass_through(checkout: Path) -> None:
    done = lab(checkout, "exec", "--", "a b", "*")
    assert (done.stdout, done.returncode) == ("exec -- a b *\n", 7)


def test_the_second_run_installs_nothing_and_is_fast(checkout: Path) -> None:
    lab(checkout)
    before = installs(checkout)
    assert before == 2
    started = time.monotonic()
    lab(checkout)
    assert time.monotonic() - started < 0.3
    assert installs(checkout) == before


@pytest.mark.parametrize("name", ["lab", "requirements.txt", "pyproject.toml", "ci/packages.txt"])
def test_what_the_environment_depends_on_makes_it_anew(checkout: Path, name: str) -> None:
    lab(checkout)
    with (checkout / name).open("a") as stream:
        stream.write("# one line more\n")
    lab(checkout)
    assert installs(checkout) == 4


def test_an_interrupted_installation_is_done_again(checkout: Path) -> None:
    (checkout.parent / "notes.fail").touch()
    failed = lab(checkout)
    assert failed.returncode == 4
    assert "venv.log" in failed.stderr
    assert not (checkout / ".venv" / "ready").exists()
    (checkout.parent / "notes.fail").unlink()
    assert lab(checkout, "boot").returncode == 7


def test_a_moved_checkout_gets_its_own_environment(checkout: Path) -> None:
    lab(checkout)
    moved = checkout.with_name("moved")
    checkout.rename(moved)
    lab(moved)
    assert installs(moved) == 4


def test_two_at_once_install_once(checkout: Path) -> None:
    runs = [
        subprocess.Popen([str(checkout / "lab")], env=environment(checkout), stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [run.wait() for run in runs] == [7, 7]
    assert installs(checkout) == 2


def test_afterwards_harness_is_an_ordinary_command(checkout: Path) -> None:
    lab(checkout)
    done = subprocess.run(["harness", "boot"], env=environment(checkout), cwd="/", capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("boot\n", 7)


def test_another_programs_harness_is_left_alone(checkout: Path) -> None:
    other = checkout.parent / "bin" / "harness"
    other.parent.mkdir()
    other.write_text("not ours")
    assert lab(checkout).returncode == 7
    assert other.read_text() == "not ours"


@pytest.mark.parametrize("name", ["lab", "ci/packages.sh"])
def test_the_scripts_are_plain_sh(name: str) -> None:
    subprocess.run(["dash", "-n", str(REPO / name)], check=True)


def test_ci_runs_the_tests() -> None:
    assert "exec ./lab test" in (REPO / ".ci" / "run").read_text()
    assert os.access(REPO / ".ci" / "run", os.X_OK)
