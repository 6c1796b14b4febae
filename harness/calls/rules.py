"""What a call may answer, and who may do what.

No order of checks is assumed: what is wrong with a call is a set, and the kernel may name any of it.
"""

from __future__ import annotations

import errno
from collections.abc import Collection

from harness.calls.ops import SKIPPED
from harness.calls.wire import Answer
from harness.calls.world import Process

EBADFD = errno.EBADFD
SEALED = {errno.EBADF, errno.EPERM, errno.EINVAL, errno.EACCES}


class Mismatch(Exception):
    """The kernel's answer is none that the contract allows."""

    def __init__(self, predicted: str, got: str) -> None:
        super().__init__(f"predicted {predicted}, got {got}")
        self.predicted = predicted
        self.got = got


def named(ret: int) -> str:
    if ret == SKIPPED:
        return "skipped"
    return errno.errorcode.get(-ret, str(ret)) if ret < 0 else str(ret)


def succeeds(wrong: Collection[int], got: Answer | None, maybe: Collection[int] = ()) -> bool:
    """Whether the call went through. wrong: the errors, one of which it must give if there are any; maybe: it may.

    got: None where there is no kernel that answers; then what may be is.
    """
    if got is None:
        return not wrong
    allowed = {*wrong, *maybe}
    if (wrong or got.ret < 0) and -got.ret not in allowed:
        predicted = sorted(named(-error) for error in allowed) if wrong else ["success"]
        raise Mismatch(" or ".join(predicted), named(got.ret))
    return got.ret >= 0


def expect(what: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise Mismatch(f"{what} {shown(wanted)}", f"{what} {shown(found)}")


def expect_in(what: str, wanted: Collection[object], found: object) -> None:
    if found not in wanted:
        raise Mismatch(f"{what} {' or '.join(sorted(map(shown, wanted)))}", f"{what} {shown(found)}")


def expect_range(what: str, least: int, most: int, found: int) -> None:
    if not least <= found <= most:
        raise Mismatch(f"{what} from {least} to {most}", f"{what} {found}")


def shown(value: object) -> str:
    return value.hex()[:80] if isinstance(value, bytes) else str(value)[:80]


def word(answer: Answer, at: int, size: int = 4) -> int:
    part = answer.payload[at : at + size]
    if len(part) != size:
        raise Mismatch(f"{at + size} bytes or more", f"{len(answer.payload)} bytes")
    return int.from_bytes(part, "little")


# -- processes --


def may_signal(caller: Process, target: Process) -> bool:
    """kill(2)'s rule."""
    if caller is target or caller.admin:
        return True
    return bool({caller.real, caller.effective} & {target.real, target.saved})


def may_read(caller: Process, target: Process) -> bool:
    """ptrace's rule for reading, with real credentials."""
    if caller is target or caller.admin:
        return True
    return {caller.real} == {target.real, target.effective, target.saved} and not target.admin
