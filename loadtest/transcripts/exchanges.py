"""Asks the public API as a client would, and keeps what was asked and what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event: its name ("" where the protocol gives none) and its JSON."""

    name: str
    data: Any


@dataclass(slots=True)
class Exchange:
    """One request and its answer: events where it was a stream, else a JSON value."""

    title: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    note: str = ""
    events: list[Event] = field(default_factory=list)
    answer: Any = None

    @property
    def is_stream(self) -> bool:
        """Whether the answer came as events."""
        return bool(self.events)

    def of(self, name: str) -> list[Any]:
        """The data of the events with this name, or with this `type` where the protocol has that instead."""
        return [event.data for event in self.events if name in (event.name, _type(event.data))]


class ExchangeError(RuntimeError):
    """The platform refused a request; the message says which and how."""


class Client:
    """One tenant's client of the edge at `url`; remembers its exchanges in order."""

    def __init__(self, http: aiohttp.ClientSession, url: str, api_key: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self.exchanges: list[Exchange] = []

    async def post(self, title: str, path: str, body: Mapping[str, Any], *, note: str = "") -> Exchange:
        """POST a JSON body. Raises ExchangeError for an answer that is an error."""
        return await self._ask(Exchange(title, "POST", path, body, note))

    async def get(self, title: str, path: str, *, note: str = "") -> Exchange:
        """GET. Raises ExchangeError for an answer that is an error."""
        return await self._ask(Exchange(title, "GET", path, None, note))

    async def _ask(self, exchange: Exchange) -> Exchange:
        data = None if exchange.body is None else orjson.dumps(exchange.body)
        headers = self._headers | ({"Content-Type": "application/json"} if data is not None else {})
        async with (
            asyncio.timeout(TIMEOUT_S),
            self._http.request(exchange.method, self._url + exchange.path, data=data, headers=headers) as response,
        ):
            raw = await response.read()
            if response.status >= 400:
                raise ExchangeError(f"{exchange.method} {exchange.path}: {response.status} {raw.decode()[:500]}")
            if response.content_type == "text/event-stream":
                exchange.events = events_of(raw.decode())
            elif raw:
                exchange.answer = orjson.loads(raw)
        self.exchanges.append(exchange)
        return exchange


def events_of(text: str) -> list[Event]:
    """The events of a server-sent stream; comments and OpenAI's [DONE] are left out."""
    found = []
    for block in text.split("\n\n"):
        name, data = "", []
        for line in block.split("\n"):
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                data.append(line.removeprefix("data:").strip())
        if data and data != ["[DONE]"]:
            found.append(Event(name, orjson.loads("\n".join(data))))
    return found


def _type(data: Any) -> str:
    return str(data.get("type", "")) if isinstance(data, dict) else ""
