"""A peer that speaks as much of Ollama as embeddings need, and does what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from embed_fn.ollama.client import OllamaClient, Timeouts

Answer = Callable[[list[str]], web.StreamResponse]


class Peer:
    """`batches` are the inputs of each request so far; `answer` decides what is answered."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.answer: Answer = vectors
        self.models: list[dict[str, Any]] = []
        self.shown: dict[str, dict[str, Any]] = {}
        self.chats: list[dict[str, Any]] = []
        self.said = "{}"

    async def embed(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        assert body["truncate"] is False
        self.batches.append(body["input"])
        return self.answer(body["input"])

    async def tags(self, request: web.Request) -> web.Response:
        return web.json_response({"models": self.models})

    async def show(self, request: web.Request) -> web.Response:
        name = orjson.loads(await request.read())["model"]
        found = self.shown.get(name)
        if found is None:
            return failure(404, f"model '{name}' not found")
        return web.json_response(found)

    async def chat(self, request: web.Request) -> web.Response:
        self.chats.append(orjson.loads(await request.read()))
        return web.json_response({"message": {"role": "assistant", "content": self.said}, "done": True})


def vectors(texts: list[str]) -> web.Response:
    """A vector for each, which tells its length; a token for each character."""
    embeddings = [[float(len(text)), 1.0] for text in texts]
    return web.json_response({"embeddings": embeddings, "prompt_eval_count": sum(map(len, texts))})


def failure(status: int, message: str) -> web.Response:
    """An error as Ollama writes it."""
    return web.json_response({"error": message}, status=status)


@asynccontextmanager
async def ollama() -> AsyncIterator[tuple[Peer, OllamaClient]]:
    """The peer on a port of its own, and a client of it."""
    peer = Peer()
    app = web.Application()
    app.router.add_post("/api/embed", peer.embed)
    app.router.add_post("/api/show", peer.show)
    app.router.add_post("/api/chat", peer.chat)
    app.router.add_get("/api/tags", peer.tags)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with OllamaClient.open(url, Timeouts(connect=2, read=2)) as client:
            yield peer, client
    finally:
        await runner.cleanup()
