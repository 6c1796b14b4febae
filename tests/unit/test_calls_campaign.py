"""A campaign whose guest is in trouble: whose fault that is, and what is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.calls import campaign, failures
from harness.calls.generate import program
from harness.errors import GuestFault, HarnessError, LabError, LabTimeout
from harness.guest import Result


@dataclass
class Guest:
    """Answers each run with the next of `ends`."""

    ends: list[Result | HarnessError]
    console: Path = Path("/console")
    asked: list[bytes] = field(default_factory=list)

    def run(self, argv: list[str], *, timeout: float, stdin: bytes) -> Result:
        self.asked.append(stdin)
        end = self.ends.pop(0)
        if isinstance(end, HarnessError):
            raise end
        return end

    def check(self) -> None:
        pass


@pytest.mark.parametrize("error", [GuestFault("the kernel panicked"), LabTimeout("it took too long")])
def test_what_the_kernel_broke_at_is_written_down(tmp_path: Path, error: HarnessError) -> None:
    guest = Guest([error, error])
    with pytest.raises(type(error), match=error.cause) as caught:
        campaign.campaign(guest, "s", 9000, tmp_path, "key")
    assert caught.value.hint == f"harness calls --replay {tmp_path / 's-0.json'}"
    failure = failures.read(tmp_path / "s-0.json")
    assert failure.programs == (tuple(program("s:0")), tuple(program("s:1")))
    assert failure.fault == error.cause


def test_a_guest_program_that_fails_is_the_laboratory_s_fault(tmp_path: Path) -> None:
    guest = Guest([Result(3, b"", b"calls: mmap: \x1b[1mno\n")] * 3)
    with pytest.raises(LabError, match=r"exit code 3: calls: mmap: \?\[1mno") as caught:
        campaign.campaign(guest, "s", 100, tmp_path, "key")
    assert caught.value.log == Path("/console")


def test_hostile_output_ends_a_campaign(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="makes no sense"):
        campaign.campaign(Guest([Result(0, b"AMRESULT" + b"\xff" * 500, b"")]), "s", 100, tmp_path, "key")


def test_names_of_files_are_tame(tmp_path: Path) -> None:
    guest = Guest([GuestFault("it died")])
    with pytest.raises(GuestFault):
        campaign.campaign(guest, "../../etc/x y", 10, tmp_path, "key")
    assert [path.name for path in tmp_path.iterdir()] == ["------etc-x-y-0.json"]
