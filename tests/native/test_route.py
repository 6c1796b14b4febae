"""The demo's agents of each library, on the fallback: the programs that run in a guest, as they run there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness import fleet, route
from harness.errors import GuestFault
from harness.fleet import Pack
from harness.sessions import Agent

AGENTS = tuple(
    Agent(f"agent-{k}", (b"You sell widgets.\n" * 300,), (b"tool" * 50,), (b"conversation %d " % k * 9000,))
    for k in range(3)
)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return fleet.write_pack(AGENTS, tmp_path / "pack")


def run(name: str, pack: Pack, place: Path, backend: str = "fallback") -> route.Held:
    (store := place / "runtime").mkdir(mode=0o700)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(store), "AGENTMEM_BACKEND": backend}
    argv = route.command(name, "plain" if name == "node" else "native", pack, None)
    done = subprocess.run(argv, capture_output=True, timeout=280, env=env)
    return route.read(pack, route.ROUTES[name].title, done.stdout, done.stderr, done.returncode)


@pytest.mark.parametrize("name", route.ROUTES)
def test_they_hold_each_text_once_and_read_it_back(name: str, pack: Pack, tmp_path: Path) -> None:
    held = run(name, pack, tmp_path)
    assert (held.backend, held.agents, held.texts, held.objects) == ("fallback", 3, 9, pack.distinct)
    assert (held.logical_bytes, held.unique_bytes) == (pack.logical_bytes, pack.distinct_bytes)
    assert (held.dedup_hits, held.differ) == (held.texts - held.objects, 0)
    assert held.resident_bytes == 0 < held.stored_bytes < held.unique_bytes, "all are marked COLD"


@pytest.mark.parametrize("name", route.ROUTES)
def test_a_text_that_is_another_one_is_counted(name: str, pack: Pack, tmp_path: Path) -> None:
    content = bytearray(pack.path.read_bytes())
    content[-1] ^= 1
    pack.path.write_bytes(content)
    with pytest.raises(GuestFault, match="1 of 9 texts came back changed"):
        run(name, pack, tmp_path)


@pytest.mark.parametrize("name", route.ROUTES)
def test_a_call_that_fails_is_told(name: str, pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(GuestFault, match=r"ended with \d+: .*(has not got the calls|Function not implemented)"):
        run(name, pack, tmp_path, backend="kernel")
