"""The OpenAPI document: complete; test_openapi_fuzz.py holds it against the answers."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack import Platform

PUBLIC = {
    *("getLiveness", "getReadiness", "getComponentHealth"),
    *("logIn", "refreshSession", "logOut", "acceptInvitation", "getKeySet"),
}
STREAMS = {
    *("createChatCompletion", "runAgentAgUi", "createRun", "createThreadRun", "streamRunEvents", "resumeRun"),
    *("uploadFile", "streamFileEvents", "reindex"),
}


@pytest.fixture(scope="module")
async def document(platform: Platform) -> dict[str, Any]:
    async with platform.edge.client() as http:
        found: dict[str, Any] = (await http.get("/openapi.json")).json()
        return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_says_what_it_does_takes_and_answers(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["tags"], name
        assert re.fullmatch(r"[a-z]+[A-Za-z]+", operation["operationId"]), name
        assert (operation["operationId"] in PUBLIC) != ("security" in operation), name
        if body := operation.get("requestBody"):
            ((media_type, content),) = body["content"].items()
            assert media_type == ("multipart/form-data" if name == "POST /v1/files" else "application/json")
            reference = content["schema"]["$ref"]
            assert schemas[reference.rpartition("/")[2]]["examples"], name
        for status, answer in operation["responses"].items():
            assert answer["description"] or answer["content"], f"{name} {status}"
            assert "x-request-id" in answer["headers"], f"{name} {status}"
            for kind, content in answer["content"].items():
                assert content.get("schema") or content["itemSchema"], f"{name} {status} {kind}"
                assert content["example"], f"{name} {status} {kind}"


def test_every_error_has_openais_shape(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        expected = {"500"} if operation["operationId"] in PUBLIC else {"401", "500", "503"}
        assert expected <= set(errors), name
        for status, answer in errors.items():
            if operation["operationId"] in {"getReadiness", "getComponentHealth"} and status == "503":
                continue  # says what is not well
            schema = answer["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorResponse"}, f"{name} {status}"
        assert "422" not in operation["responses"], name


def test_streams_are_told_as_streams(document: dict[str, Any]) -> None:
    streams = {
        operation["operationId"]
        for _, operation in operations(document)
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
    }
    assert streams == STREAMS


async def test_the_page_itself_is_served(platform: Platform) -> None:
    async with platform.edge.client() as http:
        assert "swagger" in (await http.get("/docs")).text.lower()
