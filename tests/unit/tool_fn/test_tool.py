"""A tool's schema and its reading of arguments come from one type."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta
from tool_fn.arguments import Arguments
from tool_fn.tool import Call, Progress, Tool, ToolError, typed_tool


class Unit(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class Weather(Arguments):
    """A docstring for people, which no model sees."""

    place: Annotated[str, Meta(description="A city.", min_length=1, max_length=20)]
    days: Annotated[int, Meta(description="How many.", ge=1, le=7)] = 1
    kind: Literal["current", "forecast"] = "current"
    units: tuple[Unit, ...] = ()
    comment: str | None = None


async def say(arguments: Weather, call: Call) -> str:
    return f"{arguments.place}: {arguments.days}"


def weather(**flags: Any) -> Tool:
    return typed_tool(name="weather", description="The weather.", input=Weather, run=say, **flags)


def call(**fields: Any) -> Call:
    return Call(**{"tenant": "t", "user": "u", "run_id": "r", "idempotency_key": "", "deadline": 0.0, **fields})


def test_the_schema_says_what_the_type_says_without_references() -> None:
    assert weather().input_schema == {
        "type": "object",
        "properties": {
            "place": {"type": "string", "description": "A city.", "minLength": 1, "maxLength": 20},
            "days": {"type": "integer", "description": "How many.", "minimum": 1, "maximum": 7, "default": 1},
            "kind": {"enum": ["current", "forecast"], "default": "current"},
            "units": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
                "default": [],
            },
            "comment": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["place"],
        "additionalProperties": False,
    }


async def test_arguments_that_fit_reach_the_tool() -> None:
    assert await weather().invoke(b'{"place": "Oslo", "days": 3}', call()) == "Oslo: 3"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (b"", "missing required field `place`"),
        (b'{"place": 3}', "place: Expected `str`, got `int`"),
        (b'{"place": "Oslo", "days": 9}', "days: Expected `int` <= 7"),
        (b'{"place": "Oslo", "days": "3"}', "days: Expected `int`, got `str`"),
        (b'{"place": "Oslo", "kind": "past"}', "kind: Invalid enum value 'past'; allowed: 'current', 'forecast'"),
        (b'{"place": "Oslo", "town": 1}', "unknown field `town`; there are: place, days, kind, units, comment"),
        (b'{"place": "Oslo", "units": [{}]}', "units[0]: Object missing required field `name`"),
        (b'{"place": "Oslo"', "not valid JSON"),
        (b'"Oslo"', "Expected `object`, got `str`"),
        (b'{"place": "\xff"}', "not valid JSON"),
        (b'{"place": "\\ud800"}', "not valid JSON"),
        (b'{"comment": ' + b"[" * 100_000, "comment"),
    ],
)
async def test_arguments_that_do_not_fit_are_explained_to_the_model(arguments: bytes, said: str) -> None:
    with pytest.raises(ToolError) as refused:
        await weather().invoke(arguments, call())
    assert said in str(refused.value)


async def test_depth_without_end_is_refused() -> None:
    class Free(Arguments):
        value: Any = None

    async def take(arguments: Free, call: Call) -> str:
        return "taken"

    tool = typed_tool(name="free", description="Takes anything.", input=Free, run=take)
    with pytest.raises(ToolError, match="nested too deeply"):
        await tool.invoke(b'{"value": ' + b"[" * 100_000, call())


class Loose(Arguments, forbid_unknown_fields=False):
    pass


class Tree(Arguments):
    children: tuple["Tree", ...] = ()


@pytest.mark.parametrize("kind", [Loose, Tree])
def test_a_type_that_no_model_could_use_is_refused(kind: type[Arguments]) -> None:
    async def never(arguments: Any, call: Call) -> str:
        raise AssertionError

    with pytest.raises(TypeError, match=kind.__name__):
        typed_tool(name="odd", description="Odd.", input=kind, run=never)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Weather"}, "lower-case"),
        ({"name": "a" * 65}, "64"),
        ({"description": " "}, "description"),
        ({"input_schema": {"type": "string"}}, "input_schema"),
        ({"time_limit_s": 0}, "time_limit_s"),
        ({"time_limit_s": 601}, "time_limit_s"),
        ({"output_limit_bytes": 100}, "output_limit_bytes"),
    ],
)
def test_a_tool_that_callers_could_not_use_is_refused(fields: dict[str, Any], said: str) -> None:
    good = {"name": "odd", "description": "Odd.", "input_schema": {"type": "object"}, "invoke": weather().invoke}
    Tool(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said):
        Tool(**{**good, **fields})


async def test_a_call_tells_how_it_goes_and_how_long_it_has() -> None:
    told: list[Progress | str] = []
    loop = asyncio.get_running_loop()
    running = call(tell=told.append, deadline=loop.time() + 5)
    running.progress("halfway", 0.5)
    running.output("text")
    assert told == [Progress("halfway", 0.5), "text"]
    assert 4 < running.remaining_s() <= 5
    assert call(deadline=loop.time() - 1).remaining_s() == 0
    call().progress("nobody listens")
