"""The machine's Debian mirror, read through an apt state of our own.

The mirror and its proxy are the machine's; suites, lists, cache and preferences are ours, so a Debian 12 machine can
read trixie-backports, no root is needed, and the machine's own apt never notices. apt verifies the signed Release file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import proc
from harness.errors import LabError
from harness.progress import Update

# Names under which a mirror's main archive is configured; `-security`, `-updates` and others are left out.
SUITES = frozenset(
    ("bullseye", "bookworm", "trixie", "forky", "duke", "sid")
    + ("oldoldstable", "oldstable", "stable", "testing", "unstable")
)
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
ETC = Path("/etc/apt")
RELEVANT = ("Acquire::", "APT::Architecture ")  # of the machine's settings: proxies, time-outs, certificates
NEXT = "harness fetch --source TREE|TARBALL|kernel.org"


@dataclass(frozen=True)
class Archive:
    """Where a Debian archive is, and the key that signs it: a file, a key block, or empty for apt's own trust."""

    uri: str
    signed_by: str


@dataclass(frozen=True)
class Entry:
    """One line or stanza of the machine's sources."""

    types: tuple[str, ...]
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


def machine_archive(etc: Path = ETC) -> Archive:
    """The archive this machine installs Debian from; LabError if its configuration names none."""
    for entry in entries(etc):
        if "deb" in entry.types and "main" in entry.components and SUITES.intersection(entry.suites) and entry.uris:
            return Archive(entry.uris[0], entry.signed_by or _keyring())
    raise LabError(f"the apt configuration in {etc} names no Debian archive", hint=NEXT)


def _keyring() -> str:
    return next((str(path) for path in KEYRINGS if path.exists()), "")


def entries(etc: Path) -> Iterator[Entry]:
    """All sources in apt's order: sources.list first, then sources.list.d by name."""
    parts = etc / "sources.list.d"
    for path in [etc / "sources.list", *sorted(parts.glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(errors="replace")
        if path.suffix == ".sources":
            yield from deb822_entries(text)
        elif path.suffix == ".list":
            yield from one_line_entries(text)


def one_line_entries(text: str) -> Iterator[Entry]:
    """`deb [option=value ...] URI SUITE COMPONENT...` lines."""
    for line in text.splitlines():
        words = line.split("#", 1)[0].replace("[", " [ ").replace("]", " ] ").split()
        if len(words) < 3 or words[0] not in ("deb", "deb-src"):
            continue
        options: list[str] = []
        rest = words[1:]
        if rest[0] == "[" and "]" in rest:
            end = rest.index("]")
            options, rest = rest[1:end], rest[end + 1 :]
        if len(rest) < 2:
            continue
        signed = next((o.partition("=")[2] for o in options if o.startswith("signed-by=")), "")
        yield Entry((words[0],), (rest[0],), (rest[1],), tuple(rest[2:]), signed)


def deb822_entries(text: str) -> Iterator[Entry]:
    """Stanzas of `Field: value`, a value going on in indented lines; `Enabled: no` leaves one out."""
    for stanza in stanzas(text):
        if stanza.get("enabled", "yes").lower() in ("no", "false", "0", "off", "without", "disable"):
            continue
        words = {name: tuple(stanza.get(name, "").split()) for name in ("types", "uris", "suites", "components")}
        yield Entry(words["types"], words["uris"], words["suites"], words["components"], stanza.get("signed-by", ""))


def stanzas(text: str) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            fields[name] = f"{fields.get(name, '')}\n{line}"
        else:
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()


class PrivateApt:
    """apt-get with everything but the machine's mirror, proxy and keys in `directory`. source: of source packages."""

    def __init__(
        self, directory: Path, archive: Archive, suites: Iterable[str], log: Path, *, source: bool = False
    ) -> None:
        self._directory, self._log = directory, log
        self._settings = directory / "apt.conf"
        for name in ("lists/partial", "cache/archives/partial", "sources.d", "preferences.d", "parts.d"):
            directory.joinpath(name).mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()
        (directory / "sources.d" / "base.sources").write_text(sources(archive, suites, source=source))
        self._settings.touch(mode=0o600)  # a proxy's password may be among the machine's settings
        machine = proc.run(["apt-config", "dump"], timeout=60).stdout
        self._settings.write_text(settings(machine, directory))

    def __enter__(self) -> PrivateApt:
        return self

    def __exit__(self, *_: object) -> None:
        self._settings.unlink(missing_ok=True)

    def refresh(self, update: Update) -> None:
        """Reads the suites' indexes; LabError if the mirror is not there, lacks them, or their signature is bad."""
        code = self._get(["update", "--error-on=any"], update, timeout=600)
        if code != 0:
            raise LabError(
                f"the machine's Debian mirror gives no usable index: {reason(self._log)}", log=self._log, hint=NEXT
            )

    def versions(self, package: str) -> list[str]:
        """What the suites offer, newest first."""
        table = proc.run(["apt-cache", "madison", package], env=self._env, timeout=120, check=False).stdout
        return [fields[1] for line in table.splitlines() if len(fields := [f.strip() for f in line.split("|")]) >= 3]

    def download(self, package: str, version: str, update: Update) -> Path:
        """The .deb, its checksum compared by apt with the signed index."""
        for old in self._directory.glob("*.deb"):
            old.unlink()
        code = self._get(["download", f"{package}={version}"], update, timeout=3600)
        found = sorted(self._directory.glob("*.deb"))
        if code != 0 or not found:
            raise LabError(
                f"apt-get could not download {package} {version}: {reason(self._log)}", log=self._log, hint=NEXT
            )
        return found[0]

    def download_source(self, package: str, version: str, update: Update) -> list[Path]:
        """The tarballs of a source package but Debian's own, their checksums compared by apt with the signed index."""
        for old in self._directory.glob("*.orig*.tar.*"):
            old.unlink()
        how = ["--download-only", "--tar-only"]
        code = self._get(["source", *how, f"{package}={version}"], update, timeout=3600)
        found = sorted(self._directory.glob("*.orig*.tar.*"))
        if code != 0 or not found:
            cause = f"apt-get could not download the source of {package} {version}: {reason(self._log)}"
            raise LabError(cause, log=self._log)
        return found

    def download_all(self, packages: list[str]) -> list[Path]:
        """The .debs of packages and of all that they depend on, as on a machine without any."""
        kept = self._directory / "cache" / "archives"
        for old in kept.glob("*.deb"):
            old.unlink()
        how = ["--download-only", "--yes", "--no-install-recommends"]
        if self._get(["install", *how, *packages], lambda _: None, timeout=1800) != 0:
            raise LabError(f"apt-get could not download {', '.join(packages)}: {reason(self._log)}", log=self._log)
        return sorted(kept.glob("*.deb"))

    @property
    def _env(self) -> dict[str, str]:
        return {"APT_CONFIG": str(self._settings)}

    def _get(self, arguments: list[str], update: Update, timeout: float) -> int:
        argv = ["apt-get", "-q", "-o", "APT::Status-Fd=1", *arguments]

        def line(text: str) -> None:
            if text.startswith("dlstatus:") and len(fields := text.split(":", 3)) == 4:
                update(f"{float(fields[2] or 0):.0f} % of the download")

        return proc.run_logged(argv, self._log, cwd=self._directory, env=self._env, timeout=timeout, on_line=line)


def sources(archive: Archive, suites: Iterable[str], *, source: bool = False) -> str:
    signed = f"Signed-By: {archive.signed_by}\n" if archive.signed_by else ""
    types = "deb-src" if source else "deb"
    return f"Types: {types}\nURIs: {archive.uri}\nSuites: {' '.join(suites)}\nComponents: main\n{signed}"


def settings(machine: str, directory: Path) -> str:
    """Our apt.conf: the machine's way to the network, and nothing else of it (hooks, pins, sources)."""
    kept = [line for line in machine.splitlines() if line.startswith(RELEVANT)]
    ours = {
        "Dir::State": directory,
        "Dir::State::lists": directory / "lists",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": directory / "sources.d",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": directory / "preferences.d",
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": directory / "parts.d",
        "APT::Sandbox::User": "root",
        "APT::Get::List-Cleanup": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    written = [f'{name} "{value}";' for name, value in ours.items()]
    return "\n".join([*kept, "#clear Acquire::Languages;", *written, ""])


def reason(log: Path) -> str:
    """What apt stopped at: its first error, which the later ones only sum up, or its last warning."""
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("E:")]
    warnings = [line for line in lines if line.startswith(("W:", "Err:"))]
    return (errors[:1] or warnings[-1:] or ["it gave no reason"])[0]


def available() -> bool:
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None
