"""The adapters with real agents, whose model is a script (Claude Agent SDK, Claude Code, pi); and real sessions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import corpus, node
from harness.agents import endpoint
from harness.agents.coding import CLAUDE, PI, TASK, Agent
from harness.agents.endpoint import Endpoint
from harness.cache import REPO

HERE = Path(__file__).parent / "node_agents"
RECORDED = REPO.parent / "shared" / "corpus" / "dev.tar.zst"
SECONDS = 200.0


@dataclass(frozen=True)
class Project:
    """A directory that an agent works in, with the binding and the agents installed; home and store beside it."""

    path: Path
    model: Endpoint

    @property
    def home(self) -> Path:
        return self.path.parent / "home"

    @property
    def store(self) -> dict[str, str]:
        return {"XDG_RUNTIME_DIR": str(self.path.parent / "runtime"), "AGENTMEM_BACKEND": "fallback"}

    def environment(self, agent: Agent, home: Path | None = None) -> dict[str, str]:
        return {**agent.environment(home or self.home, self.model.url), **self.store}

    def run(self, env: Mapping[str, str], program: str, *argv: str) -> dict[str, Any]:
        """What a program of node_agents/ answers."""
        call = [str(node.node().program), str(self.path / program), *argv]
        done = subprocess.run(call, cwd=self.path, env=env, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def held(self, *digests: str) -> dict[str, Any]:
        """Which objects somebody of this user holds, and the agents that there are."""
        return self.run({**os.environ, **self.store}, "look.mjs", *digests)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Endpoint]:
    files = [tmp_path / f"file{number}.txt" for number in range(6)]
    for number, file in enumerate(files):
        file.write_text("".join(f"line {line} of file {number}\n" for line in range(400)))
    with endpoint.serve(files) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, model: Endpoint) -> Project:
    place = tmp_path / "project"
    (modules := place / "node_modules").mkdir(parents=True)
    for package in node.agents().iterdir():
        (modules / package.name).symlink_to(package)
    (modules / "libagentmem-node").symlink_to(node.build("plain"))
    (tmp_path / "runtime").mkdir(mode=0o700)
    for program in HERE.iterdir():
        (place / program.name).write_bytes(program.read_bytes())
    return Project(place, model)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wait_for(condition: Any, what: str, seconds: float = 120.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.3)
    return found


Running = tuple[subprocess.Popen[str], list[str]]


@contextlib.contextmanager
def running(argv: list[str], project: Project, env: Mapping[str, str]) -> Iterator[Running]:
    """A running agent that takes lines and answers lines."""
    lines: list[str] = []
    pipe, log = subprocess.PIPE, project.path / "agent.log"
    with (
        log.open("w") as said,
        subprocess.Popen(argv, cwd=project.path, env=env, stdin=pipe, stdout=pipe, stderr=said, text=True) as process,
    ):
        assert process.stdout
        stream = process.stdout
        reader = threading.Thread(target=lambda: lines.extend(iter(stream.readline, "")), daemon=True)
        reader.start()
        try:
            yield process, lines
        finally:
            process.kill()


def say(process: subprocess.Popen[str], message: object) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


# -- the Claude Agent SDK ------------------------------------------------------------


def test_the_sdk_keeps_session_and_results_and_resumes_in_another_process(project: Project) -> None:
    """The second process has nothing but the session's digest: no file, no memory of the first one's."""
    files = len(project.model.files)
    holder = [str(node.node().program), str(project.path / "sdk.mjs")]
    with running(holder, project, project.environment(CLAUDE)) as (process, lines):
        wait_for(lambda: lines or process.poll() is not None, "the first query")
        first = json.loads(lines[-1])
        assert first["last"] == endpoint.FINAL
        assert len(first["results"]) == files
        for number, text in enumerate(first["results"]):
            assert f"line 399 of file {number}" in text
        (saved,) = (project.home / ".claude" / "projects").glob("*/*.jsonl")
        on_disk = [json.loads(line) for line in saved.read_text().splitlines()]
        assert [entry for entry in on_disk if "uuid" in entry] == [e for e in first["entries"] if "uuid" in e]
        assert project.held(first["digest"])["held"] == [True]
        elsewhere = project.environment(CLAUDE, project.home.with_name("other-home"))
        second = project.run(elsewhere, "sdk.mjs", json.dumps(first["key"]), first["digest"])
    assert second["last"] == endpoint.FINAL
    assert second["results"] == [], "the model was shown the earlier results, and asked for no more"
    assert len(second["entries"]) > len(first["entries"])
    assert second["entries"][: len(first["entries"])] == first["entries"]


# -- Claude Code, with the hook ------------------------------------------------------


@pytest.mark.long
def test_claude_code_keeps_its_session_by_the_hook(project: Project) -> None:
    files = len(project.model.files)
    hook = {"type": "command", "command": f"{node.node().program} {node.build('plain')}/lib/claude-hook.js"}
    events = ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop", "SessionEnd")
    settings = {"hooks": {event: [{"matcher": "", "hooks": [hook]}] for event in events}}
    (project.path / "settings.json").write_text(json.dumps(settings))
    argv = [*CLAUDE.program(), "-p", "--input-format", "stream-json", "--settings", "settings.json"]
    text = {"role": "user", "content": [{"type": "text", "text": TASK}]}
    with running(argv, project, project.environment(CLAUDE)) as (process, lines):
        say(process, {"type": "user", "message": text})
        wait_for(lambda: any('"type":"result"' in line for line in lines), "the answer")
        (saved,) = (project.home / ".claude" / "projects").glob("*/*.jsonl")
        (state,) = (project.path.parent / "runtime").glob("agentmem-claude-*/*.json")
        kept = wait_for(lambda: _idle(project), "the last hook") and json.loads(state.read_text())
        assert kept["pid"] == process.pid
        assert len(kept["results"]) == files
        content = saved.read_bytes()
        seen = project.held(kept["transcript"], *kept["results"])
        assert seen["held"] == [True] * (1 + files)
        assert content.startswith(seen["first"].encode()), "a state of the transcript"
        assert len(seen["first"]) > len(content) // 2
        assert process.stdin
        process.stdin.close()
        assert process.wait(60) == 0
    after = project.held(kept["transcript"], *kept["results"])
    assert after["held"] == [False] * (1 + files), "nothing is left when Claude Code has ended"


def _idle(project: Project) -> bool:
    return ["claude project", "idle"] in project.held()["agents"]


# -- pi ------------------------------------------------------------------------------


@pytest.mark.long
def test_pi_keeps_its_session_as_it_runs(project: Project) -> None:
    argv = [*PI.program(), "--mode", "rpc", "-e", str(node.build("plain") / "lib" / "pi.mjs")]
    with running(argv, project, project.environment(PI)) as (process, lines):
        say(process, {"id": "1", "type": "prompt", "message": TASK})
        wait_for(lambda: any('"type":"agent_end"' in line for line in lines), "the answer")
        wait_for(lambda: ["pi project", "idle"] in project.held()["agents"], "the agent at rest")
        (saved,) = (project.home / ".pi" / "agent" / "sessions").rglob("*.jsonl")
        content = saved.read_bytes()
        assert content.count(b'"toolResult"') >= len(project.model.files) and endpoint.FINAL.encode() in content
        system = project.model.fullest["system"][0]["text"]
        seen = project.held(sha256(content), sha256(system.encode()))
        assert seen["held"] == [True, True], "the session as it is on disk, and the system prompt"
        assert seen["first"] == content.decode()
        assert seen["logical"] >= len(content)
        assert process.stdin
        process.stdin.close()
        process.wait(60)
    assert project.held(sha256(content))["held"] == [False]


# -- real sessions -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["claude.jsonl", "pi.jsonl"])
def test_a_session_file_is_kept_as_it_grows(tmp_path: Path, name: str) -> None:
    _grows(tmp_path, [(REPO / "tests" / "data" / "transcripts" / name).read_bytes()])


if RECORDED.is_file():  # given to the project beside its repository, never part of it

    def test_recorded_sessions_are_kept_as_they_grow(tmp_path: Path) -> None:
        """Each state once, at a price that is near that of the last one."""
        sessions = sorted(corpus.load(RECORDED).sessions, key=lambda session: -len(session.conversation))[:40]
        texts = ["".join(json.dumps(message) + "\n" for message in json.loads(s.conversation)) for s in sessions]
        report = _grows(tmp_path, [text.encode() for text in texts])
        assert report["states"] > 500
        assert report["copies"] > 5 * report["unique"], report


def _grows(place: Path, files: list[bytes]) -> dict[str, Any]:
    for number, content in enumerate(files):
        (place / f"{number}.jsonl").write_bytes(content)
    binding = node.build("plain")
    env = {**os.environ, **node.node().environment, "AGENTMEM_BACKEND": "fallback", "XDG_RUNTIME_DIR": str(place)}
    argv = [str(node.node().program), str(HERE / "grow.mjs"), str(binding / "index.mjs"), str(place)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["digests"] == [sha256(content) for content in files]
    assert report["equal"] is True
    return report
