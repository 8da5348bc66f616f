"""Whatever a tool does, the caller gets a short result and the function goes on."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.tool_fn.caller import Caller, appears
from tests.stack import ToolFn


@pytest.fixture(autouse=True)
async def goes_on(caller: Caller, tool_fn: ToolFn) -> AsyncIterator[None]:
    pid = tool_fn.pid
    yield
    assert (await caller.invoke("echo", text="still here")).content == "still here"
    assert (tool_fn.pid, tool_fn.process.running) == (pid, True)


async def test_ten_megabytes_are_cut_and_say_so(caller: Caller) -> None:
    result = await caller.invoke("big", characters=10_000_000)
    assert result.is_truncated
    assert not result.is_error
    assert len(result.content.encode()) <= 1000
    assert result.content.startswith("xxx")
    assert result.content.endswith("x\n[Cut here: the whole result has 10,000,000 characters.]")


@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
async def test_the_limit_counts_bytes_and_cuts_no_character(caller: Caller, character: str) -> None:
    size = len(character.encode())
    whole = await caller.invoke("big", characters=1000 // size, character=character)
    assert (whole.content, whole.is_truncated) == (character * (1000 // size), False)
    cut = await caller.invoke("big", characters=1000 // size + 1, character=character)
    text, _, note = cut.content.partition("\n")
    assert cut.is_truncated
    assert set(text) == {character}
    assert 1000 - 2 * size < len(cut.content.encode()) <= 1000
    assert note.startswith("[Cut here")


async def test_text_that_cannot_be_sent_is_replaced(caller: Caller) -> None:
    responses = await caller.stream("odd_text")
    assert responses[-1].result.content == "lone \ufffd and \ufffd, NUL \ufffd, fine é😀"
    assert [response.output_chunk for response in responses if response.HasField("output_chunk")] == ["a\ufffdb"]
    assert [response.progress.message for response in responses if response.HasField("progress")] == [
        "half\ufffdway \ufffd"
    ]
    error = await caller.invoke("odd_error")
    assert (error.is_error, error.content) == (True, "No \ufffd such \ufffd thing.")


async def test_a_tools_own_error_reaches_the_model_word_for_word(caller: Caller) -> None:
    result = await caller.invoke("refuse", text="There is no such place; try a larger one nearby.")
    assert (result.is_error, result.content) == (True, "There is no such place; try a larger one nearby.")
    assert (await caller.invoke("refuse", text="")).content == "The tool failed."


@pytest.mark.parametrize("tool", ["crash", "leave", "no_text", "endless_depth"])
async def test_a_tool_that_crashes_is_told_shortly_and_logged_in_full(
    caller: Caller, tool_fn: ToolFn, tool: str
) -> None:
    result = await caller.invoke(tool)
    assert result.is_error
    assert not result.outcome_unknown
    assert result.content == f"The tool {tool} failed on its side; it is logged there."
    async with asyncio.timeout(5):
        while not any('"a tool failed"' in line and f'"tool":"{tool}"' in line for line in tool_fn.log_lines):
            await asyncio.sleep(0.01)


async def test_a_tool_that_hangs_is_stopped_at_its_limit(caller: Caller, tmp_path: Path) -> None:
    began = time.monotonic()
    result = await caller.invoke("hang_briefly", folder=str(tmp_path))
    assert time.monotonic() - began < 1
    assert result.is_error
    assert result.content == "The tool hang_briefly did not finish within 0.2 s and was stopped."
    assert 200 <= result.duration_ms < 1000
    assert (tmp_path / "stopped").exists()


async def test_a_tool_that_does_not_stop_is_left_to_itself(caller: Caller) -> None:
    began = time.monotonic()
    result = await caller.invoke("stubborn")
    assert time.monotonic() - began < 2
    assert (result.is_error, "was stopped" in result.content) == (True, True)


async def test_the_callers_deadline_comes_as_a_result_while_there_is_time_for_one(
    caller: Caller, tmp_path: Path
) -> None:
    result = await caller.invoke("hang", timeout=0.5, folder=str(tmp_path))
    assert result.is_error
    assert "did not finish within 0.5 s" in result.content
    assert (tmp_path / "stopped").exists()


async def test_a_caller_that_leaves_stops_a_tool_without_side_effects(caller: Caller, tmp_path: Path) -> None:
    call = caller.begin("hang", folder=str(tmp_path))
    await appears(tmp_path / "begun")
    began = time.monotonic()
    call.cancel()
    await appears(tmp_path / "stopped")
    assert time.monotonic() - began < 1
