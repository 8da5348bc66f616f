"""The calls in the guide of the tools are calls that work."""

import json
import re
from pathlib import Path

import pytest

from tests.contract.tool_fn.providers.tools import ProviderServer, Tools

GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "tools.md"
CALLS = [json.loads(found) for found in re.findall(r"^```json\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)]
ANSWERS = {
    "http_get": "Answers like Tavily",
    "http_post": '{"id":1,"stored":true}',
    "web_search": "1. Mount Everest",
    "wikipedia": "Mercury is the first planet from the Sun",
    "weather": "Paris, Texas, United States",
    "math": "x = 2\nx = 3",
    "data_analysis": "| Paris | 2 | 25 | 30 |",
}


def test_there_is_an_example_of_each() -> None:
    assert sorted(call["tool"] for call in CALLS) == sorted(ANSWERS)


@pytest.mark.parametrize("call", CALLS, ids=[call["tool"] for call in CALLS])
async def test_an_example_works(call: dict[str, object], online: Tools, server: ProviderServer) -> None:
    arguments = json.loads(json.dumps(call["arguments"]).replace("https://example.org", server.url))
    name = str(call["tool"])
    assert ANSWERS[name] in await online.call(name, key="k", **arguments)
