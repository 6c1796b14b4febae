"""libagentmem on the kernel's backend: the same conformance suite, static, and what it adds to a system call."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from harness import initramfs, ktap, userspace
from harness.guest import Guest
from harness.kernel import Kernel

PROGRAMS = ("conformance", "overhead")
SECONDS = 900.0


@pytest.fixture(scope="module")
def guest(request: pytest.FixtureRequest, kernels: Callable[[str], Kernel]) -> Iterator[Guest]:
    """A guest of the series, and one with the numbers of the original design: the library knows none by itself."""
    kernel = kernels(request.param)
    built = userspace.build(f"guest-{kernel.flavour}", ["-Dstatic-dependencies=true"], headers=kernel.headers)
    with Guest.start(kernel, memory_mb=1024, cpus=2) as started:
        for name in PROGRAMS:
            program = built / "tests" / name
            assert initramfs.is_static(program)
            started.push(program, f"/tmp/{name}")
        yield started


# The fallback knows no numbers.
@pytest.mark.parametrize(
    ("guest", "backend"), [("lab", "kernel"), ("lab", "fallback"), ("numbers", "kernel")], indirect=["guest"]
)
def test_conformance_suite_passes(guest: Guest, backend: str) -> None:
    done = guest.run(["/tmp/conformance"], timeout=SECONDS, env={"AGENTMEM_BACKEND": backend})
    report = ktap.parse(done.stdout.decode())
    assert report.good and done.code == 0, done.stdout.decode()
    assert f"# backend {backend}\n".encode() in done.stdout
    assert len(report.leaves()) >= 47


@pytest.mark.parametrize("guest", ["lab"], indirect=True)
def test_the_library_adds_at_most_200_ns_to_a_call(guest: Guest) -> None:
    """Measured where each instruction takes many times longer than on a processor, so the bound is a wide one."""
    done = guest.run(["/tmp/overhead"], timeout=SECONDS)
    report = ktap.parse(done.stdout.decode())
    assert report.good and len(report.leaves()) == 4 and done.code == 0, done.stdout.decode()
