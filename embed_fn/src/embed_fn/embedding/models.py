"""Which models can embed, and what their vectors are like; remembered so that a call need not ask."""

from collections.abc import Mapping
from typing import Any, Final

from dormouse_runtime.errors import DormouseError
from dormouse_runtime.remembered import Remembered

from embed_fn import errors
from embed_fn.embedding.port import EmbeddingModel
from embed_fn.ollama.client import OllamaClient

_FRESH_S: Final = 10.0
_KEPT_S: Final = 300.0
_MODELS_KEPT: Final = 256
_NAME_LIMIT: Final = 256
_LATEST: Final = ":latest"
_ABILITY: Final = "embedding"
_PROBE: Final = "length"


class Models:
    """The embedding models of one Ollama."""

    def __init__(self, ollama: OllamaClient, default: str) -> None:
        """default: empty for the first installed one that embeds."""
        self._ollama = ollama
        self._default = default
        self._found: dict[str, Remembered[EmbeddingModel]] = {}

    async def find(self, name: str) -> EmbeddingModel:
        """See port.Embedder.model."""
        name = name or self._default
        if len(name) > _NAME_LIMIT:
            raise errors.model_not_found(name)
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = Remembered(lambda: self._look(name), fresh_s=_FRESH_S, kept_s=_KEPT_S)
            if len(self._found) > _MODELS_KEPT:
                await self._found.pop(next(iter(self._found))).aclose()
        try:
            return await found.get()
        except DormouseError:
            self._found.pop(name, None)
            raise

    async def aclose(self) -> None:
        """Ends what is being read."""
        for found in self._found.values():
            await found.aclose()

    async def _look(self, name: str) -> EmbeddingModel:
        tags = await self._ollama.tags()
        if name:
            # A name that is in no list may be one that the server knows all the same: `show` decides.
            tag = next((tag for tag in tags if tag.get("name") in (name, name + _LATEST)), {"name": name})
            model = await self._described(tag, when_silent=True)
            if model is None:
                raise errors.capability_missing(name, "embeddings")
            return model
        for tag in tags:
            model = await self._described(tag, when_silent=False)
            if model is not None:
                return model
        raise errors.model_not_found("")

    async def _described(self, tag: Mapping[str, Any], *, when_silent: bool) -> EmbeddingModel | None:
        """None where the model cannot embed. when_silent: whether it can where an old server does not say so."""
        name = str(tag.get("name", ""))
        listed = tag.get("capabilities")
        if listed and _ABILITY not in listed:
            return None
        shown = await self._ollama.show(name)
        abilities = shown.get("capabilities")
        if not (when_silent if abilities is None else _ABILITY in abilities):
            return None
        info = shown.get("model_info")
        numbers = info if isinstance(info, dict) else {}
        return EmbeddingModel(
            name=name.removesuffix(_LATEST),
            version=str(tag.get("digest", "")).removeprefix("sha256:")[:12],
            dimensions=_number(numbers, ".embedding_length") or await self._length_of_a_vector(name),
            context_length=_number(numbers, ".context_length"),
        )

    async def _length_of_a_vector(self, name: str) -> int:
        return len((await self._ollama.embed(name, [_PROBE])).vectors[0])


def _number(info: Mapping[str, Any], ending: str) -> int:
    value = next((value for key, value in info.items() if key.endswith(ending)), 0)
    return value if isinstance(value, int) else 0
