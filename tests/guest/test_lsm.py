"""Under SELinux, with a policy of its own: an object's descriptor is asked about wherever a memfd's is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import initramfs, proc
from harness.cache import REPO
from harness.guest import Guest
from harness.kernel import Kernel

pytestmark = pytest.mark.long
SOURCES = REPO / "tests" / "data" / "lsm"
POLICY_VERSION = "33"  # Debian's compilers write it, and any kernel reads it
POLICY_HEAD = struct.Struct("<II8sIIII" + "IIIIQ")  # its numbers, then the capabilities: a bitmap of one word
MEMFD_CLASS = 13  # POLICYDB_CAP_MEMFD_CLASS
LOAD = "mount -t selinuxfs none /sys/fs/selinux && dd if=/policy of=/sys/fs/selinux/load bs=1M"  # in one write()

# What was tried -> answers that are not "ok", by the type of who tried.
REFUSED = {
    "create": {"no_create": "EACCES"},
    "read": {"no_read": "EACCES", "no_use": "EACCES"},
    "map": {"no_map": "EACCES", "no_read": "EACCES", "no_use": "EACCES"},
    "open": {"no_open": "EACCES", "no_read": "EACCES"},
    "receive": {"no_read": "EBADF", "no_use": "EBADF"},
}
# The same of what an object alone has. Who may not open an equal one is not told that it is there.
REFUSED_OBJECT = {
    "create_equal": {"no_create": "EACCES", "no_open": "another", "no_read": "another"},
    "append": {"no_create": "EACCES", "no_read": "EACCES", "no_use": "EACCES"},
    "base": {"no_create": "EACCES", "no_read": "EACCES", "no_use": "EACCES"},
    "attach": {"no_open": "ENOENT", "no_read": "ENOENT"},
    "claim": {"no_open": "EACCES", "no_read": "EACCES"},
    "grant": {"no_signal": "EACCES"},
}

Answers = dict[tuple[str, str], dict[str, str]]  # kind of memory, what was tried -> type -> answer


def compiled(source: Path, place: Path) -> Path:
    """The policy as the kernel takes it, with a capability that Debian's compilers have no name for yet."""
    policy = place / "policy"
    proc.run(["secilc", "-c", POLICY_VERSION, "-o", str(policy), "-f", str(place / "contexts"), str(source)])
    head, rest = policy.read_bytes()[: POLICY_HEAD.size], policy.read_bytes()[POLICY_HEAD.size :]
    *numbers, capabilities = POLICY_HEAD.unpack(head)
    assert numbers[-4:] == [64, 64, 1, 0], "the capabilities are no bitmap of one word"
    policy.write_bytes(POLICY_HEAD.pack(*numbers, capabilities | 1 << MEMFD_CLASS) + rest)
    return policy


@pytest.fixture(scope="module")
def answers(kernels: Callable[[str], Kernel], tmp_path_factory: pytest.TempPathFactory) -> Answers:
    kernel = kernels("gcov")
    policy = compiled(SOURCES / "policy.cil", tmp_path_factory.mktemp("lsm"))
    program = initramfs.compile_static([SOURCES / "labels.c"], headers=kernel.headers, name="labels")
    with Guest.start(kernel, files={"/bin/labels": program, "/policy": policy}, append="lsm=selinux") as guest:
        assert guest.run(["sh", "-c", LOAD]).code == 0
        done = guest.run(["/bin/labels"])
        guest.check()
    assert (done.code, done.stderr) == (0, b"")
    found: Answers = {}
    for line in done.stdout.decode().splitlines():
        who, kind, what, answer = line.split(" ")
        found.setdefault((kind, what), {})[who] = answer
    return found


def refused(answers: dict[str, str]) -> dict[str, str]:
    assert len(answers) > 1
    return {who: answer for who, answer in answers.items() if answer != "ok"}


def test_an_object_has_the_label_that_the_policy_gives_it(answers: Answers) -> None:
    assert answers["object", "label"] == {"unlimited": "user:object_r:object"}


@pytest.mark.parametrize("what", [*REFUSED, *REFUSED_OBJECT])
def test_an_object_is_refused_to_who_lacks_the_permission(answers: Answers, what: str) -> None:
    assert refused(answers["object", what]) == {**REFUSED, **REFUSED_OBJECT}[what]


@pytest.mark.parametrize("what", ["label", *REFUSED])
def test_a_memfd_gets_the_same_answers(answers: Answers, what: str) -> None:
    assert answers["memfd", what] == answers["object", what]


def test_nothing_is_left_of_an_object_that_was_refused(answers: Answers) -> None:
    """Who finds an equal one changes figures."""
    figures = answers["object", "figures"]
    assert (figures["no_create"], figures["unlimited"]) == ("same", "changed")
