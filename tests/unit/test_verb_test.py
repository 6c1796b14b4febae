"""`harness test` and each of its ends, on directories of throw-away tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cache import REPO

GOOD = "def test_good(): pass\n"
BAD = "def test_bad(): assert 1 + 1 == 3\n"
IMPORTS = (
    "from harness.errors import BuildError, GuestFault, LabError, UsageError\nfrom pathlib import Path\nimport pytest\n"
)
SPLAT = IMPORTS + "def test_splat(): raise GuestFault('a WARN', log=Path('console.log'), hint='less console.log')\n"
LATE = IMPORTS + "@pytest.fixture\ndef end():\n yield\n raise GuestFault('late')\ndef test_it(end): pass\n"
TROUBLE = IMPORTS + "def test_trouble(): raise LabError('QEMU is gone', hint='harness doctor')\n"
AT_A_TIME = pytest.mark.parametrize("jobs", ["1", "2"])


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    junit: Path

    def json(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.out)
        return told

    def names(self) -> list[str]:
        return [case.get("name", "") for case in ElementTree.parse(self.junit).iter("testcase")]


def command(place: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", "test", "--out", str(place / "out"), *arguments]


def outside() -> dict[str, str]:
    """An environment without what this very session was started with."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def hears_ctrl_c() -> None:
    """Also where this very session was started in the background of a shell."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def invoke(place: Path, *arguments: str) -> Ended:
    argv = command(place, *arguments)
    done = subprocess.run(
        argv, capture_output=True, text=True, cwd=REPO, env=outside(), timeout=120, stdin=subprocess.DEVNULL
    )
    return Ended(done.returncode, done.stdout, done.stderr, place / "out" / "junit.xml")


def harness_test(place: Path, *arguments: str, **files: str) -> Ended:
    """Runs the verb on test files of that content. The directory is outside of the repository."""
    for name, content in files.items():
        (place / f"{name}.py").write_text(content)
    return invoke(place, *arguments, str(place))


def test_all_good(tmp_path: Path) -> None:
    ended = harness_test(tmp_path, test_one=GOOD)
    assert ended.code == 0
    assert "1 passed" in ended.out.splitlines()[-1]
    assert ended.names() == ["test_good"]


def test_json_is_alone_on_stdout(tmp_path: Path) -> None:
    ended = harness_test(tmp_path, "--json", test_one=GOOD + "def test_loud(): print('loud')\n", test_two=BAD)
    assert ended.code == 1
    told = ended.json()
    assert (told["passed"], told["failed"], told["skipped"], told["errors"]) == (2, 1, 0, 0)
    assert told["seconds"] > 0
    assert Path(told["junit"]) == ended.junit
    (failure,) = told["failures"]
    assert failure["name"].endswith("test_two.py::test_bad")
    assert "assert (1 + 1) == 3" in failure["message"]
    assert "1 failed, 2 passed" in ended.err


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (BAD, 1, "assert (1 + 1) == 3"),
        (SPLAT, 3, "a WARN"),
        (TROUBLE, 4, "QEMU is gone"),
        (BAD + SPLAT, 3, "2 failed"),
        (BAD + TROUBLE, 4, "2 failed"),
        (SPLAT + TROUBLE, 3, "2 failed"),
        (
            IMPORTS + "@pytest.fixture\ndef kernel(): raise BuildError('no kernel')\ndef test_it(kernel): pass\n",
            3,
            "no kernel",
        ),
        (IMPORTS + "@pytest.fixture\ndef guest(): raise LabError('no QEMU')\ndef test_it(guest): pass\n", 4, "no QEMU"),
        (LATE, 3, "late"),
        (IMPORTS + "def test_caught():\n with pytest.raises(GuestFault): raise GuestFault('x')\n" + BAD, 1, "1 failed"),
        ("def test_full(): raise OSError(28, 'No space left on device')\n", 4, "No space left"),
        (IMPORTS + "def test_usage(): raise UsageError('patches/optional is empty')\n", 1, "patches/optional"),
    ],
)
def test_whose_fault_it_is(tmp_path: Path, content: str, code: int, said: str) -> None:
    ended = harness_test(tmp_path, test_one=GOOD, test_two=content)
    assert ended.code == code
    assert said in ended.out
    assert "error: " in ended.err and str(ended.junit) in ended.err


def test_a_kernel_failure_tells_its_log_and_no_python(tmp_path: Path) -> None:
    ended = harness_test(tmp_path, test_one=SPLAT)
    assert "a WARN\nlog: console.log\nnext: less console.log\n" in ended.out
    assert "raise GuestFault" not in ended.out


def test_laboratory_trouble_tells_the_next_step(tmp_path: Path) -> None:
    assert "next: harness doctor" in harness_test(tmp_path, test_one=TROUBLE).out


@pytest.mark.parametrize(
    ("files", "arguments"),
    [
        ({}, ()),
        ({"test_one": "x = 1\n"}, ()),
        ({"test_one": GOOD}, ("-k", "another")),
        ({"test_one": IMPORTS + "@pytest.mark.long\n" + GOOD}, ()),
    ],
    ids=["no-file", "no-test", "none-chosen", "only-long"],
)
def test_nothing_ran_is_no_success(tmp_path: Path, files: dict[str, str], arguments: tuple[str, ...]) -> None:
    ended = harness_test(tmp_path, *arguments, **files)
    assert ended.code == 4
    assert ("no test ran that matches -k another" if "-k" in arguments else "error: no test ran\n") in ended.err


SKIPS = IMPORTS + "@pytest.mark.skip(reason='no tool')\ndef test_skipped(): pass\n"


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (SKIPS, 4, "0 failed, 0 errors, 1 skipped; "),
        (SKIPS + "def test_other(): pytest.skip('no tool')\n", 4, "2 skipped; "),
        (IMPORTS + "pytest.skip('no tool', allow_module_level=True)\n", 4, "1 skipped; "),
        (IMPORTS + "@pytest.mark.xfail\n" + BAD, 4, "1 skipped; "),
        (SKIPS + BAD, 4, "1 failed, 0 errors, 1 skipped; "),
        (SKIPS + SPLAT, 3, "1 skipped; the kernel is at fault"),
        (SKIPS + TROUBLE, 4, "1 skipped; the laboratory is at fault"),
    ],
    ids=["marked", "in-the-test", "module", "expected-to-fail", "and-failed", "and-splat", "and-trouble"],
)
def test_a_skipped_test_is_the_laboratorys_fault(tmp_path: Path, content: str, code: int, said: str) -> None:
    ended = harness_test(tmp_path, test_one=GOOD, test_two=content)
    assert ended.code == code
    assert said in ended.err and str(ended.junit) in ended.err


@AT_A_TIME
def test_the_hint_of_a_skipped_test_finds_its_reason(tmp_path: Path, jobs: str) -> None:
    ended = harness_test(tmp_path, "--jobs", jobs, test_one=SKIPS)
    (command,) = re.findall(r"next: (grep .*)", ended.err)
    assert "no tool" in subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60).stdout


def test_long_tests_run_with_all(tmp_path: Path) -> None:
    long = IMPORTS + "@pytest.mark.long\ndef test_long(): pass\n"
    assert harness_test(tmp_path, test_one=GOOD, test_two=long).names() == ["test_good"]
    assert harness_test(tmp_path, "--all").names() == ["test_good", "test_long"]


def test_a_misspelt_marker_is_an_error(tmp_path: Path) -> None:
    assert harness_test(tmp_path, test_one=IMPORTS + "@pytest.mark.lnog\n" + GOOD).code == 4


@pytest.mark.parametrize(
    "files",
    [
        {"conftest": "import no_such_module\n"},
        {"conftest": "raise RuntimeError('broken')\n"},
        {"conftest": "def pytest_runtest_protocol(item): raise RuntimeError('broken')\n"},
        {"conftest": "def pytest_collection_modifyitems(items): 1 / 0\n"},
        {"conftest": "import os\ndef pytest_runtest_setup(item): os._exit(0)\n"},
        {"conftest": "import os\ndef pytest_runtest_setup(item): os.abort()\n"},
        {"test_broken": "import no_such_module\n"},
        {"test_broken": "def test_x(:\n"},
        {"test_broken": IMPORTS + "raise LabError('no tree')\n"},
    ],
)
def test_what_does_not_load_or_breaks_pytest_is_the_laboratorys_fault(tmp_path: Path, files: dict[str, str]) -> None:
    ended = harness_test(tmp_path, test_one=GOOD, **files)
    assert ended.code == 4
    assert "error: " in ended.err


def test_a_series_that_does_not_apply_is_the_kernels_fault_and_the_rest_is_tested(tmp_path: Path) -> None:
    broken = "from harness.errors import ApplyError\nraise ApplyError('0003 does not apply')\n"
    ended = harness_test(tmp_path, "--json", test_one=GOOD, test_tree=broken)
    assert ended.code == 3
    assert (ended.json()["passed"], ended.json()["errors"]) == (1, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("/no/such/file",),
        ("-k", "not (", "tests/tree"),
        ("--unit-kernel", "tests/unit"),
        ("--topology", "ring"),
        ("-k",),
        ("--jobs", "0"),
    ],
)
def test_wrong_arguments_are_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert invoke(tmp_path, *arguments).code == 2


def test_a_test_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(GOOD + BAD)
    ended = invoke(tmp_path, f"{tmp_path}/test_one.py::test_good")
    assert (ended.code, ended.names()) == (0, ["test_good"])


def test_a_hanging_test_ends_and_the_next_one_runs(tmp_path: Path) -> None:
    hang = IMPORTS + "import time\n@pytest.mark.timeout(1)\ndef test_hang(): time.sleep(100)\n" + GOOD
    ended = harness_test(tmp_path, "--json", test_one=hang)
    assert ended.code == 1
    assert (ended.json()["passed"], ended.json()["failed"]) == (1, 1)
    assert "Timeout" in ended.json()["failures"][0]["message"]


@AT_A_TIME
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_tears_down_and_leaves_the_junit_file(tmp_path: Path, sig: signal.Signals, jobs: str) -> None:
    waits = f"""\
import time, pytest
from pathlib import Path
HERE = Path({str(tmp_path)!r})
@pytest.fixture
def guest():
    yield
    (HERE / "torn-down").touch()
def test_waits(guest):
    (HERE / "waiting").touch()
    time.sleep(100)
"""
    told = f"""\
import os
from pathlib import Path
def pytest_runtest_logfinish():
    if "PYTEST_XDIST_WORKER" not in os.environ:
        Path({str(tmp_path)!r}, "told").touch()
"""
    (tmp_path / "conftest.py").write_text(told)
    (tmp_path / "test_one.py").write_text(GOOD + waits)
    process = subprocess.Popen(
        command(tmp_path, "--jobs", jobs, str(tmp_path)),
        cwd=REPO,
        env=outside(),
        stdout=subprocess.DEVNULL,
        preexec_fn=hears_ctrl_c,
    )
    assert appears(tmp_path / "waiting") and appears(tmp_path / "told")
    process.send_signal(sig)
    assert process.wait(30) == (130 if sig == signal.SIGINT else -signal.SIGTERM)
    assert appears(tmp_path / "torn-down")
    assert appears(tmp_path / "out" / "junit.xml")
    assert 'name="test_good"' in (tmp_path / "out" / "junit.xml").read_text()


def appears(path: Path) -> bool:
    end = time.monotonic() + 30
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.exists()


@AT_A_TIME
def test_results_are_tied_to_the_checkout(tmp_path: Path, jobs: str) -> None:
    ended = harness_test(tmp_path, "--jobs", jobs, test_one=GOOD)
    properties = {one.get("name"): one.get("value") for one in ElementTree.parse(ended.junit).iter("property")}
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, text=True, check=True)
    assert properties["repository.commit"] == head.stdout.strip()
    assert properties["repository.changed"] in ("True", "False")
    assert len(properties) == len(list(ElementTree.parse(ended.junit).iter("property")))


@AT_A_TIME
def test_results_are_tied_to_the_kernel_they_used(tmp_path: Path, jobs: str) -> None:
    uses = """\
import pytest
from pathlib import Path
from harness.kernel import Kernel
@pytest.fixture
def kernel():
    here = Path()
    return Kernel("lab", "x86", "the-key", "7.3.4", here, here, here, here, here)
def test_with(kernel): pass
def test_without(): pass
"""
    junit = ElementTree.parse(harness_test(tmp_path, "--jobs", jobs, test_one=uses).junit)
    found = {
        case.get("name"): [(one.get("name"), one.get("value")) for one in case.iter("property")]
        for case in junit.iter("testcase")
    }
    assert found == {"test_with": [("kernel", "the-key")], "test_without": []}


@AT_A_TIME
def test_slow_preparations_are_seen_while_they_run(tmp_path: Path, jobs: str) -> None:
    slow = """\
import pytest
from harness.progress import step
from harness.pytest_lab import visible
@pytest.fixture(scope="session")
def built(pytestconfig):
    with visible(pytestconfig), step("build lab"):
        pass
def test_it(built): pass
"""
    assert "build lab: done" in harness_test(tmp_path, "--jobs", jobs, test_one=slow).err


def test_without_paths_the_fast_ones_come_first() -> None:
    from harness.verbs import test

    assert test.STAGES == ("unit", "native", "tree", "kunit", "guest")
    assert all((REPO / "tests" / stage).is_dir() for stage in test.STAGES)


# -- several at a time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "code"), [(GOOD, 0), (BAD, 1), (BAD + SPLAT, 3), (BAD + TROUBLE, 4), (LATE, 3)])
def test_a_worker_tells_whose_fault_it_is(tmp_path: Path, content: str, code: int) -> None:
    ended = harness_test(tmp_path, "--jobs", "2", "--json", test_one=GOOD, test_two=content)
    assert ended.code == code
    assert bool(ended.json()["failures"]) == (code != 0)
    assert "test_good" in ended.names()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"conftest": "import os\ndef pytest_runtest_setup(item): os._exit(0)\n"}, 4),
        ({"conftest": "def pytest_collection_modifyitems(items): 1 / 0\n"}, 4),
        ({"conftest": "def pytest_runtest_protocol(item): return True\n"}, 4),
        ({"test_broken": "import no_such_module\n"}, 4),
        ({"test_broken": "from harness.errors import ApplyError\nraise ApplyError('0003 does not apply')\n"}, 3),
    ],
    ids=["worker-dies", "listing-breaks", "test-is-lost", "does-not-load", "does-not-apply"],
)
def test_what_breaks_a_worker_is_no_success(tmp_path: Path, files: dict[str, str], code: int) -> None:
    ended = harness_test(tmp_path, "--jobs", "2", test_one=GOOD, **files)
    assert ended.code == code
    assert "error: " in ended.err


MEETS = """\
import time
from pathlib import Path
import pytest
HERE = Path(__file__).parent
def meet(mine, other):
    (HERE / mine).touch()
    end = time.monotonic() + 30
    while not (HERE / other).exists():
        assert time.monotonic() < end, "alone"
        time.sleep(0.05)
"""


def test_two_files_are_tested_at_the_same_time(tmp_path: Path) -> None:
    files = {f"test_{mine}": MEETS + f"def test_it(): meet({mine!r}, {other!r})\n" for mine, other in ("ab", "ba")}
    assert harness_test(tmp_path, "--jobs", "2", **files).code == 0


def test_two_kernels_of_a_file_are_tested_at_the_same_time_each_in_order(tmp_path: Path) -> None:
    content = """
SEEN = []
@pytest.fixture(scope="session")
def suite(request):
    meet(request.param, {"lab": "debug", "debug": "lab"}[request.param])
    SEEN.clear()
    return request.param
@pytest.mark.parametrize("case", range(5))
@pytest.mark.parametrize("suite", ["lab", "debug"], indirect=True, scope="session")
def test_case(suite, case):
    SEEN.append(case)
    assert SEEN == list(range(case + 1))
"""
    ended = harness_test(tmp_path, "--jobs", "2", test_one=MEETS + content)
    assert (ended.code, len(ended.names())) == (0, 10), ended.out
