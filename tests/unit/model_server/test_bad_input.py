"""Bad input gets a 4xx in Ollama's shape, never a 500."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.model_server.conftest import Server

SAID = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "missing request body"),
        (b"{", "invalid JSON"),
        (b"\xff\xfe", "invalid JSON"),
        (b"[]", "must be a JSON object"),
    ],
)
@pytest.mark.parametrize("path", ["chat", "generate", "embed", "show", "pull", "copy", "create", "embeddings"])
async def test_a_broken_body_is_a_400(server: Server, path: str, body: bytes, words: str) -> None:
    response = await server.http.post(f"/api/{path}", content=body)
    assert response.status_code == 400
    assert words in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("chat", {}, "model is required"),
        ("chat", {"model": 7}, "model is required"),
        ("chat", {"model": "sim", "messages": "hi"}, "messages wants list"),
        ("chat", {"model": "sim", "messages": ["hi"]}, "messages: each wants an object"),
        ("chat", {"model": "sim", "messages": [{"role": "boss", "content": ""}]}, "invalid role: 'boss'"),
        ("chat", {"model": "sim", "messages": [{"role": "user", "content": 7}]}, "content wants str"),
        ("chat", {"model": "sim", "messages": SAID, "stream": 1}, "stream wants bool"),
        ("chat", {"model": "sim", "messages": SAID, "think": "hard"}, "invalid think value"),
        ("chat", {"model": "sim", "messages": SAID, "format": "xml"}, "invalid format"),
        ("chat", {"model": "sim", "messages": SAID, "options": {"stop": 3}}, "option 'stop'"),
        ("chat", {"model": "sim", "messages": SAID, "options": {"num_predict": "x"}}, "option 'num_predict'"),
        ("chat", {"model": "sim", "messages": SAID, "keep_alive": "soon"}, "keep_alive wants seconds"),
        ("chat", {"model": "sim", "messages": SAID, "tools": [1]}, "tools: each wants"),
        (
            "chat",
            {"model": "sim", "messages": SAID, "tools": [{"function": {"name": "a", "parameters": {"required": 7}}}]},
            "want a JSON Schema",
        ),
        ("chat", {"model": "sim", "messages": [{"role": "user", "images": ["%"]}]}, "illegal base64"),
        ("generate", {"model": "sim", "prompt": 3}, "prompt wants str"),
        ("embed", {"model": "dormouse-dev-embed"}, "invalid input type"),
        ("embed", {"model": "dormouse-dev-embed", "input": [1]}, "invalid input type"),
        ("embed", {"model": "dormouse-dev-embed", "input": "a", "dimensions": 9999}, "dimensions wants"),
        ("copy", {"source": "sim"}, "source and destination are required"),
        ("create", {"model": "x"}, "neither 'from' or 'files'"),
    ],
)
async def test_wrong_types_and_values_are_named(server: Server, path: str, body: dict[str, Any], words: str) -> None:
    response = await server.http.post(f"/api/{path}", json=body)
    assert response.status_code == 400
    assert words in response.json()["error"]


async def test_unknown_paths_and_methods_are_refused_in_the_same_shape(server: Server) -> None:
    missing = await server.http.get("/api/nope")
    assert (missing.status_code, missing.json()) == (404, {"error": "not found"})
    wrong = await server.http.get("/api/chat")
    assert (wrong.status_code, wrong.json()) == (405, {"error": "method not allowed"})


async def test_a_body_of_10_mb_is_answered(server: Server) -> None:
    response = await server.chat("word " * 2_000_000, model="dormouse-dev", stream=False)
    assert response.status_code == 200
    assert response.json()["prompt_eval_count"] > 1_000_000


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5},
        {"properties": []},
        {"properties": {"a": {"minLength": "x"}}},
        {"required": [[]]},
        {"anyOf": [5]},
        {"$ref": 5},
        {"multipleOf": 0},
        {"minItems": 10**30},
    ],
)
async def test_a_schema_that_is_none_is_refused_as_late_as_ollama_does(server: Server, schema: dict[str, Any]) -> None:
    response = await server.chat(model="dormouse-dev", format=schema)
    assert (response.status_code, response.json()) == (500, {"error": "invalid JSON schema in format"})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"oneOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/nowhere"},
        {"$defs": {"a": True}, "$ref": "#/$defs/a"},
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"minimum": 10**30},
        {"pattern": "("},
        {"minimum": 5, "maximum": 3},
    ],
)
async def test_an_odd_schema_is_answered_somehow(server: Server, schema: dict[str, Any]) -> None:
    assert (await server.chat(model="dormouse-dev", format=schema)).status_code == 200
