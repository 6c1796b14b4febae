"""Texts that are sealed on the kernel's backend: their pages are the object's own, and readers notice nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness import initramfs, ktap, userspace
from harness.guest import Guest
from harness.kernel import Kernel

SECONDS = 900.0


@pytest.fixture(scope="module")
def guest(kernels: Callable[[str], Kernel]) -> Iterator[Guest]:
    kernel = kernels("lab")
    options = ["-Dlibagentmem:static-dependencies=true"]
    targets = ("test_blocks", "test_texts", "show_agent")
    name = f"guest-preload-{kernel.flavour}"
    built = userspace.build(name, options, headers=kernel.headers, project=userspace.PRELOAD, targets=targets)
    with Guest.start(kernel, memory_mb=1024, cpus=2) as started:
        program = built / "tests" / "test_texts"
        assert initramfs.is_static(program)
        started.push(program, "/tmp/test_texts")
        yield started


@pytest.mark.parametrize("backend", ["kernel", "fallback"])
def test_texts_are_sealed(guest: Guest, backend: str) -> None:
    done = guest.run(["/tmp/test_texts"], timeout=SECONDS, env={"AGENTMEM_BACKEND": backend})
    report = ktap.parse(done.stdout.decode())
    assert report.good and done.code == 0, done.stdout.decode()
    assert len(report.leaves()) >= 9
