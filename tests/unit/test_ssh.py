"""Commands and files over ssh: against a server of the machine's own, on the loopback interface."""

from __future__ import annotations

import dataclasses
import getpass
import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness import cli, proc
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
        "Subsystem sftp internal-sftp",
    )
    (home / "config").write_text("\n".join(settings) + "\n")
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(home / "config")], stderr=log)
    found = Place("127.0.0.1", port, getpass.getuser(), (home / "ours",), host_key)
    for _ in range(100):
        try:
            Connection.open(found).__exit__()
            break
        except Refused:
            time.sleep(0.1)
    yield found
    server.terminate()
    server.wait()


def running(pid: str) -> bool:
    try:
        return "State:\tZ" not in Path("/proc", pid, "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


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


def test_a_command_does_not_outlive_its_time_out(place: Place, tmp_path: Path) -> None:
    with pytest.raises(LabTimeout):
        run(place, "sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait", timeout=3)
    pid = (tmp_path / "pid").read_text().strip()
    deadline = time.monotonic() + 30
    while running(pid):
        assert time.monotonic() < deadline, "its child is still there"
        time.sleep(0.1)


def test_the_other_side_is_seen_to_live(place: Place) -> None:
    with Connection.open(place) as connection:
        assert connection.alive()
    assert not connection.alive()


def test_somebody_elses_server_is_not_trusted(place: Place, tmp_path: Path) -> None:
    wrong = dataclasses.replace(place, host_key=key(tmp_path / "other"))
    with pytest.raises(LabError, match="shows another host key") as caught:
        Connection.open(wrong)
    assert not isinstance(caught.value, Refused)


def test_a_wrong_key_is_not_let_in(place: Place, tmp_path: Path) -> None:
    key(tmp_path / "other")
    with pytest.raises(LabError, match="does not let us in"):
        Connection.open(dataclasses.replace(place, keys=(tmp_path / "other",)))


def test_where_nobody_answers_another_try_may_help(place: Place) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(Refused, match="does not answer"):
            Connection.open(dataclasses.replace(place, port=port))
        silent.listen()
        with pytest.raises(Refused, match="does not answer"):  # accepted, but no word
            Connection.open(dataclasses.replace(place, port=port))


class User:
    """Somebody with a home of their own, who uses `harness exec --ssh MACHINE`."""

    def __init__(self, home: Path, place: Place, capfd: pytest.CaptureFixture[str]) -> None:
        self.home, self.ssh, self.place, self._capfd = home, home / ".ssh", place, capfd
        self.ssh.mkdir(parents=True)

    def has_key(self, path: Path) -> None:
        shutil.copy(self.place.keys[0], path)

    def knows(self, name: str, public: Path | None = None) -> None:
        with (self.ssh / "known_hosts").open("a") as known:
            known.write(f"{name} {(public or self.place.host_key or Path()).read_text()}")

    def exec(self, *options: str, machine: str = "", command: Sequence[str] = ("true",)) -> tuple[int, str, str]:
        code = cli.main(["exec", "--ssh", machine or str(self.place), *options, "--", *command])
        said = self._capfd.readouterr()
        return code, said.out, said.err


@pytest.fixture
def stranger(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> User:
    """Without keys or known hosts."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return User(tmp_path / "home", place, capfd)


@pytest.fixture
def user(stranger: User) -> User:
    """Who may log in, and knows the machine."""
    stranger.has_key(stranger.ssh / "id_ed25519")
    stranger.knows(stranger.place.known_as)
    return stranger


def test_a_machine_elsewhere(user: User) -> None:
    assert user.exec(command=["sh", "-c", "echo out; echo err >&2; exit 42"]) == (42, "out\n", "err\n")


def test_a_machine_elsewhere_has_a_time_out(user: User) -> None:
    code, _, said = user.exec("--timeout", "0.5", command=["sleep", "60"])
    assert code == 4
    assert "did not end in time" in said


def test_files_of_a_machine_elsewhere(user: User, tmp_path: Path) -> None:
    local, there, back = tmp_path / "local", tmp_path / "there", tmp_path / "new" / "back"
    local.write_bytes(os.urandom(300_000))
    local.chmod(0o750)
    files = ("--push", f"{local}:{there}", "--pull", f"{there}:{back}")
    assert user.exec(*files, command=["test", "-x", str(there)]) == (0, "", "")
    assert back.read_bytes() == local.read_bytes()
    assert user.exec("--pull", f"/proc/self/comm:{back}")[0] == 0
    assert back.read_bytes()  # though its size is told as 0


def test_a_file_that_cannot_be_copied(user: User, tmp_path: Path) -> None:
    code, _, said = user.exec("--pull", f"/no/such/file:{tmp_path}/none")
    assert code == 4
    assert "/no/such/file" in said and "No such file" in said
    assert user.exec("--pull", f"/no/such/file:{tmp_path}/none", command=["sh", "-c", "exit 7"])[0] == 7
    assert not (tmp_path / "none").exists()
    code, _, said = user.exec("--push", "/etc/passwd:/no/such/directory/file")
    assert code == 4
    assert "/no/such/directory/file" in said


def test_an_unknown_host_key_is_refused(user: User) -> None:
    (user.ssh / "known_hosts").unlink()
    code, out, said = user.exec(command=["echo", "ran"])
    assert (code, out) == (4, "")
    assert f"the host key of {user.place} is not known" in said
    assert f"`ssh -p {user.place.port} {user.place.user}@127.0.0.1` once" in said


def test_a_changed_host_key_is_refused(user: User, tmp_path: Path) -> None:
    (user.ssh / "known_hosts").unlink()
    user.knows(user.place.known_as, key(tmp_path / "other"))
    code, out, said = user.exec(command=["echo", "ran"])
    assert (code, out) == (4, "")
    assert "shows another host key" in said and f"ssh -p {user.place.port}" in said


def test_known_hosts_as_ssh_reads_them(user: User) -> None:
    file = user.ssh / "known_hosts"
    proc.run(["ssh-keygen", "-q", "-H", "-f", str(file)])
    assert file.read_text().startswith("|1|")
    assert user.exec()[0] == 0
    file.write_text("nonsense\n")
    user.knows(f"[127.0.0.*]:{user.place.port}")
    assert user.exec()[0] == 0
    user.knows(f"@revoked {user.place.known_as}")
    assert user.exec()[0] == 4


def test_a_user_who_is_not_let_in(user: User) -> None:
    (user.ssh / "id_ed25519").unlink()
    code, _, said = user.exec()
    assert code == 4
    assert "does not let us in" in said and "ssh-add" in said
    key(user.ssh / "id_ed25519")
    assert "does not let us in: Authentication failed" in user.exec()[2]


def test_a_key_that_the_agent_has(stranger: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger.knows(stranger.place.known_as)
    stranger.has_key(tmp_path / "key")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        while not (tmp_path / "agent").exists():
            assert agent.poll() is None
            time.sleep(0.05)
        proc.run(["ssh-add", "-q", str(tmp_path / "key")])
        assert stranger.exec()[0] == 0
    finally:
        agent.terminate()
        agent.wait()


def test_what_the_users_configuration_says(stranger: User) -> None:
    stranger.knows(stranger.place.known_as)
    stranger.has_key(stranger.home / "mine")
    settings = f"HostName 127.0.0.1\nPort {stranger.place.port}\nUser {stranger.place.user}\nIdentityFile ~/mine\n"
    (stranger.ssh / "config").write_text(f"Host box\n{settings}IdentityFile ~/.ssh/none\n")
    assert stranger.exec(machine="box")[0] == 0


def test_where_nobody_answers(user: User) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        code, _, said = user.exec(machine=f"127.0.0.1:{silent.getsockname()[1]}")
    assert code == 4
    assert "does not answer" in said and "refused" in said


def test_a_command_is_not_taken_for_a_machine_in_silence(user: User) -> None:
    code, _, said = user.exec(machine="no-such-machine.invalid", command=["-a"])
    assert code == 4
    assert "the name no-such-machine.invalid has no address: " in said and "Errno" not in said
    assert "if no-such-machine.invalid is the command: harness exec --ssh -- no-such-machine.invalid -a" in said
