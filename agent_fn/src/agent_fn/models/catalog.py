"""Which models there are and what each can do; remembered for a short time so that a run need not ask."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from dormouse_runtime.errors import DormouseError
from dormouse_runtime.remembered import Remembered

from agent_fn import errors
from agent_fn.models.ollama.abilities import describe
from agent_fn.models.ollama.client import OllamaClient
from agent_fn.models.port import Capability, ModelDescription

_FRESH_S = 10.0
_KEPT_S = 300.0
_DESCRIBED_AT_ONCE = 4
_DESCRIPTIONS_KEPT = 256

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Overview:
    """What a model server holds. `models` by name. `default_model` is empty where none can answer."""

    reachable: bool
    models: Sequence[ModelDescription]
    default_model: str


class ModelCatalog:
    """The models of one Ollama."""

    def __init__(self, client: OllamaClient, *, default_model: str, prefill: bool | None) -> None:
        self._client = client
        self._default_model = default_model
        self._prefill = prefill
        self._descriptions: dict[str, Remembered[ModelDescription]] = {}
        self._default = self._remember(self._find_default)
        self._all = self._remember(self._describe_all)

    async def resolve(self, name: str) -> ModelDescription:
        """The model with this name, or the default one for "". Errors: MODEL_NOT_FOUND, MODEL_UNAVAILABLE."""
        if name or self._default_model:
            return await self._description(name or self._default_model)
        return await self._default.get()

    async def overview(self) -> Overview:
        """All of it. Where the model server does not answer: what was known of it until lately, or nothing."""
        try:
            models = await self._all.get()
        except DormouseError:
            return Overview(reachable=False, models=(), default_model="")
        try:
            default_model = (await self.resolve("")).name
        except DormouseError:
            default_model = ""
        return Overview(reachable=not self._all.has_failed, models=models, default_model=default_model)

    async def aclose(self) -> None:
        """Ends what is being read."""
        await self._default.aclose()
        await self._all.aclose()
        for remembered in self._descriptions.values():
            await remembered.aclose()

    def _remember(self, read: Callable[[], Coroutine[Any, Any, T]]) -> Remembered[T]:
        return Remembered(read, fresh_s=_FRESH_S, kept_s=_KEPT_S)

    async def _description(self, name: str) -> ModelDescription:
        remembered = self._descriptions.get(name)
        if remembered is None:
            remembered = self._descriptions[name] = self._remember(lambda: self._describe(name, {}))
            if len(self._descriptions) > _DESCRIPTIONS_KEPT:
                await self._descriptions.pop(next(iter(self._descriptions))).aclose()
        try:
            return await remembered.get()
        except DormouseError:
            self._descriptions.pop(name, None)
            raise

    async def _describe(self, name: str, tag: Mapping[str, Any]) -> ModelDescription:
        description = describe(await self._client.show(name), tag, name)
        return description if self._prefill is None else replace(description, continues=self._prefill)

    async def _find_default(self) -> ModelDescription:
        for tag in await self._client.tags():
            description = await self._describe(tag["name"], tag)
            if Capability.COMPLETION in description.capabilities:
                return description
        raise errors.model_not_found("")

    async def _describe_all(self) -> Sequence[ModelDescription]:
        at_once = asyncio.Semaphore(_DESCRIBED_AT_ONCE)

        async def described(tag: Mapping[str, Any]) -> ModelDescription | None:
            try:
                async with at_once:
                    return await self._describe(tag["name"], tag)
            except DormouseError:
                return None  # removed since it was listed

        found = await asyncio.gather(*(described(tag) for tag in await self._client.tags()))
        return sorted((model for model in found if model is not None), key=lambda model: model.name)
