"""The development model server as its tests see it: knobs, faults, and the log of requests."""

from typing import Any

import httpx


class Simulation:
    """The control API under /_sim."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def set(self, **knobs: float) -> None:
        """Changes knobs."""
        (await self._http.put("/_sim/config", json=knobs)).raise_for_status()

    async def fault(self, kind: str, **fields: float) -> None:
        """Lets the next answer fail, or as many as `times` says."""
        (await self._http.post("/_sim/faults", json={"kind": kind, **fields})).raise_for_status()

    async def unload(self, model: str) -> None:
        """Drops a model from memory."""
        (await self._http.post("/api/generate", json={"model": model, "keep_alive": 0})).raise_for_status()

    async def clear(self) -> None:
        """Forgets faults and requests."""
        (await self._http.delete("/_sim/faults")).raise_for_status()
        (await self._http.delete("/_sim/requests")).raise_for_status()

    async def requests(self, **query: Any) -> list[dict[str, Any]]:
        """The requests that match, oldest first."""
        response = (await self._http.get("/_sim/requests", params=query)).raise_for_status()
        return list(response.json()["requests"])

    async def unfinished(self) -> list[dict[str, Any]]:
        """The requests that are being answered or wait for it."""
        return await self.requests(state="queued,loading,prefilling,streaming")

    async def wait(self, **query: Any) -> list[dict[str, Any]]:
        """Waits until `count` (1) requests match, for `timeout_s` (10) at most, and returns them."""
        response = await self._http.get("/_sim/wait", params=query)
        assert response.status_code == 200, f"waited in vain for {query}: {response.text[:2000]}"
        return list(response.json()["requests"])
