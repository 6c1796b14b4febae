"""The machine's apt configuration: real files, and the ways in which it can be of no use."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import apt
from harness.errors import LabError
from harness.pin import read_pin

DATA = Path(__file__).resolve().parent.parent / "data" / "apt"


def etc_with(tmp_path: Path, **files: str) -> Path:
    """An /etc/apt of these files; `list_NAME` is sources.list.d/NAME.list, `main` is sources.list."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    for name, content in files.items():
        kind, _, stem = name.partition("_")
        path = tmp_path / "sources.list" if kind == "main" else parts / f"{stem}.{kind}"
        path.write_text(content)
    return tmp_path


def test_a_debian_12_machines_own_file(tmp_path: Path) -> None:
    etc = etc_with(tmp_path)
    shutil.copy(DATA / "bookworm.sources", etc / "sources.list.d" / "debian.sources")
    archive = apt.machine_archive(etc)
    assert archive == apt.Archive("http://mirror.example/debian", "/usr/share/keyrings/debian-archive-keyring.gpg")


def test_one_line_files_with_and_without_options(tmp_path: Path) -> None:
    text = (
        "# deb http://old.example/debian bookworm main\n"
        "deb-src http://source.example/debian trixie main\n"
        "deb http://security.example/debian-security trixie-security main\n"
        "deb [ arch=amd64 signed-by=/etc/key.gpg ] https://mirror.example/debian/ trixie main contrib # ours\n"
    )
    archive = apt.machine_archive(etc_with(tmp_path, main=text))
    assert archive == apt.Archive("https://mirror.example/debian/", "/etc/key.gpg")


def test_a_key_inside_the_stanza_is_carried_over(tmp_path: Path) -> None:
    text = (
        "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----\n"
    )
    archive = apt.machine_archive(etc_with(tmp_path, sources_debian=text))
    written = apt.sources(archive, ["trixie-backports"])
    assert " mQINBF\n" in written
    assert written.startswith("Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie-backports\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deb http://ubuntu.example/ubuntu noble main\n",
        "deb http://mirror.example/debian trixie contrib\n",
        "deb http://security.example/debian-security bookworm-security main\n",
        "deb http://mirror.example/debian\n",
    ],
)
def test_no_debian_archive_is_said_with_the_way_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(LabError, match="names no Debian archive") as caught:
        apt.machine_archive(etc_with(tmp_path, main=text))
    assert "--source" in str(caught.value.hint)


def test_a_stanza_switched_off_does_not_count(tmp_path: Path) -> None:
    text = "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n"
    with pytest.raises(LabError):
        apt.machine_archive(etc_with(tmp_path, sources_debian=text))


def test_of_source_packages_only_their_index_is_read() -> None:
    written = apt.sources(apt.Archive("http://mirror.example/debian", ""), ["trixie"], source=True)
    assert written.startswith("Types: deb-src\n")


def test_settings_keep_the_way_to_the_network_and_drop_the_rest(tmp_path: Path) -> None:
    machine = (DATA / "config.dump").read_text() + 'Acquire::http::Proxy "http://proxy.example:3128";\n'
    ours = apt.settings(machine, tmp_path)
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in ours
    assert "Post-Invoke" not in ours
    assert f'Dir::State::status "{tmp_path}/status";' in ours
    assert 'Dir::Etc::preferences "/dev/null";' in ours


def test_the_reason_is_the_first_error_of_a_real_log() -> None:
    assert "Connection refused" in apt.reason(DATA / "refused.log")
    assert "is not signed" in apt.reason(DATA / "unsigned.log")


def test_a_mirror_that_is_gone_is_the_laboratorys_trouble(tmp_path: Path) -> None:
    archive = apt.Archive("http://127.0.0.1:9/debian", "")
    log = tmp_path / "log"
    log.touch()
    with (
        apt.PrivateApt(tmp_path / "apt", archive, ["trixie-backports"], log) as private,
        pytest.raises(LabError, match="no usable index") as caught,
    ):
        private.refresh(lambda _: None)
    assert caught.value.log == log
    assert not (tmp_path / "apt" / "apt.conf").exists()  # it may hold a proxy's password


def test_a_repository_without_signature_is_refused(tmp_path: Path) -> None:
    suite = tmp_path / "mirror" / "dists" / "trixie-backports"
    (suite / "main" / "binary-amd64").mkdir(parents=True)
    (suite / "main" / "binary-amd64" / "Packages").write_text("Package: linux-source-7.3\nVersion: 7.3.4-1\n")
    (suite / "Release").write_text("Origin: Debian\nSuite: trixie-backports\nComponents: main\nArchitectures: amd64\n")
    log = tmp_path / "log"
    log.touch()
    archive = apt.Archive(f"file:{tmp_path}/mirror", "")
    with apt.PrivateApt(tmp_path / "apt", archive, ["trixie-backports"], log) as private:
        with pytest.raises(LabError, match="no usable index"):
            private.refresh(lambda _: None)
        assert private.versions(read_pin().debian.package) == []
        with pytest.raises(LabError, match="could not download"):
            private.download(read_pin().debian.package, "7.3.4-1", lambda _: None)
