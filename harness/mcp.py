"""Asks an MCP server for its tools, over the protocol: JSON-RPC, one message a line, on stdin and stdout."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.errors import LabTimeout, ToolError
from harness.proc import die_with_parent, kill_group
from harness.sessions import compact

PROTOCOL = "2025-06-18"
MAX_LINE = 16 << 20  # bytes
MAX_PAGES = 64


def list_tools(argv: Sequence[str], env: Mapping[str, str], timeout: float = 60) -> tuple[bytes, ...]:
    """The server's tool definitions, in its order, as compact JSON; ToolError if there are none."""
    with _started(argv, env) as process:
        client = _Client(process, time.monotonic() + timeout)
        client.ask(
            "initialize",
            {
                "protocolVersion": PROTOCOL,
                "capabilities": {},
                "clientInfo": {"name": "agent-mem-lab", "version": "1"},
            },
        )
        client.tell("notifications/initialized")
        tools: list[Any] = []
        cursor: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            page = client.ask("tools/list", cursor)
            tools += page.get("tools", [])
            if "nextCursor" not in page:
                break
            cursor = {"cursor": page["nextCursor"]}
    if not tools:
        raise ToolError(f"{' '.join(argv)} offers no tool")
    return tuple(map(compact, tools))


@contextlib.contextmanager
def _started(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        argv,
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        kill_group(process)


class _Client:
    def __init__(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        self._process, self._deadline = process, deadline
        self._next, self._buffer = 0, b""

    def tell(self, method: str, params: Mapping[str, Any] | None = None, **extra: Any) -> None:
        message = {
            "jsonrpc": "2.0",
            **extra,
            "method": method,
            **({"params": params} if params is not None else {}),
        }
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._gone() from error

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self._next += 1
        self.tell(method, params, id=self._next)
        while True:
            answer = self._message()
            if answer.get("id") != self._next or "method" in answer:
                continue  # a notification, a log line, or a request of the server's own
            if not isinstance(answer.get("result"), dict):
                raise ToolError(f"{self._name} answers {method} with {str(answer.get('error'))[:200]}")
            result: dict[str, Any] = answer["result"]
            return result

    @property
    def _name(self) -> str:
        return " ".join(map(str, self._process.args)) if isinstance(self._process.args, list | tuple) else "the server"

    def _gone(self) -> ToolError:
        return ToolError(f"{self._name} ended before it answered (exit code {self._process.poll()})")

    def _message(self) -> dict[str, Any]:
        line = self._line()
        try:
            message = json.loads(line)
        except ValueError:
            return {}
        return message if isinstance(message, dict) else {}

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, self._deadline - time.monotonic())):
                    raise LabTimeout(f"{self._name} does not answer")
                block = os.read(self._process.stdout.fileno(), 1 << 16)
                if not block or len(self._buffer) > MAX_LINE:
                    raise self._gone()
                self._buffer += block
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line
