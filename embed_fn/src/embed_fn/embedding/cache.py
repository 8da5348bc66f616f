"""Vectors that were made before: in memory, and behind that in Postgres for all processes.

A vector belongs to a tenant, a model and a text: nobody can find out by the time it takes what others have embedded.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from embed_fn.embedding.port import EmbeddingModel, Item

# What an entry takes beside its vector: the key, the hash, the item, the place in the dictionary; about.
_OVERHEAD_BYTES: Final = 400


class Key(NamedTuple):
    """model: its name, version and dimensions. text_hash: SHA-256 of the text that the model was given."""

    tenant: str
    model: str
    text_hash: bytes


class Store(Protocol):
    """The second level."""

    async def find(self, keys: Sequence[Key]) -> Mapping[Key, Item]:
        """What it has of them, all of one tenant and model. Never fails and never takes long: it then has nothing."""
        ...

    def keep(self, entries: Iterable[tuple[Key, Item]]) -> None:
        """Stores them some time. They may get lost."""
        ...


class Cache:
    """Both levels. Items that it gives are shared: nobody changes their vectors."""

    def __init__(self, most_bytes: int, store: Store) -> None:
        self._memory = Memory(most_bytes)
        self._store = store

    def recall(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """What is in memory."""
        return {key: item for key in keys if (item := self._memory.get(key)) is not None}

    async def find(self, keys: Sequence[Key], *, in_memory: bool = True) -> dict[Key, Item]:
        """What the store has of what is not in memory; from now on it is, if that is wanted."""
        found = dict(await self._store.find(keys)) if keys else {}
        if in_memory:
            self._memory.put(found.items())
        return found

    def keep(self, entries: Sequence[tuple[Key, Item]], *, in_memory: bool = True) -> None:
        """New ones."""
        if in_memory:
            self._memory.put(entries)
        self._store.keep(entries)


class Memory:
    """At most so many bytes, about; those that nobody has asked for the longest go first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._items: OrderedDict[Key, Item] = OrderedDict()
        self.bytes = 0

    def get(self, key: Key) -> Item | None:
        """The item, which counts as used."""
        item = self._items.get(key)
        if item is not None:
            self._items.move_to_end(key)
        return item

    def put(self, entries: Iterable[tuple[Key, Item]]) -> None:
        """Adds them."""
        for key, item in entries:
            known = self._items.pop(key, None)
            if known is not None:
                self.bytes -= _size(known)
            self._items[key] = item
            self.bytes += _size(item)
        while self.bytes > self._most_bytes:
            _, oldest = self._items.popitem(last=False)
            self.bytes -= _size(oldest)


def model_key(model: EmbeddingModel) -> str:
    """What tells vectors apart."""
    return f"{model.name}@{model.version}/{model.dimensions}"


def text_hash(text: str) -> bytes:
    """Of the text with the model's prefix, if it has one."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _size(item: Item) -> int:
    return len(item.vector) * item.vector.itemsize + _OVERHEAD_BYTES
