"""Runs of agents through the public API, and what their events say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from loadtest.transcripts.exchanges import Event, events_of
from loadtest.transcripts.readable import text_of


@dataclass(frozen=True, slots=True)
class Run:
    """The events of one run, or of what it did after it was resumed."""

    events: list[Event]

    def of(self, name: str) -> list[Any]:
        """The data of the events with this name."""
        return [event.data for event in self.events if event.name == name]

    @property
    def id(self) -> str:
        return str(self.of("run.started")[0]["run_id"])

    @property
    def text(self) -> str:
        return text_of(self.events)

    @property
    def end(self) -> Event:
        return self.events[-1]

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """Name and arguments of every call, in the order in which they were asked for."""
        arguments: dict[str, str] = {}
        for data in self.of("tool_call.args"):
            arguments[data["tool_call_id"]] = arguments.get(data["tool_call_id"], "") + data["delta"]
        return [(data["name"], json.loads(arguments[data["tool_call_id"]])) for data in self.of("tool_call.started")]

    @property
    def results(self) -> dict[str, Any]:
        """The results by the ids of their calls."""
        return {data["tool_call_id"]: data for data in self.of("tool_call.result")}


async def run(http: httpx.AsyncClient, agent: str, content: str, *, path: str = "/v1/runs", **body: Any) -> Run:
    """Ask an agent, and read its stream to the end."""
    messages = [{"role": "user", "content": content}]
    return await _read(http, path, {"agent": agent, "input": {"messages": messages}, **body})


async def resume(http: httpx.AsyncClient, interrupted: Run, action: dict[str, Any]) -> Run:
    """Answer the one question of a run, and read what it does then."""
    (interrupt,) = interrupted.of("run.interrupted")[0]["interrupts"]
    return await _read(http, f"/v1/runs/{interrupted.id}/resume", {"answers": {interrupt["id"]: action}})


async def _read(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Run:
    response = await http.post(path, json=body)
    assert response.status_code == 200, response.text
    return Run(events_of(response.text))
