"""A model endpoint on loopback that follows a script: it has a coding agent read files, one after another, then ends.

It speaks as much of the Messages API as real coding agents (Claude Code, pi) need, with and without streaming.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FINAL = "All files read. Done."
LINES = 600  # of a file, in one call of the tool


def answer(request: dict[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """The next message: a call of the agent's own reading tool for the next file, or the end.

    How far it is, the request itself tells: an agent sends the whole conversation each time.
    """
    tools = {tool.get("name") for tool in request.get("tools") or ()}
    done = sum(block.get("type") == "tool_result" for block in _blocks(request))
    block: dict[str, Any] = {"type": "text", "text": FINAL}
    if done < len(files) and tools & {"Read", "read"}:
        name, key = ("Read", "file_path") if "Read" in tools else ("read", "path")
        block = {"type": "tool_use", "id": f"toolu_{done:04}", "name": name}
        block["input"] = {key: str(files[done]), "limit": LINES}
    stop = "end_turn" if block["type"] == "text" else "tool_use"
    usage = {"input_tokens": 1, "output_tokens": 1}
    about = {"id": f"msg_{done}", "type": "message", "role": "assistant", "model": request.get("model", "scripted")}
    return {**about, "content": [block], "stop_reason": stop, "stop_sequence": None, "usage": usage}


def results(request: dict[str, Any]) -> list[str]:
    """What the agent's tool gave so far, as it tells the model."""
    given = (block.get("content") for block in _blocks(request) if block.get("type") == "tool_result")
    return [json.dumps(content, sort_keys=True) for content in given]


def _blocks(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for message in request.get("messages") or ():
        if isinstance(message.get("content"), list):
            yield from message["content"]


def events(message: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The message in the parts that streaming sends."""
    (block,) = message["content"]
    text = block["type"] == "text"
    empty = {**block, "text": ""} if text else {**block, "input": {}}
    yield "message_start", {"message": {**message, "content": [], "stop_reason": None}}
    yield "content_block_start", {"index": 0, "content_block": empty}
    part = {"type": "text_delta", "text": block["text"]} if text else {"type": "input_json_delta"}
    if not text:
        part["partial_json"] = json.dumps(block["input"])
    yield "content_block_delta", {"index": 0, "delta": part}
    yield "content_block_stop", {"index": 0}
    yield (
        "message_delta",
        {"delta": {"stop_reason": message["stop_reason"], "stop_sequence": None}, "usage": {"output_tokens": 1}},
    )
    yield "message_stop", {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send("application/json", b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            request = json.loads(body)
        except ValueError:
            request = {}
        if "count_tokens" in self.path:
            return self._send("application/json", json.dumps({"input_tokens": len(body) // 4}).encode())
        self.server.heard(request)
        message = answer(request, self.server.files)
        if not request.get("stream"):
            return self._send("application/json", json.dumps(message).encode())
        sent = (f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n" for name, data in events(message))
        return self._send("text/event-stream", "".join(sent).encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Endpoint(ThreadingHTTPServer):
    """fullest: of an agent's requests the one that had the most of what its tool gave."""

    daemon_threads = True

    def __init__(self, files: Sequence[Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = tuple(files)
        self.fullest: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def heard(self, request: dict[str, Any]) -> None:
        with self._lock:
            self.fullest = max(request, self.fullest, key=lambda one: len(results(one)))


@contextmanager
def serve(files: Sequence[Path]) -> Iterator[Endpoint]:
    endpoint = Endpoint(files)
    thread = threading.Thread(target=endpoint.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.shutdown()
        endpoint.server_close()
        thread.join()
