"""Archives: good ones in every packing, hostile ones, and the recorded one when it is beside the repository."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

from harness import corpus
from harness.cache import REPO
from harness.errors import UsageError

RECORDED = REPO.parent / "shared" / "corpus" / "dev.tar.zst"

FILES: dict[str, bytes] = {
    "conversations/shop/0.json": b'[{"role":"user","content":"one"}]',
    "conversations/shop/1.json": b'[{"role":"user","content":"two"}]',
    "conversations/solo/0.json": b'[{"role":"user","content":"three"}]',
    "system_prompts/shop.txt": b"You sell widgets.\n",
    "tool_definitions/shop_all.json": b'[{"name": "price"}, {"name": "stock"}]',
    "tool_definitions/solo/look.json": b'{"name":"look"}',
    "tool_definitions/solo/find.json": b'{"name":"find"}',
}
INDEX = (
    "conversation\tmessages\tsystem_prompt\ttools\n"
    "conversations/shop/0.json\t1\tsystem_prompts/shop.txt\ttool_definitions/shop_all.json\n"
    "conversations/shop/1.json\t1\tsystem_prompts/shop.txt\ttool_definitions/shop_all.json\n"
    "conversations/solo/0.json\t1\t-\ttool_definitions/solo\n"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENT_MEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def manifest(files: Mapping[str, bytes]) -> str:
    lines = [f"{name}\t{len(text)}\t{hashlib.sha256(text).hexdigest()}\tours" for name, text in files.items()]
    return "\n".join(["path\tbytes\tsha256\tsource", *lines, ""])


def layout(**changed: bytes | None) -> dict[str, bytes]:
    files = {"INDEX.tsv": INDEX.encode(), "MANIFEST.tsv": manifest(FILES).encode(), **FILES}
    return {name: text for name, text in {**files, **changed}.items() if text is not None}


def tar(files: Mapping[str, bytes], top: str = "corpus/") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


def saved(tmp_path: Path, content: bytes, name: str = "corpus.tar") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd in two frames": lambda c: b"".join(map(zstandard.ZstdCompressor().compress, (c[:1000], c[1000:]))),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("top", ["", "corpus/", "./corpus/"])
def test_archive(tmp_path: Path, packing: str, top: str) -> None:
    path = saved(tmp_path, PACKINGS[packing](tar(layout(), top)), "named-anyhow")
    source = corpus.load(path)
    shop, _, solo = source.sessions
    assert (shop.system_prompt, shop.tools) == (b"You sell widgets.\n", (b'{"name":"price"}', b'{"name":"stock"}'))
    assert (solo.system_prompt, solo.tools) == (b"", (b'{"name":"find"}', b'{"name":"look"}'))
    assert [json.loads(s.conversation)[0]["content"] for s in source.sessions] == ["one", "two", "three"]
    assert source.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_tool_of_the_corpus_is_listed_once_whoever_uses_it(tmp_path: Path) -> None:
    extra = {"tool_definitions/spare.json": b'[{"name": "price"}, {"name": "spare"}]'}
    files = {**layout(), **extra, "MANIFEST.tsv": manifest({**FILES, **extra}).encode()}
    names = [json.loads(tool)["name"] for tool in corpus.load(saved(tmp_path, tar(files))).tools]
    assert names == ["price", "stock", "look", "find", "spare"]


def test_directory_gives_the_same_sessions(tmp_path: Path) -> None:
    for name, text in layout().items():
        file = tmp_path / "corpus" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    packed = corpus.load(saved(tmp_path, tar(layout())))
    assert corpus.load(tmp_path / "corpus").sessions == packed.sessions


def test_second_time_reads_the_cache(tmp_path: Path, own_cache: Path) -> None:
    path = saved(tmp_path, tar(layout()))
    first = corpus.load(path)
    (unpacked,) = (p for p in (own_cache / "corpora").iterdir() if p.is_dir())
    before = unpacked.stat().st_mtime_ns
    assert corpus.load(path) == first
    assert unpacked.stat().st_mtime_ns == before


def refused(path: Path, match: str, own_cache: Path, limits: corpus.Limits | None = None) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        corpus.load(path, limits=limits or corpus.Limits())
    assert caught.value.exit_code == 2
    left = list((own_cache / "corpora").glob("*")) if own_cache.exists() else []
    assert not left, "nothing half-unpacked stays"


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../escape"])
def test_a_path_that_leads_out(tmp_path: Path, own_cache: Path, name: str) -> None:
    refused(saved(tmp_path, tar({**layout(), name: b"x"}, top="")), "outside", own_cache)
    assert not (tmp_path / "escape").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_neither_file_nor_directory(tmp_path: Path, own_cache: Path, kind: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("corpus/INDEX.tsv")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    refused(saved(tmp_path, out.getvalue()), "neither file nor directory", own_cache)


@pytest.mark.parametrize(
    "limits",
    [corpus.Limits(total=300), corpus.Limits(file=100), corpus.Limits(files=3)],
    ids=["total", "file", "files"],
)
def test_too_much(tmp_path: Path, own_cache: Path, limits: corpus.Limits) -> None:
    refused(saved(tmp_path, tar(layout())), "limit is|more than", own_cache, limits)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("keep", [0.2, 0.6, 0.9])
def test_cut_off(tmp_path: Path, own_cache: Path, packing: str, keep: float) -> None:
    whole = PACKINGS[packing](tar(layout()))
    content = tar(layout())[: int(len(FILES) * 1024 * keep)] if packing == "plain" else whole[: int(len(whole) * keep)]
    refused(saved(tmp_path, content), "not a whole tar|no INDEX|missing|says|cannot be read", own_cache)


def test_not_an_archive(tmp_path: Path, own_cache: Path) -> None:
    refused(saved(tmp_path, b"just text " * 200), "not a whole tar", own_cache)


def test_one_name_twice(tmp_path: Path, own_cache: Path) -> None:
    out = tar({**layout(), "./INDEX.tsv": INDEX.encode()})
    refused(saved(tmp_path, out), "one name twice", own_cache)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"INDEX.tsv": None}, "no INDEX.tsv"),
        ({"MANIFEST.tsv": None}, "MANIFEST.tsv cannot be read"),
        ({"INDEX.tsv": b"conversation\ttools\n"}, "no column system_prompt"),
        ({"INDEX.tsv": INDEX.encode() + b"conversations/shop/0.json\n"}, "is short"),
        ({"INDEX.tsv": INDEX.encode() + b"\xff\t\xff\t\xff\t\xff\n"}, "cannot be read"),
        ({"INDEX.tsv": INDEX.split("\n")[0].encode()}, "lists no conversation"),
        ({"INDEX.tsv": INDEX.encode() + b"../../secret\t1\t-\t-\n"}, "points outside"),
        ({"INDEX.tsv": INDEX.encode() + b"conversations/none.json\t1\t-\t-\n"}, "not in MANIFEST"),
        ({"conversations/shop/0.json": b'[{"role":"user","content":"ONE"}]'}, "is not what MANIFEST.tsv says"),
        ({"conversations/shop/0.json": None}, "missing"),
    ],
)
def test_layout_that_does_not_hold(
    tmp_path: Path, own_cache: Path, changed: dict[str, bytes | None], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        corpus.load(saved(tmp_path, tar(layout(**changed))))


@pytest.mark.parametrize("tools", [b"{", b'{"name":"one"}', b"[" * 100_000])
def test_tools_that_are_no_list(tmp_path: Path, tools: bytes) -> None:
    files = {**FILES, "tool_definitions/shop_all.json": tools}
    changed = {"tool_definitions/shop_all.json": tools, "MANIFEST.tsv": manifest(files).encode()}
    with pytest.raises(UsageError, match="is not"):
        corpus.load(saved(tmp_path, tar(layout(**changed))))


def test_directory_with_a_link_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    for name, text in layout().items():
        file = tmp_path / "corpus" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    link = tmp_path / "corpus" / "system_prompts" / "shop.txt"
    link.unlink()
    link.symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError, match="points outside"):
        corpus.load(tmp_path / "corpus")


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no corpus at"):
        corpus.load(tmp_path / "missing")


if RECORDED.is_file():  # given to the project beside its repository, never part of it

    def test_the_recorded_corpus() -> None:
        source = corpus.load(RECORDED)
        assert len(source.sessions) == 843
        assert sum(bool(session.tools) for session in source.sessions) == 200
        assert all(json.loads(session.conversation) for session in source.sessions)
