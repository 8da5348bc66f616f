"""Starts the platform for a measurement: its own folder, free ports, the simulated model, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psycopg
from devstack.credentials import Credentials, load_or_make, make_api_key
from devstack.postgres import APPLICATION, OWNER, Postgres
from devstack.process import Process
from devstack.services import (
    Program,
    agent_fn_program,
    edge_program,
    embed_fn_program,
    migrations_program,
    model_server_program,
    serving_addresses,
    tool_fn_program,
)
from devstack.valkey import Valkey

ANY = "127.0.0.1:0"
MODEL = "sim:latest"
START_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Stack:
    """What runs, by name; addresses are host:port."""

    folder: Path
    credentials: Credentials
    environ: Mapping[str, str]
    addresses: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    postgres_url: str = ""
    owner_url: str = ""
    redis_url: str = ""
    model: str = MODEL
    """What agents answer with where a request names no model."""

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of what takes part in a stream."""
        return {name: process.pid for name, process in self.processes.items()}

    async def start(self, name: str, program: Program) -> str:
        """Start a program that says where it serves; returns the address."""
        process = Process(name, program.argv, env=program.env, log=self.folder / "logs" / f"{name}.log")
        self.processes[name] = process
        line = await process.start_until(lambda line: serving_addresses(line) is not None, timeout=START_TIMEOUT_S)
        addresses = serving_addresses(line)
        assert addresses is not None
        self.addresses[name] = addresses[0]
        return addresses[0]

    def agent_fn(self, listen: str) -> Program:
        """The command that starts an agent_fn beside this platform, with its tools if there are any."""
        return agent_fn_program(
            self.environ,
            listen=listen,
            metrics_listen="",
            trusted_keys=self.credentials.trusted_keys,
            postgres_url=self.postgres_url,
            ollama_host=f"http://{self.addresses['model server']}",
            tool_target=self.addresses.get("tool_fn", ""),
            default_model=self.model,
        )

    def edge(self, *, files: str = "", **env: str) -> Program:
        """The command that starts an edge, with these variables besides."""
        return edge_program(
            {**self.environ, **env},
            listen=ANY,
            metrics_listen="",
            agent_target=self.addresses["agent_fn"],
            service_key=self.credentials.service_key,
            pepper=self.credentials.pepper,
            postgres_url=self.postgres_url,
            redis_url=self.redis_url,
            tool_target=self.addresses.get("tool_fn", ""),
            embed_target=self.addresses.get("embed_fn", ""),
            files=files,
        )

    async def start_edge(self, name: str, **env: str) -> str:
        """Start another edge and return its address once it is ready."""
        address = await self.start(name, self.edge(**env))
        await _ready(address)
        return address

    async def add_key(self, plan: str) -> str:
        """Add a tenant with this plan, and return an API key of its own."""
        tenant, key = f"t-{secrets.token_hex(8)}", make_api_key()
        pepper = self.credentials.pepper.read_bytes().split()[0]
        mac = hmac.digest(pepper, key.encode(), hashlib.sha256)
        async with await psycopg.AsyncConnection.connect(self.owner_url) as connection:
            await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant])
            await connection.execute("insert into tenants (id, name, plan) values (%s, 'Load', %s)", [tenant, plan])
            await connection.execute(
                "insert into api_keys (id, tenant_id, user_id, name, prefix, mac, role)"
                " values (%s, %s, 'u-load', 'load', %s, %s, 'admin')",
                [f"key_{secrets.token_hex(12)}", tenant, key[:16], mac],
            )
        return key


Tools = Callable[[Stack, Postgres], Awaitable[Mapping[str, str]]]
"""Prepares what tools need, once Postgres runs, and returns tool_fn's variables for it."""


@contextlib.asynccontextmanager
async def model_server_only(options: Mapping[str, float]) -> AsyncIterator[Stack]:
    """The simulated model and nothing else."""
    with _folder() as folder:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("DORMOUSE_", "OTEL_"))}
        stack = Stack(folder, load_or_make(folder / "secrets"), environ)
        try:
            await stack.start("model server", model_server_program(environ, listen=ANY, options=options))
            yield stack
        finally:
            await asyncio.gather(*(process.stop() for process in stack.processes.values()))


@contextlib.asynccontextmanager
async def whole_platform(
    options: Mapping[str, float],
    *,
    tools: Tools | None = None,
    documents: bool = False,
    model: str = MODEL,
    edge_env: Mapping[str, str] | None = None,
) -> AsyncIterator[Stack]:
    """The simulated model, Postgres, Valkey, agent_fn and one edge, ready to answer. Everything is gone afterwards.

    With `tools` there is a tool_fn, too; with `documents` an embed_fn, and a folder for files. `edge_env`: variables of
    the edge.
    """
    async with model_server_only(options) as stack:
        stack.model = model
        credentials, logs = stack.credentials, stack.folder / "logs"
        postgres = Postgres(stack.folder / "postgres", credentials.postgres, log=logs / "postgres.log")
        valkey = Valkey(stack.folder / "valkey", credentials.valkey_password, log=logs / "valkey.log")
        try:
            await asyncio.gather(postgres.start(), valkey.start())
            stack.postgres_url, stack.owner_url = postgres.url(APPLICATION), postgres.url(OWNER)
            stack.redis_url = valkey.url
            await _migrate(stack, postgres.url(OWNER))
            stack.processes["valkey"] = valkey.process
            if tools is not None:
                await stack.start("tool_fn", _tool_fn(stack, await tools(stack, postgres)))
            if documents:
                await stack.start("embed_fn", _embed_fn(stack))
            await stack.start("agent_fn", stack.agent_fn(ANY))
            files = str(stack.folder / "files") if documents else ""
            await stack.start("edge", stack.edge(files=files, **(edge_env or {})))
            await _ready(stack.addresses["edge"])
            yield stack
        finally:
            edges = [name for name in stack.processes if "edge" in name]
            for name in (*edges, "agent_fn", "embed_fn", "tool_fn"):
                if name in stack.processes:
                    await stack.processes[name].stop()
            await asyncio.gather(valkey.stop(), postgres.stop())


@contextlib.asynccontextmanager
async def postgres_only(settings: Mapping[str, str] | None = None) -> AsyncIterator[Postgres]:
    """A migrated Postgres and nothing else. Everything is gone afterwards. settings: of the server, by name."""
    with _folder() as folder:
        stack = Stack(folder, load_or_make(folder / "secrets"), os.environ)
        log = folder / "logs" / "postgres.log"
        postgres = Postgres(folder / "postgres", stack.credentials.postgres, log=log, settings=settings)
        try:
            await postgres.start()
            await _migrate(stack, postgres.url(OWNER))
            yield postgres
        finally:
            await postgres.stop()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # Short, because the paths of Unix sockets are, and open to the account that Postgres runs as.
    folder = Path(tempfile.mkdtemp(prefix="dormouse-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tool_fn(stack: Stack, variables: Mapping[str, str]) -> Program:
    return tool_fn_program(
        {**stack.environ, **variables},
        listen=ANY,
        metrics_listen="",
        trusted_keys=stack.credentials.trusted_keys,
        postgres_url=stack.postgres_url,
    )


def _embed_fn(stack: Stack) -> Program:
    return embed_fn_program(
        stack.environ,
        listen=ANY,
        metrics_listen="",
        trusted_keys=stack.credentials.trusted_keys,
        postgres_url=stack.postgres_url,
        ollama_host=f"http://{stack.addresses['model server']}",
    )


async def _migrate(stack: Stack, owner_url: str) -> None:
    program = migrations_program(
        stack.environ,
        postgres_url=owner_url,
        bootstrap_key=stack.credentials.api_key_file,
        pepper=stack.credentials.pepper,
        application_role=APPLICATION,
    )
    process = Process("migrations", program.argv, env=program.env, log=stack.folder / "logs" / "migrations.log")
    await process.start()
    if await process.wait():
        raise RuntimeError("the migrations failed:\n" + "\n".join(process.log.tail))


async def _ready(address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"http://{address}/readyz") as response:
                if response.status == 200:
                    return
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the edge is not ready: {await response.text()}")
            await asyncio.sleep(0.05)
