# SPDX-License-Identifier: MIT
"""LangGraph's saver and store on SMUs: its conformance suite, graphs beside its in-memory ones, what is held once."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, Op, PutOp, Result, SearchOp
from langgraph.store.memory import InMemoryStore

import agentmem
from agentmem.langgraph import AgentmemSaver, AgentmemStore
from agentmem.langgraph.pieces import THRESHOLD, keep

SIZES = (10, 300, 5000, 20_000)
CAPABILITIES = 8


@pytest.fixture(autouse=True)
def _all_given_back() -> Iterator[None]:
    before = agentmem.stats().smus
    yield
    gc.collect()
    assert agentmem.stats().smus == before


def extend(state: list[str], writes: Any) -> list[str]:
    return [*state, *(item for write in writes for item in write)]


class Lines(TypedDict):
    lines: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=5)]


def thread(name: str, checkpoint: str | None = None) -> RunnableConfig:
    known = {"checkpoint_id": checkpoint} if checkpoint else {}
    return {"configurable": {"thread_id": name, **known}}


def talk(saver: BaseCheckpointSaver[Any], seed: int = 1) -> Any:
    """A graph that answers each message with one of random size."""
    chance = random.Random(seed)

    def answer(state: MessagesState) -> dict[str, Any]:
        text = "".join(chance.choices("abcdef é\n", k=chance.choice(SIZES)))
        return {"messages": [AIMessage(text, id=f"a{len(state['messages'])}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


def say(graph: Any, config: RunnableConfig, number: int) -> Any:
    return graph.invoke({"messages": [HumanMessage(f"question {number}", id=f"h{number}")]}, config)


def history(graph: Any, config: RunnableConfig) -> list[Any]:
    return [(state.values, state.next, state.metadata["step"]) for state in graph.get_state_history(config)]


@pytest.mark.parametrize("threshold", [0, 4096])
def test_it_conforms_in_all_capabilities(threshold: int) -> None:
    @checkpointer_test(name="AgentmemSaver")
    async def saver() -> AsyncIterator[AgentmemSaver]:
        yield AgentmemSaver(threshold=threshold)

    results = asyncio.run(validate(saver)).results
    assert len(results) == CAPABILITIES
    for name, result in results.items():
        assert result.detected and result.passed and result.tests_passed, (name, result.failures)


@pytest.mark.parametrize("threshold", [0, 4096])
def test_every_state_is_what_the_in_memory_saver_keeps(threshold: int) -> None:
    graphs = [talk(InMemorySaver()), talk(AgentmemSaver(threshold=threshold))]
    for number in range(25):
        for graph in graphs:
            say(graph, thread("one"), number)
    theirs, ours = (history(graph, thread("one")) for graph in graphs)
    assert theirs == ours and len(ours) >= 75


def test_a_growing_history_is_one_object() -> None:
    before = agentmem.stats().smus
    saver = AgentmemSaver()
    graph = talk(saver)
    for number in range(40):
        say(graph, thread("one"), number)
    assert agentmem.stats().smus == before + 1
    states = history(graph, thread("one"))
    lengths = [len(values["messages"]) for values, _, _ in states if "messages" in values]
    assert lengths[0] == 80 and sorted(set(lengths)) == list(range(81))


def test_branches_of_a_history_are_kept_apart() -> None:
    graphs = [talk(InMemorySaver()), talk(AgentmemSaver(threshold=0))]
    kept = []
    for graph in graphs:
        for number in range(6):
            say(graph, thread("one"), number)
        past = list(graph.get_state_history(thread("one")))[9]
        for number in range(100, 104):
            say(graph, past.config if number == 100 else thread("one"), number)
        kept.append((history(graph, thread("one")), history(graph, past.config)))
    assert kept[0] == kept[1]


def test_a_copied_thread_is_the_same_objects_until_it_goes_on() -> None:
    saver = AgentmemSaver(threshold=0)
    graph = talk(saver)
    for number in range(5):
        say(graph, thread("one"), number)
    before = agentmem.stats().smus
    saver.copy_thread("one", "two")
    assert agentmem.stats().smus == before
    for name in ("one", "two"):
        say(graph, thread(name), 77)
    one, two = (graph.get_state(thread(name)).values["messages"] for name in ("one", "two"))
    assert one[:11] == two[:11] and one[11] != two[11] and len(one) == len(two) == 12


def test_deleting_a_thread_frees_its_objects() -> None:
    before = agentmem.stats().smus
    saver = AgentmemSaver(threshold=0)
    graph = talk(saver)
    for name in ("one", "two"):
        for number in range(4):
            say(graph, thread(name), number)
    saver.delete_thread("one")
    assert list(saver.list(thread("one"))) == []
    assert len(history(graph, thread("two"))) == 12 and agentmem.stats().smus > before
    saver.delete_thread("two")
    assert agentmem.stats().smus == before and not saver.blobs and not saver.writes


def test_pruning_leaves_the_newest_state_and_no_value_of_others() -> None:
    saver = AgentmemSaver(threshold=0)
    graph = talk(saver)
    for number in range(8):
        say(graph, thread("one"), number)
    state = graph.get_state(thread("one"))
    saver.prune(["one"])
    assert [one.config for one in graph.get_state_history(thread("one"))] == [state.config]
    assert graph.get_state(thread("one")).values == state.values
    versions = len(state.metadata) and saver.get_tuple(thread("one")).checkpoint["channel_versions"]  # type: ignore[union-attr]
    assert len(saver.blobs) <= len(versions)
    say(graph, thread("one"), 9)
    assert graph.get_state(thread("one")).values["messages"][:16] == state.values["messages"]
    with pytest.raises(ValueError, match="keep_latest or delete"):
        saver.prune(["one"], strategy="other")


def test_pruning_keeps_what_a_delta_channel_is_rebuilt_from() -> None:
    builder = StateGraph(Lines)
    builder.add_node("more", lambda state: {"lines": [f"line {len(state['lines'])}"]})
    builder.add_edge(START, "more")
    builder.add_edge("more", END)
    saver = AgentmemSaver(threshold=0)
    graph = builder.compile(checkpointer=saver)
    for steps in range(1, 14):
        graph.invoke({"lines": ["in"]}, thread("one"))
        state = graph.get_state(thread("one")).values
        checkpoints = len(list(saver.list(thread("one"))))
        saver.prune(["one"])
        assert graph.get_state(thread("one")).values == state and len(state["lines"]) == 2 * steps
        assert 1 <= len(list(saver.list(thread("one")))) <= checkpoints


def test_threads_of_a_server_use_one_saver() -> None:
    saver = AgentmemSaver(threshold=0)

    def work(name: int) -> list[Any]:
        graph = talk(saver, seed=name)
        for number in range(12):
            say(graph, thread(str(name)), number)
        return history(graph, thread(str(name)))

    def alone(name: int) -> list[Any]:
        graph = talk(InMemorySaver(), seed=name)
        for number in range(12):
            say(graph, thread(str(name)), number)
        return history(graph, thread(str(name)))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [alone(name) for name in range(6)]


def test_asynchronous_graphs_work() -> None:
    saver = AgentmemSaver(threshold=0)
    graph = talk(saver)

    async def main() -> list[Any]:
        for number in range(5):
            ask = {"messages": [HumanMessage(f"question {number}", id=f"h{number}")]}
            await asyncio.gather(*(graph.ainvoke(ask, thread(name)) for name in ("one", "two")))
        return [state.values["messages"] async for state in graph.aget_state_history(thread("one"))]

    assert len(asyncio.run(main())[0]) == 10


def test_without_descriptors_values_are_ordinary_memory(caplog: pytest.LogCaptureFixture) -> None:
    saver = AgentmemSaver(threshold=0)
    graph = talk(saver)
    say(graph, thread("one"), 0)
    saved = saver.get_tuple(thread("one"))
    assert saved
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))
    try:
        checkpoint = {**saved.checkpoint, "id": saved.checkpoint["id"] + "x", "channel_values": {"other": "text" * 99}}
        config: RunnableConfig = {"configurable": {"thread_id": "two", "checkpoint_ns": ""}}
        saver.put(config, checkpoint, {}, {"other": "1"})  # type: ignore[arg-type, typeddict-item]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "kept as ordinary memory: Too many open files" in caplog.text
    assert saver.blobs["two", "", "other", "1"][1].count(b"text") == 99


def test_what_no_object_can_hold_is_ordinary_memory(caplog: pytest.LogCaptureFixture) -> None:
    size = (1 << 30) + 1
    piece = keep(("bytes", bytes(size)), None, THRESHOLD)
    assert isinstance(piece.body, bytes) and len(piece.body) == size
    assert f"a value of {size} bytes is kept as ordinary memory: more than an object may hold" in caplog.text


# -- the store --


def operations(chance: random.Random) -> list[Op]:
    """A batch: whatever may be asked, over few names, so that much is met again."""
    made: list[Op] = []
    for _ in range(chance.randint(1, 6)):
        place = tuple(chance.choices(["a", "b", "c"], k=chance.randint(1, 3)))
        key, size = chance.choice("xyz"), chance.choice(SIZES)
        value = {"n": chance.randint(0, 4), "text": chance.choice("pq") * size, "in": {"list": [1, None, "é"]}}
        find = chance.choice([None, {"n": 2}, {"n": {"$gte": 2}}, {"in": {"list": [1, None, "é"]}}, {"n": {"$ne": 1}}])
        match = (MatchCondition("prefix", (chance.choice("ab*"),)),)
        choices: list[Op] = [
            PutOp(place, key, value),
            PutOp(place, key, chance.choice([value, None])),
            GetOp(place, key),
            SearchOp(place[:1], filter=find, limit=chance.randint(1, 9), offset=chance.randint(0, 2)),
            ListNamespacesOp(match, max_depth=chance.choice([None, 2]), limit=5),
        ]
        made.append(chance.choice(choices))
    return made


def plain(result: Result) -> Any:
    if isinstance(result, list):
        return [plain(one) for one in result]
    if result is None or isinstance(result, tuple):
        return result
    return type(result), result.namespace, result.key, result.value


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("threshold", [0, 4096])
def test_every_answer_is_what_the_in_memory_store_gives(threshold: int, asynchronous: bool) -> None:
    chance = random.Random(threshold)
    theirs, ours = InMemoryStore(), AgentmemStore(threshold=threshold)
    for _ in range(400):
        batch = operations(chance)
        if asynchronous:
            answers = [asyncio.run(store.abatch(batch)) for store in (theirs, ours)]
        else:
            answers = [store.batch(batch) for store in (theirs, ours)]
        assert plain(answers[0]) == plain(answers[1]), batch


def test_equal_values_are_one_object_and_go_with_their_items() -> None:
    before = agentmem.stats().smus
    store, other = AgentmemStore(), AgentmemStore()
    for number in range(20):
        store.put(("docs", str(number)), "key", {"text": "shared " * 5000})
        other.put(("docs",), str(number), {"text": "shared " * 5000})
    assert agentmem.stats().smus == before + 1
    item = store.get(("docs", "3"), "key")
    assert item and item.value == {"text": "shared " * 5000}
    item.value["text"] = "changed by its reader"
    assert store.get(("docs", "3"), "key").value["text"].startswith("shared")  # type: ignore[union-attr]
    for number in range(20):
        store.delete(("docs", str(number)), "key")
        other.delete(("docs",), str(number))
    assert agentmem.stats().smus == before


def test_a_graph_finds_what_another_run_has_stored() -> None:
    store = AgentmemStore()

    class State(TypedDict):
        seen: Annotated[list[str], add]

    def look(state: State, runtime: Runtime[None]) -> dict[str, list[str]]:
        store = runtime.store
        assert store is not None
        found = store.get(("memories",), "one")
        store.put(("memories",), "one", {"text": "remember " * 1000})
        return {"seen": [found.value["text"][:8] if found else "nothing"]}

    builder = StateGraph(State)
    builder.add_node("look", look)
    builder.add_edge(START, "look")
    builder.add_edge("look", END)
    graph: Any = builder.compile(store=store)
    runs: Callable[[], Any] = lambda: graph.invoke({"seen": []})["seen"]  # noqa: E731
    assert [runs(), runs()] == [["nothing"], ["remember"]]


def test_similar_items_are_found_by_their_vectors() -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(text.count(letter)) for letter in "abcd"] for text in texts]

    stores = [
        kind(index={"dims": 4, "embed": embed, "fields": ["text"]})  # type: ignore[typeddict-item]
        for kind in (InMemoryStore, AgentmemStore)
    ]
    for store in stores:
        for number, letter in enumerate("abcdab"):
            store.put(("docs",), str(number), {"text": letter * (number + 1) * 3000})
    theirs, ours = ([(i.key, i.score, i.value) for i in s.search(("docs",), query="aab", limit=4)] for s in stores)
    assert theirs == ours and len(ours) == 4
