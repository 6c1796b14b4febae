"""What can go wrong, and whose fault it is: every error ends in one of the exit codes below."""

from __future__ import annotations

from pathlib import Path

EXIT_OK = 0
EXIT_TESTS_FAILED = 1
EXIT_USAGE = 2
EXIT_KERNEL = 3
EXIT_LAB = 4


class HarnessError(Exception):
    """An error a person can act on.

    cause: one sentence that names what went wrong.
    log: the file with the details, if there is one.
    hint: the next command or step.
    """

    exit_code = EXIT_LAB

    def __init__(self, cause: str, *, log: Path | None = None, hint: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.log = log
        self.hint = hint


class TestsFailed(HarnessError):
    """Tests ran and some did not pass."""

    __test__ = False  # not a pytest class, whatever its name says
    exit_code = EXIT_TESTS_FAILED


class UsageError(HarnessError):
    """The command, its arguments or a file the user named cannot be used."""

    exit_code = EXIT_USAGE


class KernelError(HarnessError):
    """The kernel or its series is at fault."""

    exit_code = EXIT_KERNEL


class ApplyError(KernelError):
    """A patch does not apply, or tree and patches differ."""


class ConfigError(KernelError):
    """An option that a fragment asks for is not in the final configuration."""


class BuildError(KernelError):
    """The kernel does not build."""


class GuestFault(KernelError):
    """The kernel did not come up, printed a splat, panicked or hung."""


class BootHang(GuestFault):
    """The kernel fell silent before user space was up."""


class LabError(HarnessError):
    """The laboratory is at fault: a tool, the disk, the mirror, or our own channel."""


class ToolError(LabError):
    """A program the laboratory needs is missing, or failed."""


class LabTimeout(LabError):
    """A wait of the laboratory's own ran out."""
