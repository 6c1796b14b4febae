# SPDX-License-Identifier: MIT
"""The command as a user starts it, on the backend that the suite runs on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 240.0  # seconds on a busy machine, emulated
PROGRAM = Path(sys.executable).with_name("agentmem")
AGENT = """
import sys, agentmem
agentmem.agent(sys.argv[1], importance=300)
held = agentmem.put(bytes.fromhex(sys.argv[2]) * 3000, agentmem.Type.TOOL_DEF)
print(held.hexdigest, flush=True)
sys.stdin.read()
"""


class Shell:
    """Starts it, ends what was started."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.env = {**os.environ, "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}
        self._started: list[subprocess.Popen[bytes]] = []
        self.holder = self._keep(["sleep", "600"])  # as long as this lasts, so do objects of put()

    def run(self, *words: str, input: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        argv = [str(PROGRAM), *words]
        return subprocess.run(argv, input=input, capture_output=True, timeout=PATIENCE, env={**self.env, **env})

    def says(self, *words: str) -> str:
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode()

    def json(self, *words: str) -> Any:
        return json.loads(self.says(*words, "--json"))

    def fails(self, code: int, *words: str, **env: str) -> str:
        """What it says on standard error, which is never a traceback."""
        done = self.run(*words, **env)
        told = done.stderr.decode()
        assert done.returncode == code, done
        assert done.stdout == b"" and "Traceback" not in told and "error: " in told, done
        return told

    def put(self, content: bytes, *words: str) -> str:
        """The digest of an object that lasts as long as the test."""
        done = self.run("put", f"--with={self.holder.pid}", *words, "-", input=content)
        assert done.returncode == 0, done
        return done.stdout.decode().strip()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return self._keep([str(PROGRAM), *words])

    def _keep(self, argv: list[str]) -> subprocess.Popen[bytes]:
        started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=self.env)
        self._started.append(started)
        return started

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


class Agent:
    """A process that is an agent, with one object of 192,000 bytes."""

    def __init__(self, name: str, seed: bytes) -> None:
        argv = [sys.executable, "-c", AGENT, name, seed.hex()]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        self.name, self.pid = name, self._process.pid
        self.digest = self._process.stdout.readline().decode().strip()

    def end(self) -> None:
        self._process.communicate(timeout=PATIENCE)


def wait_for(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@contextlib.contextmanager
def fleet(shell: Shell, texts: Path, turns: int = 4) -> Iterator[subprocess.Popen[bytes]]:
    """Five agents at work on texts of a directory."""
    argv = [sys.executable, str(Path(__file__).with_name("fleet.py")), str(texts), str(turns)]
    started = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=shell.env)
    try:
        assert started.stdout and started.stdout.readline() == b"ready\n"
        yield started
    finally:
        started.communicate(timeout=PATIENCE)
