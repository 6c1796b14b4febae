"""Commands over ssh: against a server of the machine's own, on the loopback interface."""

from __future__ import annotations

import dataclasses
import getpass
import io
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import proc
from harness.errors import LabError, LabTimeout
from harness.ssh import Connection, Place, Refused

SSHD = "/usr/sbin/sshd"  # it insists on being called by its full path


def key(path: Path) -> Path:
    proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)])
    return path.with_suffix(".pub")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("sshd")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # a boot makes it; where there was none, we do
    host_key, ours = key(home / "host"), key(home / "ours")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = (
        f"ListenAddress 127.0.0.1:{port}",
        f"HostKey {home / 'host'}",
        f"AuthorizedKeysFile {ours}",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
    )
    (home / "config").write_text("\n".join(settings) + "\n")
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(home / "config")], stderr=log)
    found = Place("127.0.0.1", port, getpass.getuser(), home / "ours", host_key)
    for _ in range(100):
        try:
            Connection.open(found).__exit__()
            break
        except Refused:
            time.sleep(0.1)
    yield found
    server.terminate()
    server.wait()


def run(place: Place, *argv: str, timeout: float = 60) -> tuple[int, bytes, bytes]:
    out, err = io.BytesIO(), io.BytesIO()
    with Connection.open(place) as connection:
        return connection.run(argv, timeout, out, err), out.getvalue(), err.getvalue()


def test_exit_code_and_streams(place: Place) -> None:
    code, out, err = run(place, "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (code, out) == (42, b"out\n")
    assert err.endswith(b"err\n")


def test_arguments_arrive_as_they_are(place: Place) -> None:
    assert run(place, "printf", "%s|", "a b", "$HOME", "'\"", "*", "", "\n")[1] == b"a b|$HOME|'\"|*||\n|"


def test_a_command_that_a_signal_ended(place: Place) -> None:
    assert run(place, "sh", "-c", "kill -KILL $$")[0] == 128 + 9


def test_much_output_on_both_streams(place: Place) -> None:
    code, out, err = run(place, "sh", "-c", "head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2")
    assert (code, len(out)) == (0, 3_000_000)
    assert err.count(0) == 2_000_000


def test_a_command_has_no_input(place: Place) -> None:
    assert run(place, "cat") == (0, b"", b"")


def test_a_process_left_behind_does_not_hold_up_the_end(place: Place) -> None:
    began = time.monotonic()
    code, out, _ = run(place, "sh", "-c", "sleep 60 & echo started")
    assert (code, out) == (0, b"started\n")
    assert time.monotonic() - began < 30


def test_a_time_out_is_the_laboratorys(place: Place) -> None:
    with pytest.raises(LabTimeout, match="did not end in time"):
        run(place, "sleep", "60", timeout=0.5)


def test_the_other_side_is_seen_to_live(place: Place) -> None:
    with Connection.open(place) as connection:
        assert connection.alive()
    assert not connection.alive()


def test_somebody_elses_server_is_not_trusted(place: Place, tmp_path: Path) -> None:
    wrong = dataclasses.replace(place, host_key=key(tmp_path / "other"))
    with pytest.raises(LabError, match="does not let us in.*host key|Host key") as caught:
        Connection.open(wrong)
    assert not isinstance(caught.value, Refused)


def test_a_wrong_key_is_not_let_in(place: Place, tmp_path: Path) -> None:
    key(tmp_path / "other")
    with pytest.raises(LabError, match="does not let us in"):
        Connection.open(dataclasses.replace(place, key=tmp_path / "other"))


def test_where_nobody_answers_another_try_may_help(place: Place) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(Refused, match="does not answer"):
            Connection.open(dataclasses.replace(place, port=port))
        silent.listen()
        with pytest.raises(Refused, match="does not answer"):  # accepted, but no word
            Connection.open(dataclasses.replace(place, port=port))
