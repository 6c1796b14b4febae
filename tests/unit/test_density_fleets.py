"""The fleets: what is shared is shared to the byte, what differs differs by what it should; same input, same bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from harness import cache
from harness.bench.density import fleets, material, messages
from harness.bench.density.fleets import PARTS, Fleet, Name, Text
from harness.bench.density.material import Material, Size
from harness.errors import LabError, UsageError
from harness.fleet import TextType
from harness.sessions import Session, Source
from tests.unit import density_corpus

AGENTS = 10
SIZE = Size(AGENTS, 0.001)
SOURCE = density_corpus.source()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Material:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "REPO", tmp_path_factory.mktemp("repo"))
        found = Material(SOURCE, SIZE)
        for part in PARTS:
            found.index(part)
    return found


def content(source: Material, text: Text) -> bytes:
    return b"".join(source.read(PARTS[piece.part], (piece.offset, piece.length)) for piece in text.pieces)


def of_kind(fleet: Fleet, kind: TextType) -> list[list[Text]]:
    return [[text for text in agent.texts if text.kind is kind] for agent in fleet.agents]


def test_identical_prompts_and_tools_are_one_text_and_conversations_are_not(made: Material) -> None:
    fleet = fleets.make(Name.IDENTICAL, made)
    assert len({texts[0] for texts in of_kind(fleet, TextType.SYSTEM_PROMPT)}) == 1
    assert len({texts[0] for texts in of_kind(fleet, TextType.TOOL_DEF)}) == 1
    talk = [content(made, text) for texts in of_kind(fleet, TextType.CONVERSATION) for text in texts]
    assert len(set(talk)) == len(talk) >= AGENTS * 5


def test_own_lines_are_all_that_prompts_differ_in(made: Material) -> None:
    fleet = fleets.make(Name.OWN_LINE, made)
    prompts = [content(made, texts[0]).split(b"\n") for texts in of_kind(fleet, TextType.SYSTEM_PROMPT)]
    plain = content(made, fleets.make(Name.IDENTICAL, made).agents[0].texts[0]).split(b"\n")
    assert len({tuple(lines) for lines in prompts}) == AGENTS
    for number, lines in enumerate(prompts):
        own = [place for place, line in enumerate(lines) if f"agent-{number}.".encode() in line]
        assert len(own) == 1 and 0 < own[0] < len(lines) - 1
        assert lines[: own[0]] + lines[own[0] + 1 :] == plain


def test_own_lines_differ_in_length() -> None:
    """Else the rest of the prompt would lie at the same place of its pages in many agents."""
    assert len({len(material.own_line(agent)) for agent in range(100)}) > 5


def test_a_history_is_stored_whole_after_each_turn(made: Material) -> None:
    fleet = fleets.make(Name.HISTORY, made)
    for agent in fleet.agents:
        texts = [content(made, text) for text in agent.texts]
        assert len(texts) > 2
        for before, after in zip(texts, texts[1:], strict=False):
            told, now = json.loads(before), json.loads(after)
            assert now[: len(told)] == told and len(now) > len(told) or len(now) <= len(told) and now[0] != told[0]
        growing = sum(after.startswith(before[:-1]) for before, after in zip(texts, texts[1:], strict=False))
        assert growing > len(texts) / 2


def test_long_sessions_are_coding_sessions_as_they_are(made: Material) -> None:
    fleet = fleets.make(Name.SESSIONS, made)
    recorded = {session.conversation for session in SOURCE.sessions if len(session.conversation) >= material.LONG}
    held = [content(made, text) for texts in of_kind(fleet, TextType.CONVERSATION) for text in texts]
    assert recorded <= set(held) and len(set(held)) == len(held)
    assert min(map(len, held)) >= material.LONG


def test_tools_are_single_objects_that_agents_choose_and_order_for_themselves(made: Material) -> None:
    fleet = fleets.make(Name.TOOLS, made)
    assert all(len(agent.texts) == len(set(agent.texts)) == SIZE.single_tools for agent in fleet.agents)
    assert len({agent.texts for agent in fleet.agents}) == AGENTS
    assert len(fleet.texts) <= 2 * SIZE.single_tools
    assert all(isinstance(json.loads(content(made, text)), dict) for text in fleet.texts)


def test_three_in_ten_of_a_mixed_fleet_are_active(made: Material) -> None:
    fleet = fleets.make(Name.MIXED, made)
    assert sum(agent.active for agent in fleet.agents) == 3
    assert not any(agent.active for name in "abcde" for agent in fleets.make(Name(name), made).agents)
    kinds = [len({text.kind for text in agent.texts}) for agent in fleet.agents]
    assert kinds[:4] == [3, 3, 1, 3] and kinds[4:8] == kinds[:4]


@pytest.mark.parametrize("name", [Name.IDENTICAL, Name.OWN_LINE, Name.SESSIONS])
def test_agents_hold_what_the_scale_says(made: Material, name: Name) -> None:
    for agent in fleets.make(name, made).agents:
        assert SIZE.whole * 0.9 < agent.logical_bytes < SIZE.whole * 1.1


def test_the_same_corpus_and_size_give_the_same_bytes(
    made: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "REPO", tmp_path)
    again = Material(density_corpus.source(), SIZE)
    for name in Name:
        one, two = fleets.make(name, made), fleets.make(name, again)
        assert one.table == two.table and one.digest(made) == two.digest(again)
    for part in PARTS:
        assert again.image(part).read_bytes() == made.image(part).read_bytes()
    assert Material(SOURCE, Size(AGENTS, 0.002)).key != made.key


def test_files_are_made_once_and_those_of_another_size_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "REPO", tmp_path)
    first = Material(SOURCE, Size(2, 0.001))
    first.index("shared")
    time = first.image("shared").stat().st_mtime_ns
    first.index("shared")
    assert first.image("shared").stat().st_mtime_ns == time
    Material(SOURCE, Size(3, 0.001)).index("shared")
    assert not first.image("shared").exists()


def test_the_table_has_what_the_guest_reads(made: Material) -> None:
    fleet = fleets.make(Name.OWN_LINE, made)
    magic, agents, refs, texts, segments = struct.unpack_from("<8sIIII", fleet.table)
    assert (magic, agents, refs, texts) == (b"AMDENS01", AGENTS, fleet.handles, len(fleet.texts))
    assert len(fleet.table) == 24 + 24 * texts + 24 * segments + 16 * agents + 4 * refs
    first, count, kind, holders, length = struct.unpack_from("<IIIIQ", fleet.table, 24 + 24)
    tools = fleet.agents[0].texts[1]
    assert (first, count, kind, holders, length) == (3, 1, TextType.TOOL_DEF, AGENTS, tools.length)


def test_too_little_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "REPO", tmp_path)
    with pytest.raises(LabError, match="of disk"):
        Material(SOURCE, Size(4000, 10.0)).index("talk")


def test_a_corpus_without_prompts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "REPO", tmp_path)
    bare = Source("test", "bare", "bare", (Session("one", b"", (), b"[]"),))
    with pytest.raises(UsageError, match="no system prompts"):
        Material(bare, SIZE).index("shared")


# -- the messages of a recorded conversation --


def test_ends_are_where_the_model_was_asked() -> None:
    text = '[{"role":"user","content":"\u00e4"} , {"role":"assistant"},{"role":"user"}]'.encode()
    first = text.index(b"}") + 1
    assert messages.ends(text) == [first, len(text) - 1]
    assert json.loads(text[:first] + b"]") == [{"role": "user", "content": "\u00e4"}]


@pytest.mark.parametrize("text", [b"not JSON", b"{}", b"", b"[1", b"[" * 100_000])
def test_what_is_no_list_of_messages_has_one_end(text: bytes) -> None:
    assert messages.ends(text) == [len(text)]
