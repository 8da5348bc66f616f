"""Replicas of the edge that share files, and an S3 server."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from devstack.process import Process
from dormouse_runtime.identity import TokenVerifier

from tests.contract.embed_service import ScriptedDocuments, serving_documents
from tests.stack import Database, Edge, Fleet, Stack, Tenant
from tests.stack.server import wait_ok

NOWHERE = "127.0.0.1:9"
LEASE_S = "1"


class EmbedFn:
    """embed_fn as the tests script it; it can go away and come back at its address."""

    def __init__(self, documents: ScriptedDocuments, address: str) -> None:
        self.documents = documents
        self.address = address
        self._serving = AsyncExitStack()

    async def start(self) -> None:
        await self._serving.enter_async_context(serving_documents(self.documents, self.address))

    async def stop(self) -> None:
        await self._serving.aclose()


@dataclass(slots=True)
class Site:
    """What replicas of one platform share. The database is its own: others' replicas would take its files up."""

    fleet: Fleet
    database: Database
    embed_fn: EmbedFn
    folder: Path

    @property
    def documents(self) -> ScriptedDocuments:
        return self.embed_fn.documents

    async def edge(self, **env: str) -> Edge:
        settings = {"DORMOUSE_FILES": str(self.folder), "DORMOUSE_LEASE_S": LEASE_S, **env}
        return await self.fleet.edge(
            NOWHERE, embed=self.embed_fn.address, env=settings, database=self.database, ready=False
        )

    def originals(self, tenant: Tenant) -> list[str]:
        folder = self.folder / tenant.id
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture(scope="session")
async def database(stack: Stack) -> AsyncIterator[Database]:
    async with stack.fleet() as fleet:
        yield await fleet.postgres()


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return await database.tenant()


@pytest.fixture(scope="module")
async def whole_site(stack: Stack, database: Database) -> AsyncIterator[Site]:
    async with await psycopg.AsyncConnection.connect(database.owner_url) as connection:
        await connection.execute("delete from file_store")  # the store of the module before
    async with stack.fleet() as fleet:
        documents = ScriptedDocuments(TokenVerifier.from_file(stack.credentials.trusted_keys, "embed_fn"))
        embed_fn = EmbedFn(documents, fleet.address())
        await embed_fn.start()
        try:
            yield Site(fleet, database, embed_fn, database.files)
        finally:
            await embed_fn.stop()


@pytest.fixture
def site(whole_site: Site) -> Site:
    """With nothing left of the test before."""
    whole_site.documents.forget()
    return whole_site


@dataclass(slots=True)
class S3:
    """An S3 server with one bucket, and the variables that lead to it."""

    url: str
    process: Process

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }

    async def start(self) -> None:
        """Also again after kill; then it is empty."""
        await self.process.start()
        await wait_ok(f"{self.url}/moto-api/data.json")
        async with httpx.AsyncClient() as http:
            (await http.put(f"{self.url}/bucket")).raise_for_status()

    async def listed(self, **params: Any) -> str:
        """What is in the bucket, as XML."""
        async with httpx.AsyncClient() as http:
            return (await http.get(f"{self.url}/bucket", params=params or {"list-type": 2})).text


@pytest.fixture(scope="session")
async def s3(stack: Stack) -> AsyncIterator[S3]:
    async with stack.fleet() as fleet:
        host, port = fleet.address().split(":")
        argv = (sys.executable, "-m", "moto.server", "-H", host, "-p", port)
        server = S3(f"http://{host}:{port}", Process("moto", argv, env=dict(os.environ), log=stack.logs / "moto.log"))
        await server.start()
        try:
            yield server
        finally:
            if server.process.running:
                await server.process.kill()
