"""The guest's root: an initramfs of a static busybox, our first process and given files, written here (no root needed).

Two archives one after the other, which the kernel unpacks in turn: what is the same for every boot, and what is not.
Both are kept by content, so a second boot packs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard
from elftools.elf.elffile import ELFFile

from harness import proc
from harness.cache import cache_dir, log_file, new_file, sha256_file
from harness.errors import LabError, ToolError, UsageError

SOURCES = Path(__file__).parent / "guest"
LEVEL = 9  # zstd: beyond, packing takes longer than it saves
FLAGS = ("-static", "-O2", "-Wall", "-Werror")
DIRECTORIES = ("dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp")
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/profile": "export PS1='\\h:\\w\\$ '\n",
}


@dataclass(frozen=True)
class Entry:
    """One file of an archive. mode has the type, as in stat; device: major and minor of a device node."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


# -- programs ------------------------------------------------------------------------------------------------------


def compile_static(
    sources: Sequence[Path], *, headers: Path, name: str, flags: Sequence[str] = (), libraries: Sequence[str] = ()
) -> Path:
    """A static program for the guest, made of C sources against a kernel's headers (`headers`/include).

    Kept by the content of all that the compiler reads. ToolError carries its first complaints.
    """
    common = ["gcc", *FLAGS, "-isystem", str(headers / "include"), *flags]
    log = log_file(f"compile-{name}")
    files = [str(source) for source in sources]
    seen = _compiler([*common, "-E", "-P", *files], name, log)
    archives = [_archive(library, name, log) for library in ("c", *libraries)]
    parts = (seen, *flags, *FLAGS, name, _gcc(), *archives)
    made = cache_dir() / "programs" / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24] / name
    if not made.exists():
        with new_file(made) as aside:
            _compiler([*common, "-o", str(aside), *files, *(f"-l{library}" for library in libraries)], name, log)
            aside.chmod(0o755)
    return made


def _archive(library: str, name: str, log: Path) -> str:
    """What tells one version of a static library from another."""
    found = Path(_compiler(["gcc", f"-print-file-name=lib{library}.a"], name, log).strip())
    if not found.is_absolute():
        raise ToolError(f"gcc finds no static library lib{library}.a", hint="./lab doctor --fix")
    return f"{found.stat().st_size} {found.stat().st_mtime_ns}"


@functools.cache
def _gcc() -> str:
    return proc.run(["gcc", "--version"], timeout=60).stdout.splitlines()[0]


def _compiler(argv: list[str], name: str, log: Path) -> str:
    """The compiler's output; a ToolError with its first two complaints, all of them in the log."""
    done = proc.run(argv, timeout=300, check=False)
    if done.code == 0:
        return done.stdout
    log.write_text(f"{' '.join(argv)}\n{done.stderr}")
    wanted = (": error:", ": fatal error:", "undefined reference", "cannot find")
    complaints = [line for line in done.stderr.splitlines() if any(word in line for word in wanted)]
    first = "\n  ".join(complaints[:2]) or f"gcc ended with exit code {done.code}"
    raise ToolError(f"the guest's program {name} does not compile:\n  {first}", log=log, hint=f"less {log}")


def busybox() -> Path:
    """The machine's static busybox."""
    found = shutil.which("busybox", path=f"{os.environ.get('PATH', '')}:/bin:/usr/bin:/sbin:/usr/sbin")
    if found is None:
        raise ToolError("busybox is not installed", hint="./lab doctor --fix")
    if not is_static(Path(found)):
        raise ToolError(f"{found} is not a static program", hint="./lab doctor --fix (package busybox-static)")
    return Path(found)


def is_static(program: Path) -> bool:
    """Whether it runs where there is no dynamic loader."""
    with program.open("rb") as stream:
        return all(segment["p_type"] != "PT_INTERP" for segment in ELFFile(stream).iter_segments())


# -- archives ------------------------------------------------------------------------------------------------------


def build(headers: Path, files: Mapping[str, Path]) -> Path:
    """The initramfs with `files` (path in the guest -> local file; permissions are taken along) in it.

    UsageError for a path that cannot be in the guest or a local file that cannot be read.
    """
    init = compile_static(sorted(SOURCES.glob("*.c")), headers=headers, name="init")
    base = _kept([sha256_file(init), sha256_file(busybox())], lambda: _base(init))
    if not files:
        return base
    given = sorted((guest_path(guest), local) for guest, local in files.items())
    keys = [f"{guest}\0{_mode(local):o}\0{_digest(local)}" for guest, local in given]
    return _kept([base.name, *keys], lambda: _given(given), before=base)


def _kept(keys: Sequence[str], entries: Callable[[], Iterable[Entry]], before: Path | None = None) -> Path:
    recipe = sha256_file(Path(__file__))  # the writer is part of what is written
    key = hashlib.sha256("\n".join([recipe, *keys]).encode()).hexdigest()[:24]
    made = cache_dir() / "initramfs" / f"{key}.cpio.zst"
    if not made.exists():
        packed = zstandard.ZstdCompressor(level=LEVEL).compress(archive(entries()))
        with new_file(made) as aside:
            aside.write_bytes((before.read_bytes() if before else b"") + packed)
    return made


def _base(init: Path) -> list[Entry]:
    box = busybox()
    applets = proc.run([str(box), "--list-full"], timeout=60).stdout.split()
    inside = Entry("bin/busybox", stat.S_IFREG | 0o755, box.read_bytes())
    entries = [
        *(Entry(name, stat.S_IFDIR | 0o755) for name in DIRECTORIES),
        Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),  # the kernel opens it before anything is mounted
        Entry("init", stat.S_IFREG | 0o755, init.read_bytes()),
        inside,
        *(Entry(name, stat.S_IFREG | 0o644, text.encode()) for name, text in TEXTS.items()),
        *(Entry(name, stat.S_IFLNK | 0o777, b"/bin/busybox") for name in applets if name not in ("init", inside.path)),
    ]
    return with_parents(entries)


def _given(files: Sequence[tuple[str, Path]]) -> list[Entry]:
    return with_parents([Entry(guest, stat.S_IFREG | _mode(local), local.read_bytes()) for guest, local in files])


def guest_path(path: str) -> str:
    """A path in the guest as an archive has it: from the root, without . and .. UsageError if there is none such."""
    whole = posixpath.normpath("/" + path).lstrip("/")
    if not whole or ".." in path.split("/") or "\0" in path or path.endswith("/"):
        raise UsageError(f"{path!r} is no path of a file in the guest")
    return whole


def _mode(local: Path) -> int:
    try:
        return stat.S_IMODE(local.stat().st_mode) & 0o777
    except OSError as error:
        raise UsageError(f"{local} cannot be read: {error.strerror}") from error


def _digest(local: Path) -> str:
    try:
        return sha256_file(local)
    except OSError as error:
        raise UsageError(f"{local} cannot be read: {error.strerror}") from error


def with_parents(entries: Sequence[Entry]) -> list[Entry]:
    """Each directory before what is in it: the kernel makes none by itself."""
    ordered: dict[str, Entry] = {}
    for entry in entries:
        for parent in reversed(Path(entry.path).parents):
            if str(parent) != ".":
                ordered.setdefault(str(parent), Entry(str(parent), stat.S_IFDIR | 0o755))
        ordered[entry.path] = entry
    return list(ordered.values())


def archive(entries: Iterable[Entry]) -> bytes:
    """A cpio archive (newc) of the entries: all root's, all of 1970, so equal content is an equal archive."""
    if entries := list(entries):
        overlong = next((entry for entry in entries if len(entry.content) >= 1 << 32), None)
        if overlong:
            raise LabError(f"{overlong.path} has 4 GB or more, an initramfs cannot hold it", hint="push it instead")
    members = [_member(number, entry) for number, entry in enumerate(entries, 1)]
    return b"".join([*members, _member(0, Entry("TRAILER!!!", 0))])


def _member(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(head) + _padded(entry.content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)
