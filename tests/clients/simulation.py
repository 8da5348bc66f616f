"""A model server as the tests of clients steer it: its pace, its faults, and what it saw of a call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.stack import ModelServer


class Simulation:
    """The controls of one model server; what a test changes is as it was when the block ends."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._last_id = 0

    @asynccontextmanager
    async def configured(self, **knobs: float) -> AsyncIterator[None]:
        """Other knobs for the time of the block: `ttft_ms`, `token_ms`, `tokens`, `think`."""
        before = (await self._http.get("/_sim/config")).json()
        (await self._http.put("/_sim/config", json=knobs)).raise_for_status()
        try:
            yield
        finally:
            await self._http.put("/_sim/config", json={name: before[name] for name in knobs})

    @asynccontextmanager
    async def failing(self, kind: str, **fault: Any) -> AsyncIterator[None]:
        """The next model call fails; so do `times` of them, 0 for all within the block."""
        (await self._http.post("/_sim/faults", json={"kind": kind, **fault})).raise_for_status()
        try:
            yield
        finally:
            await self._http.delete("/_sim/faults")

    async def script(self, *lines: dict[str, Any]) -> None:
        """What the model says next, as far as the requests fit: see the model server's /_sim/script."""
        (await self._http.put("/_sim/script", json={"lines": list(lines)})).raise_for_status()

    async def forget(self) -> None:
        """Only calls from now on are seen by `calls` and `wait`."""
        requests = (await self._http.get("/_sim/requests")).json()["requests"]
        self._last_id = max((request["id"] for request in requests), default=self._last_id)

    async def calls(self) -> list[dict[str, Any]]:
        """The model calls since `forget`, oldest first."""
        answer = await self._http.get("/_sim/requests", params={"after": self._last_id})
        return list(answer.json()["requests"])

    async def wait(self, state: str, *, within_s: float = 5, **query: Any) -> dict[str, Any]:
        """The first call since `forget` in this state; AssertionError when there is none within the time."""
        params = {"state": state, "after": self._last_id, "timeout_s": within_s, **query}
        answer = await self._http.get("/_sim/wait", params=params)
        assert answer.status_code == 200, f"no model call is {state}: {await self.calls()}"
        found: dict[str, Any] = answer.json()["requests"][0]
        return found


@asynccontextmanager
async def steering(model_server: ModelServer) -> AsyncIterator[Simulation]:
    """The controls of `model_server`, which has seen nothing yet."""
    async with model_server.control() as http:
        simulation = Simulation(http)
        await simulation.forget()
        yield simulation
