"""How a user names a machine of theirs, and what their ssh configuration adds."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from harness import destination
from harness.errors import UsageError


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's .ssh."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    return tmp_path / ".ssh"


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("me@box:2222", "me", "box", 2222),
        ("box", None, "box", 22),
        ("Box.Example.org", None, "box.example.org", 22),  # as ssh looks it up among known hosts
        ("192.0.2.1:22", None, "192.0.2.1", 22),
        ("me@example.org@box", "me@example.org", "box", 22),
        ("[::1]:2222", None, "::1", 2222),
        ("me@[fe80::1%eth0]", "me", "fe80::1%eth0", 22),
    ],
)
def test_a_name(ssh: Path, text: str, user: str | None, host: str, port: int) -> None:
    place = destination.place(text)
    assert (place.user, place.host, place.port, place.keys) == (user or getpass.getuser(), host, port, ())
    assert place.host_key is None


@pytest.mark.parametrize("text", ["::1", "box:", "box:ssh", "@box", "me@", "a b", "[::1", "[]"])
def test_no_name(ssh: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"takes \[USER@\]HOST"):
        destination.place(text)


def test_what_is_said_at_once_counts_before_the_configuration(ssh: Path) -> None:
    (ssh / "key").touch()
    (ssh / "config").write_text("Host box\nHostName box.example.org\nUser me\nPort 7\nIdentityFile ~/.ssh/key\n")
    place = destination.place("box")
    assert (str(place), place.keys) == ("me@box.example.org:7", (ssh / "key",))
    assert str(destination.place("you@box:8")) == "you@box.example.org:8"


@pytest.mark.parametrize("port", [0, 65536])
def test_no_port(ssh: Path, port: int) -> None:
    with pytest.raises(UsageError, match=f"{port} is no port"):
        destination.place(f"box:{port}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("Host box\nProxyJump gate", "behind another machine"),
        ("Host *\nProxyCommand nc %h %p", "behind another machine"),
        ("nonsense", "is not understood"),
        ("Host box\nPort high", "high is no port"),
    ],
)
def test_a_configuration_that_does_not_do(ssh: Path, settings: str, said: str) -> None:
    (ssh / "config").write_text(settings + "\n")
    with pytest.raises(UsageError, match=said):
        destination.place("box")


def test_a_machine_that_is_not_behind_another(ssh: Path) -> None:
    (ssh / "config").write_text("Host box\nProxyJump none\nProxyCommand none\n")
    assert destination.place("box").host == "box"
