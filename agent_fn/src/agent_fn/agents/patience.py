"""Says what takes time while a model has not said anything yet."""

import asyncio
from types import TracebackType
from typing import Self

from dormouse_runtime.errors import DormouseError

from agent_fn.agents.context import Flow
from agent_fn.events import Activity, ActivityKind
from agent_fn.models.port import Model

_PATIENCE_S = 1.0
_LOOK_AGAIN_S = 2.0


class Patience:
    """Wraps the wait for a first word: after a second of it, tells whether the model loads or reads the prompt.

    A timer and nothing else where the answer comes sooner.
    """

    def __init__(self, models: Model, model: str, flow: Flow) -> None:
        self._models = models
        self._model = model
        self._flow = flow
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        if self._task is not None:
            await asyncio.wait([self._task])

    def end(self) -> None:
        """The model speaks: nothing is told any more."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._explain())

    async def _explain(self) -> None:
        told_to_load = False
        try:
            while not await self._models.is_loaded(self._model):
                if not told_to_load:
                    told_to_load = True
                    self._flow.put([Activity(ActivityKind.LOADING_MODEL, self._model)])
                await asyncio.sleep(_LOOK_AGAIN_S)
        except DormouseError:
            return  # the answer itself will say what is wrong
        self._flow.put([Activity(ActivityKind.PROCESSING_PROMPT, self._model)])
