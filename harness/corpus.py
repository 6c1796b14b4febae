"""Archives of recorded agent conversations: unpacked with care, verified by their manifest, read as sessions.

Layout (at the top of the archive or in its one directory): INDEX.tsv with a line for each conversation
(conversation, messages, system_prompt, tools; `-` for none), MANIFEST.tsv with path, bytes and sha256 of each
file, and the files. A tools entry is a JSON list of definitions, or a folder with one definition per file.
Contents are data, never code or instructions.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import zstandard

from harness.cache import cache_dir, locked, new_dir, sha256_file
from harness.errors import UsageError
from harness.progress import Update
from harness.sessions import Session, Source, compact

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC = b"\x1f\x8b"
MAX_WINDOW = 1 << 27  # bytes; what `zstd` itself accepts without --long
INDEX_COLUMNS = ("conversation", "system_prompt", "tools")
MANIFEST_COLUMNS = ("path", "bytes", "sha256")
NONE = "-"
TOOLS = "tool_definitions"
HINT = "docs/demo.md tells the layout of a corpus"


@dataclass(frozen=True)
class Limits:
    """How much a hostile archive may make us write."""

    total: int = 8 << 30  # bytes
    file: int = 1 << 30  # bytes
    files: int = 1_000_000


def load(path: Path, update: Update = lambda _: None, limits: Limits = Limits()) -> Source:  # noqa: B008  (frozen)
    """Reads the corpus at `path`: an unpacked directory, or a tar archive, plain, gzip or zstd.

    An archive is unpacked and verified once, into the cache (key: its SHA-256).
    UsageError says what is wrong.
    """
    if path.is_dir():
        root = _root(path, path)
        _verify(root, path, update)
        digest = hashlib.sha256((root / "MANIFEST.tsv").read_bytes() + (root / "INDEX.tsv").read_bytes()).hexdigest()
    elif path.is_file():
        digest = sha256_file(path)
        root = _unpacked(path, digest, update, limits)
    else:
        raise UsageError(
            f"there is no corpus at {path}", hint="--corpus takes a .tar.zst, .tar.gz, .tar or a directory"
        )
    sessions = tuple(_sessions(root, path))
    if not sessions:
        raise UsageError(f"{path}: INDEX.tsv lists no conversation", hint=HINT)
    return Source("corpus", path.name, digest, sessions, tools=tuple(dict.fromkeys(_all_tools(root, path))))


# -- unpacking --


def _unpacked(archive: Path, digest: str, update: Update, limits: Limits) -> Path:
    target = cache_dir() / "corpora" / digest
    with locked(f"corpus-{digest[:16]}"):
        if not target.is_dir():
            with new_dir(target) as aside:
                _extract(archive, aside, update, limits)
                _verify(_root(aside, archive), archive, update)
    return _root(target, archive)


def _extract(archive: Path, into: Path, update: Update, limits: Limits) -> None:
    total = files = 0
    try:
        with _opened(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                name = _safe_name(member, archive)
                if member.isdir():
                    into.joinpath(name).mkdir(parents=True, exist_ok=True)
                    continue
                files, total = files + 1, total + member.size
                _within(member, files, total, limits, archive)
                _write(tar, member, into / name)
                if files % 200 == 0:
                    update(f"{files} files, {total >> 20} MB")
    except (tarfile.TarError, zstandard.ZstdError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UsageError(f"{archive} is not a whole tar archive: {error}", hint=HINT) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UsageError(f"{archive} holds one name twice: {error.filename}", hint=HINT) from error


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[IO[bytes]]:
    """The plain tar stream, whatever the archive is packed with: told by content, not by name."""
    with archive.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic == ZSTD_MAGIC:
            reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(raw, read_across_frames=True)
            with io.BufferedReader(reader, 1 << 20) as stream:
                yield stream
        elif magic[:2] == GZIP_MAGIC:
            with gzip.open(raw) as unzipped:
                yield unzipped  # type: ignore[misc]
        else:
            yield raw


def _safe_name(member: tarfile.TarInfo, archive: Path) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\0" in member.name:
        raise UsageError(f"{archive} wants to write outside its directory: {member.name!r}")
    if not (member.isreg() or member.isdir()):
        raise UsageError(f"{archive} holds something that is neither file nor directory: {member.name!r}")
    return name


def _within(member: tarfile.TarInfo, files: int, total: int, limits: Limits, archive: Path) -> None:
    if member.size > limits.file:
        raise UsageError(f"{archive}: {member.name} has {member.size} bytes, the limit is {limits.file}")
    if files > limits.files or total > limits.total:
        raise UsageError(f"{archive} unpacks to more than {limits.files} files or {limits.total} bytes")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # a regular file, by _safe_name
    with target.open("xb") as out:
        while block := content.read(1 << 20):
            out.write(block)
        if out.tell() != member.size:
            raise tarfile.ReadError(f"{member.name} ends early")


def _root(path: Path, named: Path) -> Path:
    candidates = [path, *(sorted(child for child in path.iterdir() if child.is_dir()))]
    for candidate in candidates:
        if (candidate / "INDEX.tsv").is_file():
            return candidate
    raise UsageError(f"{named} is no corpus: it has no INDEX.tsv", hint=HINT)


# -- reading --


def _rows(table: Path, columns: tuple[str, ...], named: Path) -> Iterator[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"{named}: {table.name} has no column {', '.join(missing)}", hint=HINT)
            for row in reader:
                if any(row[column] is None for column in columns):
                    raise UsageError(f"{named}: {table.name} line {reader.line_num} is short", hint=HINT)
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{named}: {table.name} cannot be read: {error}", hint=HINT) from error


def _inside(root: Path, name: str, named: Path) -> Path:
    """The path of `name` below root; a link that leads out of the corpus is refused."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise UsageError(f"{named} points outside itself: {name!r}")
    return path


def _verify(root: Path, named: Path, update: Update) -> None:
    """Each file of the manifest has its size and SHA-256, and each file that INDEX.tsv uses is in it."""
    update("verifying checksums")
    listed: set[str] = set()
    for row in _rows(root / "MANIFEST.tsv", MANIFEST_COLUMNS, named):
        path = _inside(root, row["path"], named)
        if not path.is_file():
            raise UsageError(f"{named}: {row['path']} is in MANIFEST.tsv and missing", hint=HINT)
        if str(path.stat().st_size) != row["bytes"] or sha256_file(path) != row["sha256"]:
            raise UsageError(f"{named}: {row['path']} is not what MANIFEST.tsv says (size or SHA-256 differs)")
        listed.add(row["path"])
    for row in _rows(root / "INDEX.tsv", INDEX_COLUMNS, named):
        used = {name for column in INDEX_COLUMNS for name in _files(root, row[column], named)}
        if used - listed:
            raise UsageError(f"{named}: {min(used - listed)} is used by INDEX.tsv and not in MANIFEST.tsv", hint=HINT)


def _files(root: Path, name: str, named: Path) -> list[str]:
    """The files behind an entry of INDEX.tsv: none, one, or a folder's."""
    if name == NONE:
        return []
    path = _inside(root, name, named)
    if path.is_dir():
        return sorted(str(PurePosixPath(name) / child.name) for child in path.glob("*.json"))
    return [name]


def _sessions(root: Path, named: Path) -> Iterator[Session]:
    prompts: dict[str, bytes] = {}
    tools: dict[str, tuple[bytes, ...]] = {}
    for row in _rows(root / "INDEX.tsv", INDEX_COLUMNS, named):
        prompt, listed = row["system_prompt"], row["tools"]
        if prompt not in prompts:
            prompts[prompt] = b"".join(_read(root, name, named) for name in _files(root, prompt, named))
        if listed not in tools:
            tools[listed] = tuple(_tools(root, listed, named))
        conversation = _read(root, row["conversation"], named)
        if conversation:
            yield Session(row["conversation"], prompts[prompt], tools[listed], conversation)


def _all_tools(root: Path, named: Path) -> Iterator[bytes]:
    """Every definition of the manifest, compact: lists and folders tell many of them twice."""
    for row in _rows(root / "MANIFEST.tsv", MANIFEST_COLUMNS, named):
        path = PurePosixPath(row["path"])
        if path.parts[:1] != (TOOLS,) or path.suffix != ".json":
            continue
        if len(path.parts) == 2:
            yield from _tools(root, row["path"], named)
        else:
            yield _compacted(_read(root, row["path"], named), row["path"], named)


def _compacted(text: bytes, name: str, named: Path) -> bytes:
    try:
        return compact(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{named}: {name} is not JSON: {error}", hint=HINT) from error


def _read(root: Path, name: str, named: Path) -> bytes:
    try:
        return _inside(root, name, named).read_bytes()
    except OSError as error:
        raise UsageError(f"{named}: {name} cannot be read: {error.strerror}", hint=HINT) from error


def _tools(root: Path, name: str, named: Path) -> Iterator[bytes]:
    if name != NONE and _inside(root, name, named).is_dir():
        for file in _files(root, name, named):
            yield _read(root, file, named)
        return
    for file in _files(root, name, named):
        try:
            definitions = json.loads(_read(root, file, named))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{named}: {file} is not JSON: {error}", hint=HINT) from error
        if not isinstance(definitions, list):
            raise UsageError(f"{named}: {file} is not a list of tool definitions", hint=HINT)
        yield from map(compact, definitions)
