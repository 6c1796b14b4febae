"""The model on small programs by hand: what the contract says comes through, what it excludes does not."""

from __future__ import annotations

import errno
import hashlib
import struct
import zlib

import pytest

from harness.calls import figures, model
from harness.calls.ops import (
    SELF,
    SKIPPED,
    Alloc,
    Become,
    Call,
    Change,
    Close,
    Fork,
    How,
    Kill,
    Kind,
    Mark,
    Pidfd,
    Pointer,
    Read,
    Scope,
    Send,
    Share,
    Spawn,
    Stats,
    Take,
    Temperature,
    Valid,
)
from harness.calls.rules import Mismatch
from harness.calls.wire import STATS, Answer, Ending, Lane

DEDUP, DELTA = 1, 2
ATTACH, BASE, APPEND = 1, 2, 4
OK = Answer(0)


def content(length: int, offset: int = 0) -> bytes:
    return model.POOL[offset : offset + length]


def made(inode: int, text: bytes, result: int = 0) -> Answer:
    return Answer(0, struct.pack("<IQI", 1, inode, result) + hashlib.sha256(text).digest())


def failed(error: int) -> Answer:
    return Answer(-error)


def alloc(proc: int, slot: int, length: int, flags: int = 0, base: int = SELF, offset: int = 0) -> Alloc:
    return Alloc(proc, slot, offset=offset, length=length, size=length, flags=flags, base=base)


def attach(proc: int, slot: int, text: bytes) -> Alloc:
    return Alloc(proc, slot, pointer=Pointer.NULL, flags=ATTACH, digest=hashlib.sha256(text).digest())


def stats(name: str, value: int, size: int = 464) -> Answer:
    """Figures that are all 0, but for what an agent has anyhow and the one that is given."""
    told = bytearray(464)
    for field, number in {"size": 464, "state": 1, "importance": 500, "node": 0xFFFFFFFF, name: value}.items():
        at, length = figures.AGENT_FIELDS[field]
        told[at : at + length] = number.to_bytes(length, "little")
    told[208:213] = b"calls"
    return Answer(464, bytes(told[:size]) + b"\xaa")


def smu_stats(temperature: Temperature) -> Answer:
    """Of a conversation, up to its temperature."""
    return Answer(104, struct.pack("<IIII", 104, 0, 0, temperature) + b"\xaa")


class Script:
    """A world with process 0 and 1 in domain 0, and 2 in domain 1."""

    def __init__(self) -> None:
        self.world = model.new_world()
        for index, domain in ((0, 0), (1, 0), (2, 1)):
            self.gives(Spawn(index, domain, Kind.PLAIN), OK)

    def gives(self, call: Call, answer: Answer) -> None:
        model.step(self.world, call, answer)

    def never(self, call: Call, answer: Answer, match: str | None = None) -> None:
        with pytest.raises(Mismatch, match=match):
            model.step(self.world, call, answer)


@pytest.fixture
def script() -> Script:
    return Script()


# -- content --


def test_equal_content_of_a_domain_is_one_object(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(alloc(1, 0, 100), made(7, content(100), DEDUP))


@pytest.mark.parametrize(
    "answer",
    [made(8, content(100)), made(7, content(100)), made(8, content(100), DEDUP), made(7, content(99), DEDUP)],
)
def test_a_second_object_is_not_accepted(script: Script, answer: Answer) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.never(alloc(1, 0, 100), answer)


def test_equal_content_of_another_domain_is_not_found(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.never(attach(2, 0, content(100)), made(7, content(100), DEDUP), "ENOENT")
    script.gives(attach(2, 0, content(100)), failed(errno.ENOENT))
    script.never(alloc(2, 0, 100), made(7, content(100), DEDUP))
    script.gives(alloc(2, 0, 100), made(9, content(100)))


def test_what_nobody_holds_is_gone(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(Close(0, 0), OK)
    script.gives(attach(0, 0, content(100)), failed(errno.ENOENT))


def test_a_killed_process_gives_back(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(Kill(0), OK)
    script.gives(Close(0, 0), Answer(SKIPPED))
    script.never(attach(1, 0, content(100)), made(7, content(100), DEDUP))


def test_a_message_holds(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(Send(0, 0), OK)
    script.gives(Kill(0), OK)
    script.gives(attach(1, 0, content(100)), made(7, content(100), DEDUP))
    script.gives(Take(2, 5), OK)
    script.gives(Read(2, 5, 40), Answer(40, struct.pack("<I", zlib.crc32(content(40)))))
    script.never(Read(2, 5, 40), Answer(40, struct.pack("<I", zlib.crc32(content(40)))), "sum")


def test_what_is_appended_to_goes_with_what_continues_it(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(alloc(0, 1, 50, APPEND, base=0, offset=100), made(8, content(150), DELTA))
    script.gives(Close(0, 0), OK)
    script.never(attach(0, 2, content(100)), failed(errno.ENOENT))  # what continues it holds it
    script.gives(Close(0, 1), OK)
    script.never(attach(0, 2, content(100)), made(7, content(100), DEDUP))
    script.gives(attach(0, 2, content(100)), failed(errno.ENOENT))


def test_what_is_similar_is_stored_against_it_and_has_its_own_content(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.never(alloc(0, 1, 50, BASE, base=0), made(8, content(50)))
    script.never(alloc(0, 1, 50, BASE, base=0), failed(errno.EINVAL))
    script.gives(alloc(0, 1, 50, BASE, base=0), made(8, content(50), DELTA))


def test_one_of_so_many_that_build_on_one_another_stands_alone(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    for depth in range(1, 257):
        script.gives(alloc(0, 0, 100 + depth, BASE, base=0), made(7 + depth, content(100 + depth), DELTA))
    script.never(alloc(0, 0, 500, BASE, base=0), made(900, content(500), DELTA))
    script.gives(alloc(0, 0, 500, BASE, base=0), made(900, content(500)))


def test_a_base_of_another_domain_is_copied(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(Send(0, 0), OK)
    script.gives(Take(2, 0), OK)
    script.never(alloc(2, 1, 50, APPEND, base=0, offset=100), made(8, content(150), DELTA))


# -- errors --


def test_of_several_faults_each_may_be_named(script: Script) -> None:
    call = Alloc(0, 0, length=10, size=10, type=4, pointer=Pointer.KERNEL)
    script.gives(call, failed(errno.EINVAL))
    script.gives(call, failed(errno.EFAULT))
    script.never(call, failed(errno.ENOMEM), "EFAULT or EINVAL")
    script.never(call, made(7, content(10)), "EFAULT or EINVAL")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (Alloc(0, 0), errno.EINVAL),
        (Alloc(0, 0, length=1, size=1 << 40), errno.E2BIG),
        (Alloc(0, 0, length=1, size=1, attr_size=64, tail=1), errno.E2BIG),
        (Alloc(0, 0, length=1, size=1, nofile=1), errno.EMFILE),
        (Alloc(0, 0, length=1, size=1, flags=APPEND, base=3), errno.EBADF),
        (Share(0, 3, 4), errno.EBADF),
        (Mark(0, SELF, reserved=1), errno.EINVAL),
        (Mark(0, SELF, valid=Valid.NAME, name=b"x" * 256), errno.EINVAL),
        (Mark(0, 5, valid=Valid.TEMPERATURE, temperature=1), errno.EBADF),
        (Stats(0, 4), errno.EINVAL),
        (Stats(0, Scope.SYSTEM), errno.EPERM),
        (Become(0, 1), errno.EPERM),
    ],
)
def test_what_is_wrong_has_its_error(script: Script, call: Call, error: int) -> None:
    script.never(call, OK)
    script.never(call, failed(errno.EIO))
    script.gives(call, failed(error))


def test_what_is_sealed_stays(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    for how in How:
        script.never(Change(0, 0, how), OK)
        script.gives(Change(0, 0, how), failed(errno.EPERM))


# -- grants --


def granted(script: Script, kind: Kind) -> None:
    """Process 3 of domain 0 has content in slot 0, and process 2 of domain 1 behind the pidfd in slot 1."""
    script.gives(Spawn(3, 0, kind), OK)
    script.gives(alloc(3, 0, 100), made(7, content(100)))
    script.gives(Pidfd(3, 1, 2), OK)


@pytest.mark.parametrize("kind", [Kind.VISITOR, Kind.ADMIN])
def test_a_grant_is_good_for_once(script: Script, kind: Kind) -> None:
    granted(script, kind)
    script.gives(Share(3, 0, 1), OK)
    script.gives(Share(3, 0, 1), OK)
    script.gives(Kill(3), OK)
    script.never(attach(2, 0, content(100)), failed(errno.ENOENT))
    script.gives(attach(2, 0, content(100)), made(7, content(100), DEDUP))
    script.gives(attach(2, 1, content(100)), failed(errno.ENOENT))


def test_a_grant_takes_permission(script: Script) -> None:
    granted(script, Kind.PLAIN)
    script.never(Share(3, 0, 1), OK)
    script.gives(Share(3, 0, 1), failed(errno.EPERM))


def test_a_grant_is_taken_back(script: Script) -> None:
    granted(script, Kind.ADMIN)
    script.gives(Share(3, 0, 1, flags=1), failed(errno.ENOENT))
    script.gives(Share(3, 0, 1), OK)
    script.gives(Share(3, 0, 1, flags=1), OK)
    script.gives(attach(2, 0, content(100)), failed(errno.ENOENT))


def test_who_is_gone_is_granted_nothing(script: Script) -> None:
    granted(script, Kind.ADMIN)
    script.gives(Kill(2), OK)
    script.never(Share(3, 0, 1), failed(errno.EBADFD))
    script.gives(Share(3, 0, 1), failed(errno.ESRCH))


# -- marks --


def test_what_only_a_paused_agent_holds_is_warm_until_it_goes_on(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(Mark(0, SELF, valid=Valid.STATE, state=2), OK)
    script.never(Stats(0, Scope.SMU, 0, size=16), smu_stats(Temperature.HOT))
    script.gives(Stats(0, Scope.SMU, 0, size=16), smu_stats(Temperature.WARM))
    script.gives(Mark(0, SELF, valid=Valid.STATE, state=1), OK)
    script.gives(Stats(0, Scope.SMU, 0, size=16), smu_stats(Temperature.HOT))
    script.gives(Mark(0, 0, valid=Valid.TEMPERATURE, temperature=Temperature.COLD), OK)
    script.gives(Mark(0, SELF, valid=Valid.STATE, state=2), OK)
    script.gives(Mark(0, SELF, valid=Valid.STATE, state=1), OK)
    script.gives(Stats(0, Scope.SMU, 0, size=16), smu_stats(Temperature.COLD))


def test_cold_goes_down_to_bases_that_nobody_holds(script: Script) -> None:
    in_memory = struct.pack("<IIIIQQ", 104, 0, 0, Temperature.HOT, 100, 4096)
    dropped = struct.pack("<IIIIQQ", 104, 0, 0, Temperature.HOT, 100, 0)
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(Mark(0, 0, valid=Valid.TEMPERATURE, temperature=Temperature.HOT), OK)
    script.gives(alloc(0, 1, 50, APPEND, base=0, offset=100), made(8, content(150), DELTA))
    script.never(Stats(0, Scope.SMU, 0, size=32), Answer(104, dropped + b"\xaa"))
    script.gives(Stats(0, Scope.SMU, 0, size=32), Answer(104, in_memory + b"\xaa"))
    script.gives(Close(0, 0), OK)
    script.gives(Mark(0, 1, valid=Valid.TEMPERATURE, temperature=Temperature.COLD), OK)
    script.gives(attach(0, 2, content(100)), made(7, content(100), DEDUP))
    script.gives(Stats(0, Scope.SMU, 2, size=32), Answer(104, dropped + b"\xaa"))


# -- figures --


def test_figures_are_exact(script: Script) -> None:
    ask = Stats(0, Scope.AGENT, size=24)  # up to smus
    script.gives(ask, stats("smus", 0, 24))
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(alloc(0, 1, 100), made(7, content(100), DEDUP))
    script.gives(ask, stats("smus", 1, 24))
    script.never(ask, stats("smus", 2, 24), "smus 1")
    script.never(Stats(0, Scope.AGENT), stats("smus", 1), "logical_bytes 100")


def test_figures_stay_in_their_buffer(script: Script) -> None:
    good = stats("smus", 0, 24)
    script.never(Stats(0, Scope.AGENT, size=24), Answer(464, good.payload[:-1] + b"\0"), "behind the buffer")
    script.never(Stats(0, Scope.AGENT, size=24), Answer(24, good.payload), "size that the kernel knows")


def test_children_are_of_the_same_agent_until_they_have_a_name(script: Script) -> None:
    script.gives(alloc(0, 0, 100), made(7, content(100)))
    script.gives(Fork(0, 4), OK)
    script.gives(Stats(4, Scope.AGENT, size=24), stats("smus", 1, 24))
    script.gives(Mark(4, SELF, valid=Valid.NAME, name=b"own"), OK)
    script.gives(Stats(4, Scope.AGENT, size=24), stats("smus", 0, 24))
    script.gives(Stats(0, Scope.AGENT, size=24), stats("smus", 1, 24))


def test_who_moves_to_another_domain_is_a_new_agent(script: Script) -> None:
    script.gives(Spawn(5, 0, Kind.VISITOR), OK)
    script.gives(alloc(5, 0, 100), made(7, content(100)))
    script.gives(Become(5, 1), OK)
    script.gives(attach(5, 1, content(100)), failed(errno.ENOENT))
    script.gives(Stats(5, Scope.AGENT, size=24), stats("smus", 0, 24))


# -- the end --


def told(name: str, value: int) -> bytes:
    return stats(name, value).payload[:STATS]


def lane(before: bytes, after: bytes) -> Lane:
    return Lane((OK, made(7, content(100))), (Ending(0, before, after), Ending(0, told("smus", 0), told("smus", 0))))


def test_all_has_to_be_given_back() -> None:
    calls = [Spawn(0, 0, Kind.PLAIN), alloc(0, 0, 100)]
    assert model.check(calls, lane(told("smus", 2), told("smus", 2))) is None
    for name in ("smus", "logical_bytes", "resident_top", "stored_bytes"):
        fault = model.check(calls, lane(told("smus", 0), told(name, 4096)))
        assert fault and fault.index == 2 and name in fault.predicted


def test_what_was_counted_is_compared() -> None:
    fault = model.check([Spawn(0, 0, Kind.PLAIN), alloc(0, 0, 100)], lane(told("smus", 0), told("dedup_hits", 1)))
    assert fault and fault.got == "dedup_hits counted 1"


def test_the_first_wrong_answer_is_told() -> None:
    calls = [Spawn(0, 0, Kind.PLAIN), alloc(0, 3, 99)]
    fault = model.check(calls, lane(told("smus", 0), told("smus", 0)))
    assert fault and fault.index == 1
    assert str(fault).startswith("call 1, Alloc(proc=0, slot=3, length=99, size=99): predicted digest ")


def test_a_program_that_did_not_end() -> None:
    fault = model.check([Spawn(0, 0, Kind.PLAIN)], Lane((), (), "a process died of signal 7 at call 0"))
    assert fault and "signal 7" in fault.got
