"""A web server inside the test's process that remembers what it was asked, and resolvers to inject."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from tool_fn.web import Guard, Rules, WebClient

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class LocalServer:
    """`requests`: (method, path, headers, body) of each, in order."""

    port: int
    requests: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


@asynccontextmanager
async def serving(handler: Handler = hello, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[LocalServer]:
    """Without a port: a free one of those that tools may reach by default, so that no test stops at that rule."""
    server = LocalServer(port)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        server.requests.append((request.method, request.path_qs, request.headers.copy(), await request.read()))
        return await handler(request)

    runner = web.ServerRunner(web.Server(handle), handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        for candidate in [port] if port else random.sample(range(8000, 10000), 200):
            try:
                await web.TCPSite(runner, host, candidate).start()
            except OSError:
                continue
            server.port = candidate
            break
        assert server.port, "no port is free"
        yield server
    finally:
        await runner.cleanup()


class Names:
    """A resolver: what each name resolves to, in the order in which it is asked; the last answer stays."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {name: list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked.append(name)
        if name not in self._answers:
            raise OSError("no such name")
        answers = self._answers[name]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@asynccontextmanager
async def web_client(
    names: Names | None = None,
    allow: Sequence[str] = (),
    allow_private: Sequence[str] = (),
    max_bytes: int = 1_000_000,
) -> AsyncIterator[WebClient]:
    client = WebClient(Guard(Rules.read(allow, allow_private), names or Names({})), max_bytes)
    try:
        yield client
    finally:
        await client.aclose()
