"""What is to be done for documents beside calls, while the process is there anyway: changes of the embedding model, and
deletions that were cut off."""

import asyncio
import logging
from contextvars import Context
from typing import Final

from dormouse_runtime.errors import DormouseError

from embed_fn.ingestion.passage_vectors import PassageVectors
from embed_fn.ingestion.reindexing import Reindexing
from embed_fn.store.documents import DocumentStore

_logger = logging.getLogger(__name__)
_LOOK_AGAIN_S: Final = 60.0
_SWEEP_AGAIN_S: Final = 600.0
_TENANTS: Final = 10_000


class Upkeep:
    """A task that works while there is something to do, for one tenant at a time. What a process leaves undone, a later
    one does."""

    def __init__(
        self, documents: DocumentStore, vectors: PassageVectors, reindexing: Reindexing, *, is_model_chosen: bool
    ) -> None:
        """is_model_chosen: whether the present model is what somebody wants; else a tenant keeps its model as long as
        the model server has it, and does not change because another one happens to be installed."""
        self._documents = documents
        self._vectors = vectors
        self._reindexing = reindexing
        self._is_model_chosen = is_model_chosen
        self._loop = asyncio.get_running_loop()
        self._swept_at = float("-inf")
        self._looked_at: dict[str, float] = {}
        self._tenants: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def wake(self, tenant: str) -> None:
        """Looks after this tenant soon, if that was not done a moment ago. Costs nothing."""
        now = self._loop.time()
        if self._looked_at.get(tenant, float("-inf")) + _LOOK_AGAIN_S > now:
            return
        if len(self._looked_at) >= _TENANTS:
            self._looked_at.clear()
        self._looked_at[tenant] = now
        self._tenants[tenant] = None
        if self._task is None or self._task.done():
            # In an empty context: no call's deadline or trace is its.
            self._task = self._loop.create_task(self._work(), context=Context())

    async def aclose(self) -> None:
        """Ends the task; nothing is lost."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        while self._tenants:
            tenant = next(iter(self._tenants))
            del self._tenants[tenant]
            try:
                if self._swept_at + _SWEEP_AGAIN_S < self._loop.time():
                    self._swept_at = self._loop.time()
                    await self._documents.sweep()
                if await self._is_to_change(tenant):
                    await self._reindexing.run(tenant)
            except DormouseError as error:
                _logger.info("upkeep waits for another time", extra={"reason": error.reason_name})

    async def _is_to_change(self, tenant: str) -> bool:
        choice = await self._vectors.choose(tenant)
        if not choice.is_active:
            return True
        return self._is_model_chosen and choice.model != await self._vectors.present_model()
