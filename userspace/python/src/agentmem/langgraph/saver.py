# SPDX-License-Identifier: MIT
"""A checkpoint saver for LangGraph."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol

from agentmem.langgraph.pieces import THRESHOLD, Pieces


class AgentmemSaver(InMemorySaver):
    """InMemorySaver whose large channel values are SMUs, and which can copy, prune and delete runs.

    A list that grows from checkpoint to checkpoint, as messages do, is held once: a step takes what it added. Values
    that are equal in other threads, or in other processes of this user, are held once, too. All are compressed by
    agentmem.mark(Temperature.COLD).

    threshold: bytes below which a value stays ordinary memory. Each list that grows takes one descriptor. Values become
    ordinary memory, and a warning is logged, when descriptors run out or a value is more than an object may hold.
    """

    def __init__(self, *, serde: SerializerProtocol | None = None, threshold: int = THRESHOLD) -> None:
        super().__init__(serde=serde)
        self._pieces = Pieces(threshold)
        self.blobs = self._pieces  # type: ignore[assignment]  # a mapping is all that is made of it

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Saves a checkpoint. What its parent has in a channel is what the new value is expected to go on from."""
        place = config["configurable"]["thread_id"], config["configurable"]["checkpoint_ns"]
        before = self._versions(*place, config["configurable"].get("checkpoint_id"))
        values = checkpoint["channel_values"]
        for channel, version in new_versions.items():
            key = (*place, channel, version)
            if channel in values:
                former = (*place, channel, before[channel]) if channel in before else None
                self._pieces.keep(key, self.serde.dumps_typed(values[channel]), former)
            else:
                self._pieces[key] = ("empty", b"")
        return super().put(config, checkpoint, metadata, {})

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies all checkpoints and writes; the values are the same objects."""
        for namespace, checkpoints in self.storage.get(source_thread_id, {}).items():
            self.storage[target_thread_id][namespace].update(checkpoints)
        for outer, writes in list(self.writes.items()):
            if outer[0] == source_thread_id:
                self.writes[(target_thread_id, *outer[1:])].update(writes)
        for key, piece in list(self._pieces.held.items()):
            if key[0] == source_thread_id:
                self._pieces.held[(target_thread_id, *key[1:])] = piece

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes what these runs have saved."""
        runs = set(run_ids)
        for thread, namespaces in self.storage.items():
            for namespace, checkpoints in namespaces.items():
                kept = [one for one, saved in checkpoints.items() if self._metadata(saved).get("run_id") not in runs]
                if len(kept) < len(checkpoints):
                    self._reduce(thread, namespace, kept)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keeps of each namespace the newest checkpoint and what its delta channels need; "delete" keeps none."""
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"there is no strategy {strategy!r}: keep_latest or delete")
        for thread in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread)
                continue
            for namespace, checkpoints in self.storage.get(thread, {}).items():
                if checkpoints:
                    self._reduce(thread, namespace, self._needed(thread, namespace, max(checkpoints)))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self.copy_thread(source_thread_id, target_thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        self.delete_for_runs(run_ids)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        self.prune(thread_ids, strategy=strategy)

    def _needed(self, thread: str, namespace: str, newest: str) -> set[str]:
        """The newest checkpoint and those of its ancestors that its delta channels go back to."""
        checkpoints = self.storage[thread][namespace]
        channels = set(self._metadata(checkpoints[newest]).get("counters_since_delta_snapshot") or ())
        needed, current = set[str](), newest
        while True:
            needed.add(current)
            versions = self._versions(thread, namespace, current)
            channels = {c for c in channels if self._pieces.empty((thread, namespace, c, versions.get(c, "")))}
            parent = checkpoints[current][2]
            if not channels or parent not in checkpoints:
                return needed
            current = parent

    def _reduce(self, thread: str, namespace: str, kept: Container[str]) -> None:
        """Forgets the other checkpoints of a namespace, and the values that were theirs alone."""
        checkpoints = self.storage[thread][namespace]
        for gone in [one for one in checkpoints if one not in kept]:
            del checkpoints[gone]
            self.writes.pop((thread, namespace, gone), None)
        used = {item for one in checkpoints for item in self._versions(thread, namespace, one).items()}
        for key in list(self._pieces):
            if key[:2] == (thread, namespace) and key[2:] not in used:
                del self._pieces[key]

    def _versions(self, thread: str, namespace: str, checkpoint: str | None) -> ChannelVersions:
        saved = self.storage[thread][namespace].get(checkpoint) if checkpoint else None
        versions: ChannelVersions = self.serde.loads_typed(saved[0])["channel_versions"] if saved else {}
        return versions

    def _metadata(self, saved: tuple[Any, tuple[str, bytes], str | None]) -> dict[str, Any]:
        metadata: dict[str, Any] = self.serde.loads_typed(saved[1])
        return metadata
