# SPDX-License-Identifier: MIT
"""What went wrong, as a user is told it: the cause, what to do next, and the exit status."""

from __future__ import annotations

import errno
import os
from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses; a command that was started has its own."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3  # no such object, agent or process
    NOT_HERE = 4  # this system has not got what it takes
    CANNOT_RUN = 126
    NO_COMMAND = 127
    INTERRUPTED = 130


class Trouble(Exception):
    """Is told as two lines: error and next."""

    def __init__(self, cause: str, next: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(cause)
        self.cause, self.next, self.code = cause, next, code


KNOWN = {
    errno.ESRCH: ("the process has ended", "agentmem agents", Exit.NOT_FOUND),
    errno.EACCES: ("not allowed to do that", "as root, or as the user whose process it is", Exit.FAILED),
    errno.EPERM: ("not allowed towards that process", "as root, or as the user whose process it is", Exit.FAILED),
    errno.EDQUOT: ("the user's objects, or the grants to that agent, are too many", "sysctl vm.agent_mem_max_smus", 1),
    errno.E2BIG: ("that is more than one object may hold", "sysctl vm.agent_mem_max_size", Exit.FAILED),
    errno.EOPNOTSUPP: ("this backend has not got that", "man agentmem, BACKENDS", Exit.NOT_HERE),
}


def of_system(error: OSError) -> Trouble:
    """An error of a call, in words."""
    if error.filename is not None:  # of a file, which says enough
        return Trouble(f"{os.fsdecode(error.filename)}: {error.strerror}")
    cause, next, code = KNOWN.get(error.errno or 0, (error.strerror or str(error), "", Exit.FAILED))
    return Trouble(cause, next, Exit(code))


def of_backend(error: OSError) -> Trouble:
    """Why there is no backend."""
    forced = os.environ.get("AGENTMEM_BACKEND", "")
    if error.errno == errno.ENOSYS:
        cause = f"AGENTMEM_BACKEND={forced}: this kernel, or the build of this package, has not got the calls"
        return Trouble(cause, "unset AGENTMEM_BACKEND: the fallback works on any Linux", Exit.NOT_HERE)
    if error.errno == errno.EINVAL:
        return Trouble(f"AGENTMEM_BACKEND={forced}: no such backend", "kernel, fallback, or unset", Exit.USAGE)
    if error.errno == errno.EACCES:
        cause = "there is no directory for the store that is this user's own and nobody else's"
        return Trouble(cause, "set XDG_RUNTIME_DIR to one with mode 0700", Exit.NOT_HERE)
    return of_system(error)
