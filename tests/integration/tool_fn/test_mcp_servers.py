"""Tools of an MCP server, made with the official SDK and reached over HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, ImageContent, TextContent, ToolAnnotations
from starlette.types import ASGIApp, Receive, Scope, Send
from tool_fn.config import Config, Secrets
from tool_fn.means import open_means
from tool_fn.tool import Call, OutcomeUnknownError, Progress, Tool, ToolError
from tool_fn.tools import mcp as mcp_tools

TOKEN = "let-me-in"


def make_server() -> MCPServer:
    server = MCPServer("shelf")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def findBook(title: str, year: int = 0) -> str:  # noqa: N802 - MCP servers name as they like
        """Finds a book."""
        return f"{title} ({year})"

    @server.tool()
    async def lend(title: str, ctx: Context) -> str:
        """Lends a book."""
        await ctx.report_progress(1, 2, "looking")
        return f"lent {title}"

    @server.tool()
    def burn(title: str) -> CallToolResult:
        """Fails."""
        return CallToolResult(content=[TextContent(text=f"{title} does not burn")], is_error=True)

    @server.tool()
    async def hang() -> str:
        """Never answers."""
        await asyncio.sleep(600)
        return "late"

    @server.tool()
    def fill(megabytes: int) -> str:
        """Answers at length."""
        return "x" * (megabytes << 20)

    @server.tool()
    def cover() -> CallToolResult:
        """Shows a picture."""
        return CallToolResult(
            content=[TextContent(text="The cover:"), ImageContent(data="AAAA", mime_type="image/png")]
        )

    return server


@dataclass
class Shelf:
    """The server in its own task, on a port that stays."""

    port: int = 0
    seen: list[str] = field(default_factory=list)
    _server: uvicorn.Server | None = None
    _task: "asyncio.Task[None] | None" = None

    async def start(self) -> None:
        app: ASGIApp = make_server().streamable_http_app(stateless_http=True)  # one can be started only once

        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                sent = dict(scope["headers"]).get(b"authorization", b"").decode()
                self.seen.append(sent)
                if sent != f"Bearer {TOKEN}":
                    await send({"type": "http.response.start", "status": 401, "headers": []})
                    await send({"type": "http.response.body", "body": b""})
                    return
            await app(scope, receive, send)

        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(checked, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._server.capture_signals = _no_signals  # type: ignore[assignment]
        self._task = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        assert self._server is not None
        assert self._task is not None
        self._server.should_exit = True
        await self._task


def _no_signals() -> "_Nothing":
    return _Nothing()


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    shelf = Shelf()
    await shelf.start()
    yield shelf
    await shelf.stop()


async def tools_of(port: int, token: str = TOKEN, **settings: object) -> tuple[dict[str, Tool], Sequence[Tool]]:
    section = {"servers": {"shelf": {"url": f"http://127.0.0.1:{port}/mcp", "token_env": "SHELF_TOKEN", **settings}}}
    config = msgspec.convert({"mcp": section}, Config)
    async with open_means(config, Secrets({"SHELF_TOKEN": token})) as means:
        (source,) = mcp_tools.build_sources(means)
        tools = await source.tools()
    return {tool.name: tool for tool in tools}, tools


async def invoke(tool: Tool, arguments: object, *, seconds: float = 10, told: list[object] | None = None) -> str:
    listener = (lambda _told: None) if told is None else told.append
    call = Call("t", "u", "run_1", "key", asyncio.get_running_loop().time() + seconds, tell=listener)
    return await tool.invoke(msgspec.json.encode(arguments), call)


async def test_tools_of_a_server_come_with_its_name_schema_and_flags(shelf: Shelf) -> None:
    tools, _ = await tools_of(shelf.port)
    find, lend = tools["shelf_find_book"], tools["shelf_lend"]
    assert find.description == "Finds a book."
    assert find.input_schema["required"] == ["title"]
    assert (find.has_side_effects, find.needs_approval) == (False, False)
    assert (lend.has_side_effects, lend.needs_approval) == (True, True)
    assert set(shelf.seen) == {f"Bearer {TOKEN}"}


async def test_the_operator_chooses_tools_and_whether_people_approve(shelf: Shelf) -> None:
    tools, _ = await tools_of(shelf.port, tools=["lend", "no_such_tool"], approve=False)
    assert list(tools) == ["shelf_lend"]
    assert (tools["shelf_lend"].has_side_effects, tools["shelf_lend"].needs_approval) == (True, False)


async def test_a_call_brings_text_and_progress(shelf: Shelf) -> None:
    tools, _ = await tools_of(shelf.port)
    told: list[object] = []
    assert await invoke(tools["shelf_find_book"], {"title": "Alice", "year": 1865}) == "Alice (1865)"
    assert await invoke(tools["shelf_lend"], {"title": "Alice"}, told=told) == "lent Alice"
    assert Progress("looking", 0.5) in told


async def test_what_is_no_text_is_named(shelf: Shelf) -> None:
    tools, _ = await tools_of(shelf.port)
    assert await invoke(tools["shelf_cover"], {}) == "The cover:\n\n[image/png, 3 bytes, not shown]"


async def test_what_the_server_says_went_wrong_reaches_the_model(shelf: Shelf) -> None:
    tools, _ = await tools_of(shelf.port)
    with pytest.raises(ToolError, match="does not burn"):
        await invoke(tools["shelf_burn"], {"title": "Alice"})
    with pytest.raises(ToolError, match="year"):
        await invoke(tools["shelf_find_book"], {"title": "Alice", "year": "then"})
    with pytest.raises(ToolError, match="not a JSON object"):
        await invoke(tools["shelf_find_book"], ["Alice"])


async def test_a_server_that_is_away_or_refuses_is_named(shelf: Shelf) -> None:
    with pytest.raises(ToolError, match="mcp server shelf cannot be reached"):
        await tools_of(shelf.port, token="wrong")
    tools, _ = await tools_of(shelf.port)
    await shelf.stop()
    with pytest.raises(ToolError, match="mcp server shelf cannot be reached"):
        await invoke(tools["shelf_lend"], {"title": "Alice"})
    with pytest.raises(ToolError, match="mcp server shelf cannot be reached"):
        await tools_of(shelf.port)
    await shelf.start()
    assert await invoke(tools["shelf_lend"], {"title": "Alice"}) == "lent Alice"


async def test_a_call_that_breaks_off_has_an_unknown_outcome(shelf: Shelf) -> None:
    tools, _ = await tools_of(shelf.port)
    with pytest.raises(OutcomeUnknownError, match="broke off"):
        await invoke(tools["shelf_hang"], {}, seconds=0.5)


async def test_a_cancelled_call_ends_at_once(shelf: Shelf) -> None:
    tools, _ = await tools_of(shelf.port)
    task = asyncio.create_task(invoke(tools["shelf_hang"], {}))
    await asyncio.sleep(0.3)
    task.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_an_answer_without_end_is_not_read(shelf: Shelf) -> None:
    tools, _ = await tools_of(shelf.port)
    assert len(await invoke(tools["shelf_fill"], {"megabytes": 0})) == 0
    with pytest.raises(OutcomeUnknownError, match="broke off"):
        await invoke(tools["shelf_fill"], {"megabytes": 20})


async def test_a_list_is_asked_for_once_a_minute_and_outlives_its_server(shelf: Shelf) -> None:
    config = msgspec.convert(
        {"mcp": {"servers": {"shelf": {"url": f"http://127.0.0.1:{shelf.port}/mcp", "token_env": "SHELF_TOKEN"}}}},
        Config,
    )
    async with open_means(config, Secrets({"SHELF_TOKEN": TOKEN})) as means:
        (source,) = mcp_tools.build_sources(means)
        first = await asyncio.gather(*(source.tools() for _ in range(5)))
        asked = len(shelf.seen)
        await shelf.stop()
        assert [tool.name for tool in await source.tools()] == [tool.name for tool in first[0]]
        assert len(shelf.seen) == asked
