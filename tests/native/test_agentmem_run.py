"""agentmem-run: the command is what was started, an agent, and followed from outside; nothing of ours is in its way."""

from __future__ import annotations

import contextlib
import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness import userspace

PATIENCE = 30.0  # seconds on a busy machine
IDLE = "--idle=0.4"
FOLLOWER = "agentmem-follow"


class Lab:
    """agentmem-run with a store of its own."""

    def __init__(self, built: Path, shim: Path, store: Path) -> None:
        self.program, self._show = built / "agentmem-run", built / "tests" / "show_agent"
        self.shim = shim
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(store), "AGENTMEM_BACKEND": "fallback"}
        if shim.parent != built:  # it looks beside itself
            self.env["AGENTMEM_PRELOAD"] = str(shim)
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env={**self.env, **env})

    def start(self, *argv: str) -> subprocess.Popen[str]:
        command = [str(self.program), *argv]
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env)
        self._started.append(started)
        return started

    def agent(self, pid: int) -> str:
        done = subprocess.run([str(self._show), str(pid)], capture_output=True, text=True, env=self.env)
        return done.stdout.strip()

    def becomes(self, pid: int, told: str) -> None:
        wait_for(lambda: self.agent(pid) == told, lambda: f"{self.agent(pid)!r} is not {told!r}")

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


def wait_for(ready: Callable[[], bool], otherwise: Callable[[], str] = lambda: "it did not happen") -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def plain() -> Path:
    return userspace.preload()


@pytest.fixture(scope="module", params=["plain", "asan-ubsan"])
def built(request: pytest.FixtureRequest, plain: Path) -> Path:
    """Where agentmem-run is; what it runs has the plain shim."""
    if request.param == "plain":
        return plain
    # A program that has the sanitizer in it does not mind what is preloaded before it.
    options = [*userspace.BUILDS[request.param], "-Dc_link_args=-static-libasan"]
    targets = ("agentmem-run", "show_agent")
    return userspace.build(f"run-{request.param}", options, project=userspace.PRELOAD, targets=targets)


@pytest.fixture
def lab(tmp_path: Path, built: Path, plain: Path) -> Iterator[Lab]:
    (store := tmp_path / "runtime").mkdir(mode=0o700)
    made = Lab(built, plain / "libagentmem-preload.so", store)
    yield made
    made.close()


def followers(of: str) -> list[int]:
    """Processes that follow, told by the arguments that they still have."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (place / "comm").read_text().strip() == FOLLOWER and of in (place / "cmdline").read_text():
                found.append(int(place.name))
    return found


NOBODY = 65534


def no_more_processes() -> None:
    """The limit does not hold for root."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if not os.getuid():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def another_user_may_use(tmp_path: Path, store: Path) -> None:
    for place in (tmp_path, *tmp_path.parents):  # pytest's directories are closed to others
        if place.stat().st_uid == os.getuid() and not place.stat().st_mode & 0o001:
            place.chmod(0o711)
    os.chown(store, NOBODY, NOBODY)


# -- the command is itself -------------------------------------------------------------------------------------------


def test_streams_and_exit_status_are_the_commands(lab: Lab) -> None:
    done = lab.run("reviewer", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert lab.run("reviewer", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_the_command_runs_where_nothing_can_be_started_beside_it(lab: Lab, tmp_path: Path) -> None:
    (store := tmp_path / "nobody").mkdir(mode=0o700)
    shutil.copy(lab.program, program := tmp_path / "agentmem-run")
    if not os.getuid():
        another_user_may_use(tmp_path, store)
    done = subprocess.run(
        [str(program), "--no-preload", "reviewer", "--", "/bin/sh", "-c", "echo ran; exit 7"],
        capture_output=True,
        text=True,
        preexec_fn=no_more_processes,
        env={**lab.env, "XDG_RUNTIME_DIR": str(store)},
    )
    assert (done.returncode, done.stdout) == (7, "ran\n"), done.stderr
    assert "the state of the agent reviewer will not be followed" in done.stderr


def test_arguments_pass_as_they_are(lab: Lab) -> None:
    assert lab.run("a", "--", "printf", "%s|", "--idle=1", "a b", "", "--").stdout == "--idle=1|a b||--|"


def test_it_keeps_its_process_and_has_no_child_that_it_did_not_start(lab: Lab) -> None:
    started = lab.start("reviewer", "--", sys.executable, "-c", "import os; print(os.getpid()); os.wait()")
    assert started.stdout
    assert int(started.stdout.readline()) == started.pid
    assert started.wait(PATIENCE) == 1  # ChildProcessError


def test_it_inherits_nothing_but_what_it_had(lab: Lab) -> None:
    script = "import os, signal; print(os.listdir('/proc/self/fd'), signal.getsignal(signal.SIGCHLD), os.getcwd())"
    plain = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=lab.env).stdout
    assert lab.run("reviewer", "--", sys.executable, "-c", script).stdout == plain


def test_a_reader_of_its_output_sees_the_end_when_it_ends(lab: Lab) -> None:
    """The follower has no end of the pipe: it would be seconds, or for ever."""
    started = time.monotonic()
    done = subprocess.run(
        ["sh", "-c", f"{lab.program} --idle=600 quick -- echo one | cat"], capture_output=True, text=True, env=lab.env
    )
    assert done.stdout == "one\n"
    assert time.monotonic() - started < PATIENCE / 2


def test_the_follower_ends_with_it_however_it_ends(lab: Lab) -> None:
    started = lab.start("a-name-that-is-mine", "--", "sleep", "1000")
    wait_for(lambda: len(followers("a-name-that-is-mine")) == 1)
    (follower,) = followers("a-name-that-is-mine")
    assert {str(path.readlink()) for path in Path(f"/proc/{follower}/fd").glob("[012]")} == {"/dev/null"}
    assert os.getsid(follower) == follower != os.getsid(started.pid)
    started.kill()
    started.wait()
    wait_for(lambda: not followers("a-name-that-is-mine"))


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, env: dict[str, str]) -> None:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job, as we may be, has it ignored
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**env, "PS1": "$ ", "TERM": "dumb"})
        self._seen = b""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def expect(self, text: bytes) -> None:
        end = time.monotonic() + PATIENCE
        while text not in self._seen:
            assert time.monotonic() < end, self._seen
            if select.select([self._terminal], [], [], 0.1)[0]:
                self._seen += os.read(self._terminal, 65536)
        self._seen = self._seen.split(text, 1)[1]

    def close(self) -> None:
        os.close(self._terminal)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def test_job_control_of_an_interactive_shell(lab: Lab) -> None:
    """Stopping from the keyboard, going on in the foreground, interrupting."""
    shell = Shell(lab.env)
    try:
        shell.type(f"{lab.program} worker -- sh -c 'echo up; exec cat'\n")
        shell.expect(b"\nup\r\n")
        shell.type("echoed\n")
        shell.expect(b"echoed\r\nechoed\r\n")
        shell.type("\x1a")
        shell.expect(b"Stopped")
        shell.expect(b"$ ")
        shell.type("fg\n")
        shell.expect(b"exec cat'\r\n")
        shell.type("again\n")
        shell.expect(b"again\r\nagain\r\n")
        shell.type("\x03")
        shell.expect(b"$ ")
        shell.type("echo status=$?\n")
        shell.expect(b"status=130")
    finally:
        shell.close()


# -- the agent -------------------------------------------------------------------------------------------------------


def test_name_and_importance_are_the_agents(lab: Lab) -> None:
    started = lab.start("--importance=900", "the reviewer", "--", "sleep", "1000")
    lab.becomes(started.pid, "active 900 the reviewer")


def test_children_of_the_command_are_of_the_same_agent_and_others_are_not(lab: Lab) -> None:
    started = lab.start("family", "--", "sh", "-c", "sleep 1000 & echo $!; wait")
    assert started.stdout
    child = int(started.stdout.readline())
    lab.becomes(started.pid, "active 500 family")
    (follower,) = followers("family")
    assert lab.agent(follower) == ""
    os.kill(child, signal.SIGKILL)


def test_it_is_idle_when_it_waits_and_active_when_it_works(lab: Lab) -> None:
    script = "import sys\nfor line in sys.stdin:\n  sum(range(int(line)))\n  print('done', flush=True)"
    started = lab.start(IDLE, "worker", "--", sys.executable, "-c", script)
    lab.becomes(started.pid, "idle 500 worker")
    assert started.stdin and started.stdout
    started.stdin.write(f"{10**8}\n")
    started.stdin.flush()
    lab.becomes(started.pid, "active 500 worker")
    assert started.stdout.readline() == "done\n"
    lab.becomes(started.pid, "idle 500 worker")


def test_what_its_children_do_counts(lab: Lab) -> None:
    script = "read go; yes >/dev/null & child=$!; read stop; kill $child; read end"
    started = lab.start(IDLE, "parent", "--", "sh", "-c", script)
    lab.becomes(started.pid, "idle 500 parent")
    for told in ("active 500 parent", "idle 500 parent"):
        assert started.stdin
        started.stdin.write("\n")
        started.stdin.flush()
        lab.becomes(started.pid, told)


def test_it_is_paused_while_it_is_stopped(lab: Lab) -> None:
    started = lab.start(IDLE, "worker", "--", "sleep", "1000")
    lab.becomes(started.pid, "idle 500 worker")
    started.send_signal(signal.SIGSTOP)
    lab.becomes(started.pid, "paused 500 worker")
    started.send_signal(signal.SIGCONT)
    lab.becomes(started.pid, "idle 500 worker")


def test_following_takes_next_to_no_time(lab: Lab) -> None:
    started = lab.start("--idle=1", "quiet", "--", "sleep", "1000")
    lab.becomes(started.pid, "idle 500 quiet")
    (follower,) = followers("quiet")

    def ticks() -> int:
        fields = Path(f"/proc/{follower}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(3)
    assert ticks() - before <= 3  # of 300: four looks a second here, one with the usual 10 seconds


# -- the shim --------------------------------------------------------------------------------------------------------


def test_the_shim_is_loaded_before_what_was_there(lab: Lab) -> None:
    script = "echo $LD_PRELOAD; echo $ASAN_OPTIONS; grep -c libagentmem-preload /proc/self/maps"
    done = lab.run("a", "--", "sh", "-c", script, LD_PRELOAD="libjemalloc.so.2", ASAN_OPTIONS="x=1")
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"{lab.shim}:libjemalloc.so.2", "verify_asan_link_order=0:x=1"] and int(lines[2]) > 0
    assert lab.run("--no-preload", "a", "--", "sh", "-c", "echo $LD_PRELOAD").stdout == "\n"


def test_inside_of_itself_it_is_loaded_once_and_names_the_inner_agent(lab: Lab) -> None:
    inner = f"{lab.program} inner -- sh -c 'echo $LD_PRELOAD; exec sleep 1000'"
    started = lab.start("outer", "--", "sh", "-c", f"{inner} & echo $!; wait")
    assert started.stdout
    child = int(started.stdout.readline())
    assert started.stdout.readline() == f"{lab.shim}\n"
    lab.becomes(child, "active 500 inner")
    assert lab.agent(started.pid) == "active 500 outer"
    os.kill(child, signal.SIGKILL)


def test_a_program_with_an_address_sanitizer_starts(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "program.c").write_text("int main(void) { return 5; }")
    program = tmp_path / "program"
    subprocess.run(["cc", "-fsanitize=address", program.with_suffix(".c"), "-o", program], check=True, timeout=60)
    assert lab.run("a", "--", str(program)).returncode == 5


# -- trouble ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "there is no name"),
        ([""], "there is no name"),
        (["name"], "there is no command"),
        (["name", "--"], "there is no command"),
        (["--importance=0", "name", "true"], 'importance is 1 to 1000, not "0"'),
        (["--importance=9x", "name", "true"], 'importance is 1 to 1000, not "9x"'),
        (["--idle=", "name", "true"], 'idle is 0.01 to 86400, not ""'),
        (["--wrong", "name", "true"], "unrecognized option"),
    ],
)
def test_wrong_arguments_are_told(lab: Lab, argv: Sequence[str], said: str) -> None:
    done = lab.run(*argv)
    assert done.returncode == 125 and done.stdout == ""
    assert said in done.stderr and "next: agentmem-run --help" in done.stderr


def test_a_command_that_cannot_be_run_is_told_as_by_env(lab: Lab) -> None:
    missing, forbidden = lab.run("a", "--", "no-such-command"), lab.run("a", "--", "/etc/passwd")
    assert (missing.returncode, forbidden.returncode) == (127, 126)
    assert missing.stderr == "agentmem-run: no-such-command: No such file or directory\n"


def test_without_agents_the_command_runs_all_the_same(lab: Lab) -> None:
    done = lab.run("a", "--", "echo", "runs", AGENTMEM_BACKEND="kernel")
    assert (done.returncode, done.stdout) == (0, "runs\n")
    assert done.stderr == "agentmem-run: the command runs, but not as the agent a: Function not implemented\n"
    done = lab.run("a", "--", "echo", "runs", AGENTMEM_PRELOAD="/nowhere/shim.so")
    assert (done.returncode, done.stdout) == (0, "runs\n")
    assert "runs without libagentmem-preload.so" in done.stderr


def test_a_shim_by_a_relative_path_is_there_for_all_that_is_started(lab: Lab) -> None:
    named = os.path.relpath(lab.shim)
    done = lab.run(
        "a", "--", "sh", "-c", "cd / && grep -c libagentmem-preload.so /proc/self/maps", AGENTMEM_PRELOAD=named
    )
    assert done.returncode == 0 and int(done.stdout) > 0 and done.stderr == "", done


def test_help_and_version(lab: Lab) -> None:
    assert "agentmem-run [OPTION]... NAME [--] COMMAND" in lab.run("--help").stdout
    assert lab.run("--version").stdout.startswith("agentmem-run ")
