"""Which models there are and what each can do; remembered for a short time so that a run need not ask."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from dormouse_runtime.errors import DormouseError

from agent_fn import errors
from agent_fn.models.ollama.abilities import describe
from agent_fn.models.ollama.client import OllamaClient
from agent_fn.models.port import Capability, ModelDescription

_logger = logging.getLogger(__name__)
_FRESH_S = 10.0
_KEPT_S = 300.0
_DESCRIBED_AT_ONCE = 4
_DESCRIPTIONS_KEPT = 256

T = TypeVar("T")


class Remembered(Generic[T]):
    """A value that takes a while to read.

    Up to 10 s after it was read it counts as it is; up to 5 minutes it still counts while it is read again in the
    background; after that, and at first, whoever asks waits. Those who wait share one reading.
    """

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._read_at = float("-inf")
        self._value: T | None = None
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The value; raises what reading it raised."""
        age = self._loop.time() - self._read_at
        if age > _FRESH_S and self._reading is None:
            self._reading = self._loop.create_task(self._refresh())
            self._reading.add_done_callback(self._read_or_failed)
        if age <= _KEPT_S and self._value is not None:
            return self._value
        assert self._reading is not None
        # Shielded: one that leaves does not take the others' reading away.
        return await asyncio.shield(self._reading)

    @property
    def is_reading(self) -> bool:
        """Whether it is being read just now."""
        return self._reading is not None

    async def aclose(self) -> None:
        """Stops reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _refresh(self) -> T:
        value = await self._read()
        self._value, self._read_at = value, self._loop.time()
        return value

    def _read_or_failed(self, reading: asyncio.Task[T]) -> None:
        self._reading = None
        if reading.cancelled() or (error := reading.exception()) is None:
            return
        if isinstance(error, DormouseError) and not error.retryable:
            self._read_at = float("-inf")  # it is gone, not away: the next one asks again and hears it
        _logger.debug("could not be read again", extra={"error": repr(error)})


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
        self._default = Remembered(self._find_default)
        self._all = Remembered(self._describe_all)

    async def resolve(self, name: str) -> ModelDescription:
        """The model with this name, or the default one for "". Errors: MODEL_NOT_FOUND, MODEL_UNAVAILABLE."""
        if name or self._default_model:
            return await self._description(name or self._default_model)
        return await self._default.get()

    async def overview(self) -> Overview:
        """All of it; empty where the model server does not answer."""
        try:
            models = await self._all.get()
        except DormouseError:
            return Overview(reachable=False, models=(), default_model="")
        try:
            default_model = (await self.resolve("")).name
        except DormouseError:
            default_model = ""
        return Overview(reachable=True, models=models, default_model=default_model)

    async def aclose(self) -> None:
        """Ends what is being read."""
        await self._default.aclose()
        await self._all.aclose()
        for remembered in self._descriptions.values():
            await remembered.aclose()

    async def _description(self, name: str) -> ModelDescription:
        remembered = self._descriptions.get(name)
        if remembered is None:
            remembered = self._descriptions[name] = Remembered(lambda: self._describe(name, {}))
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
