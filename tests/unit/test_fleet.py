"""The fleet: the pack, the program's private mode run here, and what is made of hostile output."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness import fleet
from harness.errors import GuestFault, HarnessError, LabError
from harness.fleet import Mode, Pack
from harness.guest import Result
from harness.sessions import Agent

AGENTS = (
    Agent("a", (b"prompt\n",), (b"tool one", b"tool two"), (b"A" * 300_000, b"short")),
    Agent("b", (b"prompt\n",), (b"tool two",), (bytes(range(256)) * 512,)),
    Agent("c", (), (), (b"x",)),
)


def ended(stdout: bytes, code: int = 0) -> Result:
    return Result(code, stdout, b"")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fleet program for this machine: its private mode and its verification are the guest's own."""
    target = tmp_path_factory.mktemp("fleet") / "fleet"
    sources = sorted(map(str, fleet.SOURCES.glob("*.c")))
    warnings = ["-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", "-O2", "-static", *warnings, "-o", str(target), *sources], check=True)
    return target


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return fleet.write_pack(AGENTS, tmp_path / "pack")


def run(program: Path, pack: Pack, mode: Mode = Mode.PRIVATE, damage: int | None = None) -> Result:
    argv = fleet.command(mode, str(pack.path), program=str(program), damage=damage, cgroup=False)
    done = subprocess.run([*argv, "--quick"], capture_output=True, timeout=60, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


# -- the pack --


def test_pack_counts(pack: Pack) -> None:
    assert (pack.agents, pack.texts, pack.distinct) == (3, 9, 7)
    assert pack.logical_bytes == sum(agent.logical_bytes for agent in AGENTS)
    assert pack.distinct_bytes == pack.logical_bytes - len(b"prompt\n") - len(b"tool two")


def test_the_same_input_gives_the_same_file(pack: Pack, tmp_path: Path) -> None:
    assert fleet.write_pack(AGENTS, tmp_path / "again").digest == pack.digest


@pytest.mark.parametrize("agents", [(), (Agent("a", (), (), ()),), (Agent("a", (b"",), (), (b"x",)),)])
def test_a_fleet_without_texts(agents: tuple[Agent, ...], tmp_path: Path) -> None:
    with pytest.raises(LabError):
        fleet.write_pack(agents, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


# -- the program --


def test_private_fleet_is_verified(program: Path, pack: Pack) -> None:
    phase = fleet.read_phase(Mode.PRIVATE, pack, run(program, pack))
    assert phase.verified
    assert (phase.dedup_hits, phase.objects, phase.memcg_bytes) == (0, 0, None)
    assert phase.baseline.mem_available > 0


@pytest.mark.parametrize("text", range(9))
def test_one_altered_byte_of_any_text_is_found(program: Path, pack: Pack, text: int) -> None:
    phase = fleet.read_phase(Mode.PRIVATE, pack, run(program, pack, damage=text))
    assert not phase.verified
    assert phase.differ == 1
    assert (
        phase.first_difference.startswith("memory differs from the pack") and f"text {text}," in phase.first_difference
    )


def test_a_pack_damaged_on_its_way_is_found(program: Path, pack: Pack) -> None:
    """Copies and pack agree then, so that it is SHA-256, computed before, that tells."""
    content = bytearray(pack.path.read_bytes())
    content[-1] ^= 0x80
    pack.path.write_bytes(content)
    phase = fleet.read_phase(Mode.PRIVATE, pack, run(program, pack))
    assert not phase.verified
    assert phase.first_difference.startswith("SHA-256 differs")


def test_without_the_calls_the_smu_mode_says_so(program: Path, pack: Pack) -> None:
    result = run(program, pack, Mode.SMU)
    assert result.code == 3
    with pytest.raises(GuestFault, match="has no agent_alloc_smu"):
        fleet.read_phase(Mode.SMU, pack, result)


def damaged_packs() -> list[Any]:
    header = fleet.HEADER.size
    agent_at, ref_at = header, header + 3 * fleet.AGENT.size
    blob_at = ref_at + 9 * fleet.REF.size
    return [
        pytest.param(0, b"XXXXXXXX", id="magic"),
        pytest.param(8, struct.pack("<I", 0), id="no agents"),
        pytest.param(8, struct.pack("<I", 0xFFFFFFFF), id="agents"),
        pytest.param(12, struct.pack("<I", 0xFFFFFFFF), id="refs"),
        pytest.param(16, struct.pack("<I", 0x00FFFFFF), id="blobs"),
        pytest.param(24, struct.pack("<Q", 1), id="size"),
        pytest.param(agent_at, struct.pack("<II", 8, 2), id="agent's span"),
        pytest.param(agent_at, struct.pack("<II", 0xFFFFFFFF, 1), id="agent's start"),
        pytest.param(ref_at, struct.pack("<I", 7), id="ref's blob"),
        pytest.param(blob_at, struct.pack("<Q", 0), id="blob in the tables"),
        pytest.param(blob_at, struct.pack("<Q", 1 << 63), id="blob's offset"),
        pytest.param(blob_at + 8, struct.pack("<Q", (1 << 64) - 1), id="blob's length"),
        pytest.param(blob_at + 8, struct.pack("<Q", 0), id="empty blob"),
    ]


@pytest.mark.parametrize(("at", "bad"), damaged_packs())
def test_a_pack_that_makes_no_sense_is_refused(program: Path, pack: Pack, at: int, bad: bytes) -> None:
    content = bytearray(pack.path.read_bytes())
    content[at : at + len(bad)] = bad
    pack.path.write_bytes(content)
    result = run(program, pack)
    assert result.code == 2
    with pytest.raises(LabError, match="the fleet failed in the private phase"):
        fleet.read_phase(Mode.PRIVATE, pack, result)


def test_a_pack_cut_short_is_refused(program: Path, pack: Pack) -> None:
    pack.path.write_bytes(pack.path.read_bytes()[:-1])
    assert run(program, pack).code == 2


@pytest.mark.parametrize("argv", [[], ["--pack", "/nowhere"], ["--mode", "other"], ["--unknown"]])
def test_usage(program: Path, argv: list[str]) -> None:
    done = subprocess.run([str(program), *argv], capture_output=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "error"


# -- output that cannot be trusted --


def lines(program: Path, pack: Pack) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(program, pack).stdout.splitlines()]


def encoded(events: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


@pytest.mark.parametrize(
    ("event", "change"),
    [
        ("held", {"texts": 8}),
        ("held", {"bytes": 0}),
        ("held", {"agents": -1}),
        ("held", {"objects": 1.5}),
        ("held", {"dedup_hits": True}),
        ("held", {"dedup_hits": 1 << 60}),
        ("verified", {"texts": 0}),
        ("verified", {"bytes": 1}),
        ("verified", {"differ": 1}),
        ("verified", {"differ": "0"}),
        ("gauge", {"mem_available": -5}),
        ("gauge", {"at": "somewhere"}),
        ("gauge", {"mem_free": None}),
        ("done", {"event": "gone"}),
    ],
)
def test_figures_that_cannot_be(program: Path, pack: Pack, event: str, change: dict[str, Any]) -> None:
    events = [{**found, **change} if found["event"] == event else found for found in lines(program, pack)]
    with pytest.raises(LabError, match="makes no sense"):
        fleet.read_phase(Mode.SMU, pack, ended(encoded(events)))


def test_an_event_left_out_or_told_twice(program: Path, pack: Pack) -> None:
    events = lines(program, pack)
    for index, event in enumerate(events):
        with pytest.raises(LabError):
            fleet.read_phase(Mode.PRIVATE, pack, ended(encoded(events[:index] + events[index + 1 :])))
        if event["event"] != "gauge":
            with pytest.raises(LabError):
                fleet.read_phase(Mode.PRIVATE, pack, ended(encoded([*events, event])))


@pytest.mark.parametrize(
    "output", [b"", b"hello", b"\xff\xfe", b"[]", b'{"event":3}', b"[" * 100_000, b"{}\n" * 2_000_000], ids=range(7)
)
def test_output_that_is_none(pack: Pack, output: bytes) -> None:
    with pytest.raises(LabError):
        fleet.read_phase(Mode.PRIVATE, pack, ended(output))


def test_error_text_is_made_harmless_for_a_terminal(pack: Pack) -> None:
    event = {"event": "error", "what": "\x1b[2Jagent_alloc_smu" + "x" * 9999, "errno": 12, "error": "no memory"}
    with pytest.raises(GuestFault) as caught:
        fleet.read_phase(Mode.SMU, pack, ended(encoded([event]), code=3))
    assert "\x1b" not in caught.value.cause
    assert len(caught.value.cause) < 500


@pytest.mark.parametrize(("mode", "kind"), [(Mode.SMU, GuestFault), (Mode.PRIVATE, LabError)])
def test_whose_fault_a_failed_call_is(pack: Pack, mode: Mode, kind: type[HarnessError]) -> None:
    event = {"event": "error", "what": "an agent process died of signal 7", "errno": 0, "error": "", "agent": -1}
    with pytest.raises(kind):
        fleet.read_phase(mode, pack, ended(encoded([event]), code=3))
