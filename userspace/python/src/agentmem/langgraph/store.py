# SPDX-License-Identifier: MIT
"""A store for LangGraph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.base import IndexConfig, Item, Op, PutOp, Result
from langgraph.store.memory import InMemoryStore

from agentmem.langgraph.pieces import THRESHOLD, Piece, Text, keep

serializer = JsonPlusSerializer()


class HeldItem(Item):
    """An item whose value is an SMU; each look at the value makes it anew."""

    __slots__ = ("piece",)

    def __init__(self, item: Item, piece: Piece) -> None:
        self.piece = piece
        self.key, self.namespace = item.key, item.namespace
        self.created_at, self.updated_at = item.created_at, item.updated_at

    @property
    def value(self) -> dict[str, Any]:  # type: ignore[override]
        value: dict[str, Any] = serializer.loads_typed(self.piece.typed())
        return value

    def plain(self) -> Item:
        return Item(
            value=self.value,
            key=self.key,
            namespace=self.namespace,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class AgentmemStore(InMemoryStore):
    """InMemoryStore whose large values are SMUs: equal ones, of whatever process of this user, are held once.

    Values come back as the serializer of LangGraph's checkpoints gives them. threshold: bytes below which a value stays
    ordinary memory.
    """

    __slots__ = ("_threshold",)

    def __init__(self, *, index: IndexConfig | None = None, threshold: int = THRESHOLD) -> None:
        super().__init__(index=index)
        self._threshold = threshold

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return [_plain(result) for result in super().batch(ops)]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return [_plain(result) for result in await super().abatch(ops)]

    def _apply_put_ops(self, put_ops: dict[tuple[tuple[str, ...], str], PutOp]) -> None:
        former = {place: self._data[place[0]].get(place[1]) for place in put_ops}
        super()._apply_put_ops(put_ops)
        for (namespace, key), before in former.items():
            item = self._data[namespace].get(key)
            if item is not None:
                self._data[namespace][key] = self._held(item, before)

    def _held(self, item: Item, before: Item | None) -> Item:
        typed = serializer.dumps_typed(item.value)
        piece = keep(typed, before.piece if isinstance(before, HeldItem) else None, self._threshold)
        return HeldItem(item, piece) if isinstance(piece.body, Text) else item


def _plain(result: Result) -> Result:
    return result.plain() if isinstance(result, HeldItem) else result
