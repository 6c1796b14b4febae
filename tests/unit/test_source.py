"""Every source of the base, small: real tar, git and dpkg-deb; the ways in which each can be wrong."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cache, git, kernel_org, source
from harness.cache import sha256_file
from harness.errors import HarnessError, LabError, UsageError
from harness.pin import Pin, read_pin, read_series
from harness.progress import Update
from tests.unit.laboratory import FILES, Laboratory

PACKAGE = "linux-source-7.3"
SUMS = """\
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

1111111111111111111111111111111111111111111111111111111111111111  linux-7.3.3.tar.xz
2222222222222222222222222222222222222222222222222222222222222222  linux-7.3.4.tar.xz
3333333333333333333333333333333333333333333333333333333333333333  patch-7.3.4.xz
-----BEGIN PGP SIGNATURE-----
"""


def silent(_: str) -> None:
    pass


def tarball(directory: Path, sublevel: int = 4, **extra: str) -> Path:
    """linux-source-7.3.tar.xz of a kernel of five files."""
    tree = directory / PACKAGE
    for name, content in {**FILES, **extra}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content.replace("SUBLEVEL = 4", f"SUBLEVEL = {sublevel}"))
    made = directory / f"{PACKAGE}.tar.xz"
    subprocess.run(["tar", "-C", str(directory), "-cJf", str(made), PACKAGE], check=True)
    return made


@pytest.fixture
def fresh(laboratory: Laboratory) -> Laboratory:
    """Nothing fetched yet."""
    (laboratory.repo / ".work" / "base.json").unlink()
    return laboratory


def pinned(tar: Path, deb: Path | None = None) -> Pin:
    pin = read_pin()
    debian = dataclasses.replace(
        pin.debian, tarball_sha256=sha256_file(tar), deb_sha256=sha256_file(deb) if deb else pin.debian.deb_sha256
    )
    return dataclasses.replace(pin, debian=debian)


def use(monkeypatch: pytest.MonkeyPatch, pin: Pin) -> None:
    monkeypatch.setattr(source, "read_pin", lambda: pin)


# -- tarballs ------------------------------------------------------------------------------------------------------


def test_a_tarball_becomes_one_commit_with_the_same_id_anywhere(fresh: Laboratory, tmp_path: Path) -> None:
    tar = tarball(tmp_path)
    first = source.fetch(str(tar), silent)
    assert (first.version, first.verified) == ("7.3.4", "")
    assert git.is_clean(Path(first.repository))
    again = dataclasses.replace(source.fetch(str(tar), silent))
    assert again == first
    (fresh.cache / "source").rename(fresh.cache / "gone")
    assert source.fetch(str(tar), silent).commit == first.commit == git.line(fresh.base, "rev-parse", "HEAD")


def test_the_pinned_content_is_recognised_by_its_checksum(
    fresh: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = tarball(tmp_path)
    use(monkeypatch, pinned(tar))
    got = source.fetch(str(tar), silent)
    assert "series.toml" in got.verified
    assert Path(got.repository).name == "linux-7.3.4"
    (fresh.repo / ".work" / "base.json").unlink()
    assert source.base() == got  # another checkout finds it


def test_another_release_of_the_series_is_taken_with_a_note(fresh: Laboratory, tmp_path: Path) -> None:
    got = source.fetch(str(tarball(tmp_path, sublevel=9)), silent)
    assert got.version == "7.3.9"
    assert "7.3.9 in place of the pinned 7.3.4" in got.note


def test_another_series_and_what_is_no_kernel_are_refused(fresh: Laboratory, tmp_path: Path) -> None:
    other = tarball(tmp_path, Makefile="VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\n")
    with pytest.raises(UsageError, match=r"Linux 6\.12\.1; the series needs Linux 7\.3\.y"):
        source.fetch(str(other), silent)
    none = tarball(tmp_path, Makefile="all:\n")
    with pytest.raises(UsageError, match="no Linux kernel"):
        source.fetch(str(none), silent)
    assert not [path for path in (fresh.cache / "source").iterdir() if not path.name.startswith(".")]


def test_half_a_tarball_leaves_nothing(fresh: Laboratory, tmp_path: Path) -> None:
    tar = tarball(tmp_path)
    tar.write_bytes(tar.read_bytes()[:-200])
    with pytest.raises(UsageError, match="not a whole archive") as caught:
        source.fetch(str(tar), silent)
    assert caught.value.log is not None and caught.value.log.exists()
    assert list((fresh.cache / "source").iterdir()) == []


def test_killed_while_unpacking_it_starts_over_and_leaves_no_rest(fresh: Laboratory, tmp_path: Path) -> None:
    tar = tarball(tmp_path)
    script = (
        "import time\nfrom harness import cache, source\nfrom pathlib import Path\n"
        f"cache.REPO = Path({str(fresh.repo)!r})\n"
        "source._commit = lambda *_: (print('unpacked', flush=True), time.sleep(60))\n"
        f"source.fetch({str(tar)!r}, lambda _: None)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "unpacked\n"
    run.kill()
    run.wait()
    run.stdout.close()
    assert len(list((fresh.cache / "source").iterdir())) == 1  # the half
    got = source.fetch(str(tar), silent)
    assert [str(path) for path in (fresh.cache / "source").iterdir()] == [got.repository]


def test_no_room_is_said_before_unpacking(fresh: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "NEEDED_FREE", 1 << 60)
    with pytest.raises(LabError, match="MB are free"):
        source.fetch(str(tarball(tmp_path)), silent)


# -- trees ---------------------------------------------------------------------------------------------------------


def test_the_users_own_tree_is_used_where_it_is_and_not_vouched_for(fresh: Laboratory) -> None:
    got = source.fetch(str(fresh.base), silent)
    assert (got.repository, got.verified, got.version) == (str(fresh.base), "", "7.3.4")
    assert source.base() == got


def test_what_is_no_tree_is_refused_with_the_next_step(fresh: Laboratory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such tree or tarball"):
        source.fetch(str(tmp_path / "nowhere"), silent)
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(UsageError, match="not a git tree"):
        source.fetch(str(plain), silent)
    git.git(plain, "init", "--quiet")
    with pytest.raises(UsageError, match="no commit yet"):
        source.fetch(str(plain), silent)


def test_a_recorded_base_that_went_away_is_fetched_anew(fresh: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    source.fetch(str(fresh.base), silent)
    fresh.base.rename(fresh.base.with_name("moved"))
    refuse_both(monkeypatch)
    with pytest.raises(LabError, match="no source of Linux"):
        source.base()


def test_a_default_of_an_older_pin_makes_way(fresh: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    record = fresh.repo / ".work" / "base.json"
    source.fetch(str(fresh.base), silent)
    table = json.loads(record.read_text())
    record.write_text(json.dumps({**table, "pin": "7.3.1"}))
    assert source.base().repository == str(fresh.base)  # the user named it: it stays
    record.write_text(json.dumps({**table, "pin": "7.3.1", "named": False}))
    refuse_both(monkeypatch)
    with pytest.raises(LabError):
        source.base()


# -- Debian --------------------------------------------------------------------------------------------------------


def deb(directory: Path, tar: Path) -> Path:
    """A package as Debian's, with this tarball in it."""
    root = directory / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr" / "src").mkdir(parents=True)
    (root / "usr" / "src" / tar.name).write_bytes(tar.read_bytes())
    control = f"Package: {PACKAGE}\nVersion: 7.3.4-1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n"
    (root / "DEBIAN" / "control").write_text(control)
    made = directory / "downloaded.deb"
    subprocess.run(["dpkg-deb", "-b", str(root), str(made)], check=True, stdout=subprocess.DEVNULL)
    return made


def test_the_tarball_is_taken_out_of_the_package_and_verified(fresh: Laboratory, tmp_path: Path) -> None:
    tar = tarball(tmp_path)
    package = deb(tmp_path, tar)
    pin = pinned(tar, package)
    kept = fresh.cache / "downloads" / "kept.tar.xz"
    source._keep_tarball(package, kept, pin.debian.version, pin)
    assert kept.read_bytes() == tar.read_bytes()
    assert "SHA-256" in source._vouch(kept, pin.debian.version, pin)
    assert "SHA-256" not in source._vouch(kept, "7.3.9-1", pin)  # newer: the archive's signature alone


def test_a_package_or_tarball_that_is_not_the_pinned_one_is_thrown_away(fresh: Laboratory, tmp_path: Path) -> None:
    tar = tarball(tmp_path)
    package = deb(tmp_path, tar)
    pin = read_pin()
    kept = fresh.cache / "kept.tar.xz"
    with pytest.raises(LabError, match="expected 703e369d"):
        source._keep_tarball(package, kept, pin.debian.version, pin)
    assert not package.exists() and not kept.exists()
    with pytest.raises(LabError, match="expected 76df1aff"):
        source._vouch(tar, pin.debian.version, pin)
    assert not tar.exists()


@pytest.mark.parametrize(
    ("offered", "picked"),
    [
        (["7.3.4-1~bpo13+1"], "7.3.4-1~bpo13+1"),
        (["7.3.6-1~bpo13+1", "7.3.4-1~bpo13+1"], "7.3.4-1~bpo13+1"),
        (["7.3.6-1~bpo13+1", "7.3.5-1~bpo13+1"], "7.3.6-1~bpo13+1"),
    ],
)
def test_the_pinned_version_is_preferred_and_a_newer_one_taken(offered: list[str], picked: str) -> None:
    assert source.pick(offered, read_pin()) == picked


@pytest.mark.parametrize("offered", [[], ["7.4.1-1~bpo13+1"]])
def test_a_mirror_without_the_series_is_told(offered: list[str]) -> None:
    with pytest.raises(LabError, match="offers no linux-source-7.3 in trixie-backports") as caught:
        source.pick(offered, read_pin())
    assert "kernel.org" in str(caught.value.hint)


# -- kernel.org, and the order -------------------------------------------------------------------------------------


def refuse_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        def fails(pin: Pin, update: Update) -> source.Tarball:
            raise LabError(f"{name} does not answer")

        return fails

    monkeypatch.setattr(source, "_from_debian", refuse("the mirror"))
    monkeypatch.setattr(source, "_from_kernel_org", refuse("the site"))


def test_when_nothing_works_both_reasons_are_told(fresh: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_both(monkeypatch)
    with pytest.raises(LabError, match=r"Debian: the mirror does not answer\. kernel\.org: the site does not"):
        source.fetch(None, silent)
    for name in ("debian", "kernel.org"):
        with pytest.raises(HarnessError, match="does not answer"):
            source.fetch(name, silent)


def test_the_checksum_list() -> None:
    assert kernel_org.checksum_of("linux-7.3.4.tar.xz", SUMS) == "2" * 64
    for name in ("linux-7.3.5.tar.xz", "7.3.4.tar.xz", "linux-7.3.4.tar"):
        with pytest.raises(LabError, match="0 times"):
            kernel_org.checksum_of(name, SUMS)
    twice = SUMS + f"{'4' * 64}  linux-7.3.4.tar.xz\n"
    with pytest.raises(LabError, match="2 times"):
        kernel_org.checksum_of("linux-7.3.4.tar.xz", twice)


def test_a_site_out_of_reach_and_a_wrong_download(
    fresh: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    tar = tarball(tmp_path)
    where = dataclasses.replace(read_pin().kernel_org, directory=site.as_uri(), tarball=tar.name)
    use(monkeypatch, dataclasses.replace(pinned(tar), kernel_org=where))
    with pytest.raises(LabError, match="cannot be read"):
        source.fetch("kernel.org", silent)
    (site / where.checksums).write_text(f"{'0' * 64}  {tar.name}\n")
    with pytest.raises(LabError, match="cannot be downloaded"):
        source.fetch("kernel.org", silent)
    (site / tar.name).write_bytes(tar.read_bytes())
    with pytest.raises(LabError, match="expected 000000"):
        source.fetch("kernel.org", silent)
    assert not list((fresh.cache / "downloads").iterdir())
    (site / where.checksums).write_text(f"{sha256_file(tar)}  {tar.name}\n")
    assert "read over TLS" in source.fetch("kernel.org", silent).verified


# -- patches/series.toml -------------------------------------------------------------------------------------------


def test_the_pin_and_the_series_read(tmp_path: Path) -> None:
    assert read_pin().series == "7.3"
    assert read_series().subject_prefix.endswith(f"v{read_series().version}")
    broken = tmp_path / "series.toml"
    for text in ("version = ", "version = 1\n", "[base]\nversion = '7.3.4'\n"):
        broken.write_text(text)
        with pytest.raises(UsageError, match=r"series\.toml"):
            read_pin(broken)
    with pytest.raises(UsageError):
        read_series(cache.REPO / "nowhere.toml")
