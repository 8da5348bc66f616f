"""Calls tools for callers: who may, which tool, once or again; what a call tells goes to whoever asked for it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
from dormouse_runtime import deadlines
from dormouse_runtime.identity import Identity

from tool_fn import errors
from tool_fn.effects import Effects
from tool_fn.feed import Feed
from tool_fn.registry import Registry
from tool_fn.results import Result
from tool_fn.runner import Runner
from tool_fn.scopes import allows, hosts
from tool_fn.tool import Call, Progress, Tool

Told = Progress | str | Result

_KEY_CHARACTERS: Final = 256
_ARGUMENT_BYTES: Final = 2_000_000
# What is left of a call's time for its result to get back.
_WAY_BACK: Final = 0.05
_WAY_BACK_MOST_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Request:
    """See dormouse.tool.v1.InvokeRequest. documents_token: see Call."""

    name: str
    arguments: bytes
    key: str = ""
    tool_call_id: str = ""
    documents_token: str = field(default="", repr=False)


class Invoker:
    """Runs what callers ask for until the process is to stop."""

    def __init__(self, registry: Registry, runner: Runner, effects: Effects) -> None:
        self._registry = registry
        self._runner = runner
        self._effects = effects
        self._expected: set[str] = set()

    async def tools(self, caller: Identity) -> list[Tool]:
        """What the caller may use, by name. Tools that a run is told of are made ready, once."""
        tools = [tool for tool in await self._registry.tools() if allows(caller, tool.name)]
        if caller.run_id:
            self._expect(tools)
        return tools

    async def invoke(self, request: Request, caller: Identity) -> AsyncGenerator[Told, None]:
        """What the call tells, and last its result. Leaving the iteration stops a tool without side effects.

        Errors: TOOL_NOT_FOUND, INVALID_ARGUMENT, PERMISSION_DENIED, OVERLOADED, SHUTTING_DOWN. What goes wrong with the
        arguments or in the tool is a result.
        """
        tool = await self._tool(request, caller)
        if (problem := _problem_with(request.arguments)) is not None:
            yield Result(problem, is_error=True)
            return
        feed = Feed(tool.output_limit_bytes)
        task = self._start(tool, request, caller, feed)
        task.add_done_callback(lambda _: feed.close())
        try:
            while told := await feed.take():
                for one in told:
                    yield one
            yield task.result()
        finally:
            feed.close()
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def _expect(self, tools: Iterable[Tool]) -> None:
        for tool in tools:
            if tool.expect is not None and tool.name not in self._expected:
                self._expected.add(tool.name)
                tool.expect()

    async def _tool(self, request: Request, caller: Identity) -> Tool:
        if not allows(caller, request.name):
            raise errors.permission_denied(request.name)
        tool = await self._registry.find(request.name)
        if tool is None:
            raise errors.tool_not_found(request.name)
        if tool.has_side_effects and not request.key:
            raise errors.invalid_argument(f"The tool {tool.name} has side effects: its calls need an idempotency key.")
        if len(request.key) > _KEY_CHARACTERS or not request.key.isprintable():
            raise errors.invalid_argument(
                f"An idempotency key has at most {_KEY_CHARACTERS} characters, all of them printable."
            )
        return tool

    def _start(self, tool: Tool, request: Request, caller: Identity, feed: Feed) -> asyncio.Task[Result]:
        """A task that may be cancelled when nobody waits for it any more."""
        loop = asyncio.get_running_loop()
        call = Call(
            caller.tenant,
            caller.user,
            caller.run_id,
            request.key,
            loop.time() + tool.time_limit_s,
            feed.tell,
            documents_token=request.documents_token,
            hosts=hosts(caller),
        )
        if tool.has_side_effects:
            return loop.create_task(self._effects.result(tool, request.arguments, call, request.tool_call_id))
        if self._runner.is_full:
            raise errors.overloaded()
        remaining_s = deadlines.remaining_s()
        if remaining_s is not None:
            way_back_s = min(remaining_s * _WAY_BACK, _WAY_BACK_MOST_S)
            call = replace(call, deadline=min(call.deadline, loop.time() + remaining_s - way_back_s))
        return loop.create_task(self._runner.run(tool, request.arguments, call, request.tool_call_id))


def _problem_with(arguments: bytes) -> str | None:
    """What every tool would have to say of these arguments."""
    if len(arguments) > _ARGUMENT_BYTES:
        return f"The arguments are longer than {_ARGUMENT_BYTES:,} bytes."
    try:
        msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        return f"The arguments are not a JSON object: {error}."
    except RecursionError:
        return "The arguments are nested too deeply."
    return None
