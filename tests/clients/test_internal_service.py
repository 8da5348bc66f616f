"""The documented example of an internal service, registered as the guide says and run against a real function."""

import asyncio
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
from dormouse.embed.v1 import embed_service_pb2, embed_service_pb2_grpc
from dormouse_runtime.client import call_metadata

from tests.stack import EmbedFn, Stack, Tenant

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/internal-services.md").read_text()
EXAMPLE = ROOT / "docs/examples/internal_service.py"
TEXT = b"# Dormice\n\nThe dormouse sleeps through the winter, for seven months or so.\n"


@dataclass(frozen=True, slots=True)
class Place:
    embed_fn: EmbedFn
    trusted: Path
    folder: Path
    tenant: Tenant


@pytest.fixture(scope="module")
async def place(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """embed_fn with trusted keys of its own, and a tenant with a document."""
    folder = tmp_path_factory.mktemp("service")
    trusted = folder / "trusted-keys.json"
    shutil.copy(stack.credentials.trusted_keys, trusted)
    tenant = await stack.database.tenant()
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=0, token_ms=0)
        embed_fn = await fleet.embed_fn(model_server, env={"DORMOUSE_TRUSTED_KEYS": str(trusted)})
        await ingest(embed_fn, stack.token(tenant, audience="embed_fn", scopes=("documents",)))
        yield Place(embed_fn, trusted, folder, tenant)


async def ingest(embed_fn: EmbedFn, token: str) -> None:
    header = embed_service_pb2.IngestHeader(document_id="doc_1", name="dormice.md", size_bytes=len(TEXT))
    async with grpc.aio.insecure_channel(embed_fn.address) as channel:
        call = embed_service_pb2_grpc.EmbedServiceStub(channel).Ingest(
            iter(
                [
                    embed_service_pb2.IngestRequest(header=header),
                    embed_service_pb2.IngestRequest(data=TEXT),
                ]
            ),
            timeout=60,
            metadata=call_metadata(token),
        )
        assert [event async for event in call]


async def run(*command: str, place: Place, **env: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=place.folder,
        env={**os.environ, "DORMOUSE_TRUSTED_KEYS": str(place.trusted), **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def guided(word: str, tenant: Tenant) -> list[str]:
    """The guide's own command for this step, with the tenant of the test in the place of its."""
    text = GUIDE.replace("\\\n", " ")
    (found,) = {
        line
        for line in re.findall(rf"^    dormouse admin (service-keys {word} .*)$", text, re.MULTILINE)
        if "acme" in line or word == "generate"
    }
    return [sys.executable, "-m", "edge.admin", *shlex.split(found.replace("acme", tenant.id))]


async def ask(place: Place, **changes: str) -> tuple[int, str, str]:
    settings = {
        "SERVICE_ISSUER": "support-bot",
        "SERVICE_KEY": "support-bot.json",
        "DORMOUSE_TENANT": place.tenant.id,
        "EMBED_TARGET": place.embed_fn.address,
        **changes,
    }
    return await run(sys.executable, str(EXAMPLE), "Who sleeps through the winter?", place=place, **settings)


async def test_a_service_that_is_registered_as_the_guide_says_gets_its_answer_and_no_more(
    place: Place, stack: Stack
) -> None:
    code, _, err = await run(*guided("generate", place.tenant), place=place)
    assert code == 0, err
    code, _, err = await ask(place)
    assert (code, "nobody trusted has signed it" in err) == (1, True), err
    code, _, err = await run(*guided("register", place.tenant), place=place)
    assert code == 0, err
    await asyncio.sleep(1.1)  # the function looks at its keys once a second
    code, out, err = await ask(place)
    assert (code, err) == (0, "")
    assert "dormice.md: " in out
    assert "sleeps through the winter" in out
    other = await stack.database.tenant()
    code, out, err = await ask(place, DORMOUSE_TENANT=other.id)
    assert (code, out) == (1, "")
    assert "UNAUTHENTICATED" in err
    assert "may not speak for this tenant" in err
    code, _, err = await ask(place, SERVICE_ISSUER="dormouse-edge")
    assert (code, "nobody trusted has signed it" in err) == (1, True)
    entry = json.loads(place.trusted.read_text())["issuers"]["support-bot"]
    assert {name: entry[name] for name in ("audiences", "scopes", "tenants")} == {
        "audiences": ["embed_fn"],
        "scopes": ["documents:read"],
        "tenants": [place.tenant.id],
    }
