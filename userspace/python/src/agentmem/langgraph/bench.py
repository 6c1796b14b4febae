# SPDX-License-Identifier: MIT
"""What a conversation takes in LangGraph's savers: python -m agentmem.langgraph.bench

Each saver has a process of its own, in which a graph of one node adds a message of random words in each step and the
saver keeps every state. Memory is what the process has more of its own afterwards, and what its SMUs take. With SQLite
the database is in memory.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from operator import add
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

import agentmem
from agentmem.langgraph import AgentmemSaver

SAVERS = ("InMemorySaver", "SqliteSaver", "AgentmemSaver")
MB = 1 << 20


class State(TypedDict):
    messages: Annotated[list[dict[str, str]], add]


@contextmanager
def opened(name: str) -> Iterator[BaseCheckpointSaver[Any]]:
    if name == "InMemorySaver":
        yield InMemorySaver()
    elif name == "AgentmemSaver":
        yield AgentmemSaver()
    else:
        from langgraph.checkpoint.sqlite import SqliteSaver

        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            yield SqliteSaver(connection)


def own_memory() -> int:
    """Bytes that nobody else has: private, and what of SMUs is there."""
    gc.collect()
    lines = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    private = sum(int(lines[key].split()[0]) << 10 for key in ("Private_Clean", "Private_Dirty"))
    return private + smu_memory()


def smu_memory() -> int:
    if agentmem.backend() == "kernel":
        told = agentmem.stats()
        return told.resident_top + told.resident_lower + told.stored_bytes
    store = Path(os.environ["XDG_RUNTIME_DIR"], "agentmem")
    return sum(path.stat().st_blocks * 512 for path in store.glob("*") if path.is_file())


def work(name: str, steps: int, size: int, threads: int) -> tuple[int, float]:
    """Memory in bytes and seconds that all steps of all threads take."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(5000)]

    def say(state: State) -> dict[str, list[dict[str, str]]]:
        return {"messages": [{"role": "assistant", "content": " ".join(chance.choices(words, k=size // 6))[:size]}]}

    builder = StateGraph(State)
    builder.add_node("say", say)
    builder.add_edge(START, "say")
    builder.add_edge("say", END)
    with opened(name) as saver:
        graph = builder.compile(checkpointer=saver)
        graph.invoke({"messages": []}, {"configurable": {"thread_id": "warm"}})
        before, started = own_memory(), time.perf_counter()
        for _ in range(steps):
            for thread in range(threads):
                graph.invoke({"messages": []}, {"configurable": {"thread_id": str(thread)}})
        seconds = time.perf_counter() - started
        used = own_memory() - before
        for thread in range(threads):
            state = graph.get_state({"configurable": {"thread_id": str(thread)}})
            if len(state.values["messages"]) != steps:
                raise SystemExit(f"{name} lost messages")
    return used, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of LangGraph's checkpoint savers, side by side")
    parser.add_argument("--steps", type=int, default=200, help="messages of a conversation (default 200)")
    parser.add_argument("--bytes", type=int, default=4096, help="size of a message (default 4096)")
    parser.add_argument("--threads", type=int, default=2, help="conversations (default 2)")
    args = parser.parse_args()
    if min(args.steps, args.bytes, args.threads) < 1:
        parser.error("steps, bytes and threads are at least 1")
    store = tempfile.mkdtemp(dir="/dev/shm")
    os.environ["XDG_RUNTIME_DIR"] = store
    try:
        said = f"{args.threads} conversations of {args.steps} messages of {args.bytes} bytes"
        print(f"{said}, {agentmem.backend()} backend")
        print(f"{'saver':<14} {'MiB':>8} {'ms/step':>8}")
        for name in SAVERS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                used, seconds = pool.apply(work, (name, args.steps, args.bytes, args.threads))
            print(f"{name:<14} {used / MB:>8.1f} {1000 * seconds / args.steps / args.threads:>8.1f}")
    finally:
        shutil.rmtree(store)


if __name__ == "__main__":
    main()
