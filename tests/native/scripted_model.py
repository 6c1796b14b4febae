"""A model's endpoint on loopback that says what a script says, to agents that are real."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Event = tuple[str, dict[str, Any]]


class ScriptedModel:
    """Has the agent read `files` one after another with its own tool, then says `last`. Speaks Anthropic's Messages."""

    def __init__(self, files: Sequence[str], last: str) -> None:
        self._files, self._last = files, last
        self.systems: list[str] = []  # the system prompts that were sent, as JSON
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._answer(b"{}", "application/json")

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
                if "count_tokens" in self.path:
                    self._answer(b'{"input_tokens": 1}', "application/json")
                elif request.get("stream"):
                    lines = (f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in model.events(request))
                    self._answer("".join(lines).encode(), "text/event-stream")
                else:
                    self._answer(json.dumps(model.message(request)).encode(), "application/json")

            def _answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> ScriptedModel:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def message(self, request: dict[str, Any]) -> dict[str, Any]:
        self.systems.append(json.dumps(request.get("system")))
        block, stop = self._next(request)
        usage = {"input_tokens": 1, "output_tokens": 1}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": request.get("model", "m")}
        return {**head, "content": [block], "stop_reason": stop, "stop_sequence": None, "usage": usage}

    def events(self, request: dict[str, Any]) -> list[Event]:
        """The same as a stream."""
        message = self.message(request)
        (block,), stop = message["content"], message["stop_reason"]
        if block["type"] == "text":
            begin, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            begin = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        parts: list[Event] = [
            ("message_start", {"message": {**message, "content": [], "stop_reason": None}}),
            ("content_block_start", {"index": 0, "content_block": begin}),
            ("content_block_delta", {"index": 0, "delta": delta}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 1}}),
            ("message_stop", {}),
        ]
        return [(name, {"type": name, **data}) for name, data in parts]

    def _next(self, request: dict[str, Any]) -> tuple[dict[str, Any], str]:
        contents = [m["content"] for m in request.get("messages", []) if isinstance(m.get("content"), list)]
        done = sum(part.get("type") == "tool_result" for content in contents for part in content)
        names = {tool.get("name", "").lower(): tool["name"] for tool in request.get("tools", []) if "name" in tool}
        if "read" not in names or done >= len(self._files):
            return {"type": "text", "text": self._last}, "end_turn"
        argument = "file_path" if names["read"] == "Read" else "path"
        use = {"type": "tool_use", "id": f"toolu_{done:04}", "name": names["read"]}
        return {**use, "input": {argument: self._files[done]}}, "tool_use"
