"""The OpenAPI document: complete, and true under fire from schemathesis."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Fleet, Platform, Tenant

EXAMPLES = int(os.environ.get("DORMOUSE_FUZZ_EXAMPLES", "300"))
"""Per operation and kind of data."""

PUBLIC = {"getLiveness", "getReadiness", "getComponentHealth"}
STREAMS = {"createChatCompletion", "runAgentAgUi", "createRun", "createThreadRun", "streamRunEvents"}
BODIES = "^(createChatCompletion|runAgentAgUi|createRun)$"
"""The operations that take as long to generate as all others together."""


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
            reference = body["content"]["application/json"]["schema"]["$ref"]
            assert schemas[reference.rpartition("/")[2]]["examples"], name
        for status, answer in operation["responses"].items():
            assert answer["description"] or answer["content"], f"{name} {status}"
            assert "x-request-id" in answer["headers"], f"{name} {status}"
            for kind, content in answer["content"].items():
                assert content["schema"], f"{name} {status} {kind}"
                assert content["example"], f"{name} {status} {kind}"


def test_every_error_has_openais_shape(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        expected = {"500"} if operation["operationId"] in PUBLIC else {"401", "500", "503"}
        assert expected <= set(errors), name
        for status, answer in errors.items():
            if operation["operationId"] in PUBLIC and status == "503":
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


async def test_no_request_that_can_be_made_up_breaks_the_edge_or_the_documents_word(
    fleet: Fleet, tenant: Tenant
) -> None:
    model_server = await fleet.model_server(ttft_ms=0, token_ms=0)
    edge = await fleet.edge(await fleet.agent_fn(model_server))
    reports = await asyncio.gather(
        schemathesis(edge.url, tenant, "--include-operation-id-regex", BODIES),
        schemathesis(edge.url, tenant, "--exclude-operation-id-regex", BODIES),
    )
    for report in reports:
        assert "No issues found" in report, report[-10_000:]
    assert not [line for line in edge.log_lines if '"exception"' in line]


async def schemathesis(url: str, tenant: Tenant, *selection: str) -> str:
    """What it reports of the selected operations."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
        "run",
        f"{url}/openapi.json",
        f"--header=Authorization: Bearer {tenant.api_key}",
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={EXAMPLES}",
        "--continue-on-failure",
        "--generation-database=none",
        "--no-color",
        *selection,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return out.decode()
