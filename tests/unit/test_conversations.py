"""The default input, made for real: pinned packages, MCP servers over the protocol, the agent over a small tree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import conversations
from harness.agents import plan
from harness.cache import cache_dir
from harness.errors import LabTimeout, ToolError
from harness.mcp import list_tools
from harness.sessions import Source

CODE = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/{name}.h>

static int {name}_count;

static int {name}_start(struct widget *w)
{{
\tmutex_lock(&w->lock);
\tif (!w->ready)
\t\tgoto out;
\t{name}_count++;
out:
\tmutex_unlock(&w->lock);
\treturn {name}_finish(w);
}}

int {name}_finish(struct widget *w)
{{
\treturn w->ready ? 0 : -EINVAL;
}}
EXPORT_SYMBOL({name}_finish);
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git tree with every part that is explored, two small files in each."""
    root = tmp_path_factory.mktemp("tree")
    (root / "Makefile").write_text("# SPDX\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION =\n")
    for part in plan.PARTS:
        (root / part).mkdir(parents=True)
        for name in ("widget", "gadget"):
            (root / part / f"{name}.c").write_text(CODE.format(name=name))
    git = ["git", "-C", str(root), "-c", "user.name=Lab", "-c", "user.email=lab@localhost"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "tree"]):
        subprocess.run([*git, *arguments], check=True)
    return root


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache but for the installed packages, which take a minute from the registry."""
    packages = cache_dir() / "agents"
    packages.mkdir(exist_ok=True)
    monkeypatch.setenv("AGENT_MEM_CACHE", str(tmp_path))
    (tmp_path / "agents").symlink_to(packages)
    return tmp_path


def made(tree: Path) -> Source:
    return conversations.load(tree, agents=1)


def test_conversations_are_what_the_commands_printed(tree: Path, fresh_cache: Path) -> None:
    source = made(tree)
    assert len(source.sessions) == conversations.PER_AGENT
    assert "mini-swe-agent" in source.name
    for session, part in zip(source.sessions, plan.PARTS, strict=False):
        messages = json.loads(session.conversation)
        assert session.system_prompt.startswith(b"You are a helpful assistant")
        assert messages[0]["role"] == "user" and "Linux 7.3.4" in messages[0]["content"]
        assert not any("extra" in message for message in messages)
        calls = [call for message in messages for call in message.get("tool_calls", [])]
        answers = {m["tool_call_id"]: json.loads(m["content"]) for m in messages if m["role"] == "tool"}
        first = json.loads(calls[0]["function"]["arguments"])["command"]
        assert first == f"ls {part} | head -n 80"
        assert answers[calls[0]["id"]] == {"returncode": 0, "output": "gadget.c\nwidget.c\n"}


def test_the_same_again_and_from_the_cache(tree: Path, fresh_cache: Path) -> None:
    first = made(tree)
    for file in (fresh_cache / "conversations").iterdir():
        file.unlink()
    assert made(tree) == first
    kept = {file: file.stat().st_mtime_ns for file in (fresh_cache / "conversations").iterdir()}
    assert made(tree) == first
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_tools_come_from_the_servers(tree: Path, fresh_cache: Path) -> None:
    tools = [json.loads(tool) for tool in made(tree).sessions[0].tools]
    names = [tool.get("name") or tool["function"]["name"] for tool in tools]
    assert names[0] == "bash"
    assert {"git_log", "fetch", "convert_time"} <= set(names)
    assert len(names) == len(set(names)) == 16


def test_each_seed_explores_otherwise(tree: Path) -> None:
    plans = [plan.make(tree, "lib", seed) for seed in range(6)]
    assert len({made.steps for made in plans}) == 6
    assert plan.make(tree, "lib", 3) == plans[3]


def test_functions_are_found_by_their_definition(tree: Path) -> None:
    assert [(f.name, f.line) for f in plan.defined(tree, "lib/widget.c")] == [
        ("widget_start", 6),
        ("widget_finish", 17),
    ]


def test_a_tree_that_is_none(tmp_path: Path, fresh_cache: Path) -> None:
    with pytest.raises(ToolError, match="git"):
        made(tmp_path)


# -- the protocol, with servers of our own --

SERVER = """
import json, sys
pages = {None: ([{"name": "one"}], "next"), "next": ([{"name": "two"}], None)}
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "initialize":
        print("a log line that is not JSON", flush=True)
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}), flush=True)
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {}}
    elif message["method"] == "tools/list":
        tools, cursor = pages[message["params"].get("cursor")]
        result = {"tools": tools, **({"nextCursor": cursor} if cursor else {})}
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
REFUSAL = 'input(); print(\'{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"no"}}\', flush=True); input()'


def server(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_paged_tools_among_other_messages() -> None:
    assert list_tools(server(SERVER), {}) == (b'{"name":"one"}', b'{"name":"two"}')


def test_server_that_refuses() -> None:
    with pytest.raises(ToolError, match="answers initialize with"):
        list_tools(server(REFUSAL), {})


def test_server_that_ends() -> None:
    with pytest.raises(ToolError, match="ended before it answered"):
        list_tools(server("input()"), {})


def test_server_that_is_silent() -> None:
    with pytest.raises(LabTimeout, match="does not answer"):
        list_tools(server("import time; time.sleep(60)"), {}, timeout=0.5)
