"""The processes that belong to one test, or to one group of tests."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from devstack.ports import HOST
from devstack.process import Process
from devstack.services import (
    Program,
    agent_fn_program,
    edge_program,
    embed_fn_program,
    model_server_program,
    provider_server_program,
    tool_fn_program,
)
from devstack.valkey import Valkey

from tests.stack.database import Database
from tests.stack.ports import free_port
from tests.stack.server import AgentFn, Edge, EmbedFn, ModelServer, Server, ToolFn

if TYPE_CHECKING:
    from tests.stack.session import Stack

S = TypeVar("S", bound=Server)


class Fleet:
    """Starts processes and kills them all when it is left. Each method returns when the process can do its work.

    `env` adds to or overrides the process's environment. Processes use the session's Postgres and Valkey unless given
    others. With an `address` from `fleet.address()` a process and those that talk to it can be started side by side.
    """

    def __init__(self, stack: "Stack") -> None:
        self.stack = stack
        self._servers: list[Server] = []
        self._valkeys: list[Valkey] = []
        self._databases: list[Database] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ends = [server.process.kill() for server in self._servers if server.process.running]
        ends += [store.process.kill() for store in self._valkeys if store.process.running]
        await asyncio.gather(*ends, *(database.end() for database in self._databases))

    @property
    def processes(self) -> list[Process]:
        stores = [valkey.process for valkey in self._valkeys] + [base.server.process for base in self._databases]
        return [server.process for server in self._servers] + stores

    def address(self) -> str:
        """A free address that stays free while its server is restarted.

        Its port is not one of those that the system gives to outgoing connections.
        """
        port = free_port(self.stack.ports)
        self.stack.ports.add(port)
        return f"{HOST}:{port}"

    async def model_server(
        self, *, env: Mapping[str, str] | None = None, address: str = "", **options: float
    ) -> ModelServer:
        """The development model server; `options` are its command line's, for instance ttft_ms=20, slots=2."""
        program = model_server_program(os.environ, listen=address or self.address(), options=options)
        server = ModelServer(*self._named("model_server", program, env))
        return await self._start(server, ready=True)

    async def agent_fn(
        self,
        model_server: ModelServer | str,
        *,
        tools: ToolFn | str = "",
        env: Mapping[str, str] | None = None,
        database: Database | None = None,
        address: str = "",
        ready: bool = True,
    ) -> AgentFn:
        """agent_fn on a model server (or on any URL that is to be one), with the tools of a tool_fn or with none."""
        program = agent_fn_program(
            self.stack.environment,
            listen=address or self.address(),
            metrics_listen=self.address(),
            trusted_keys=self.stack.credentials.trusted_keys,
            postgres_url=(database or self.stack.database).url,
            ollama_host=model_server if isinstance(model_server, str) else model_server.url,
            tool_target=tools if isinstance(tools, str) else tools.address,
        )
        return await self._start(AgentFn(*self._named("agent_fn", program, env)), ready=ready)

    async def embed_fn(
        self,
        model_server: ModelServer | str,
        *,
        env: Mapping[str, str] | None = None,
        database: Database | None = None,
        address: str = "",
        ready: bool = True,
    ) -> EmbedFn:
        """embed_fn on a model server, or on any URL that is to be one."""
        program = embed_fn_program(
            self.stack.environment,
            listen=address or self.address(),
            metrics_listen=self.address(),
            trusted_keys=self.stack.credentials.trusted_keys,
            postgres_url=(database or self.stack.database).url,
            ollama_host=model_server if isinstance(model_server, str) else model_server.url,
        )
        return await self._start(EmbedFn(*self._named("embed_fn", program, env)), ready=ready)

    async def tool_fn(
        self,
        *,
        config: Path | str = "",
        folder: Path | str = "",
        embed: EmbedFn | str = "",
        env: Mapping[str, str] | None = None,
        database: Database | None = None,
        address: str = "",
        ready: bool = True,
    ) -> ToolFn:
        """tool_fn with an operator's configuration file and folder of tools, and an embed_fn, where given."""
        chosen = {"DORMOUSE_TOOLS_CONFIG": str(config), "DORMOUSE_TOOLS_PATH": str(folder)}
        program = tool_fn_program(
            {**self.stack.environment, **chosen, **(env or {})},
            listen=address or self.address(),
            metrics_listen=self.address(),
            trusted_keys=self.stack.credentials.trusted_keys,
            postgres_url=(database or self.stack.database).url,
            embed_target=embed if isinstance(embed, str) else embed.address,
        )
        return await self._start(ToolFn(*self._named("tool_fn", program, env)), ready=ready)

    async def providers(self, *, today: str = "") -> Server:
        """The development provider server: search, encyclopedia and weather out of made-up data."""
        program = provider_server_program(os.environ, listen=self.address(), today=today)
        return await self._start(Server(*self._named("providers", program, None)), ready=True)

    async def edge(
        self,
        agent_fn: AgentFn | str,
        *,
        tools: ToolFn | str = "",
        embed: EmbedFn | str = "",
        env: Mapping[str, str] | None = None,
        database: Database | None = None,
        valkey: Valkey | str | None = None,
        ready: bool = True,
    ) -> Edge:
        """One replica of the edge; `agent_fn`, `tools`, `embed`, `valkey` may be addresses where nothing listens."""
        redis = valkey or self.stack.valkey
        program = edge_program(
            self.stack.environment,
            listen=self.address(),
            metrics_listen=self.address(),
            agent_target=agent_fn if isinstance(agent_fn, str) else agent_fn.address,
            service_key=self.stack.credentials.service_key,
            pepper=self.stack.credentials.pepper,
            postgres_url=(database or self.stack.database).url,
            redis_url=redis if isinstance(redis, str) else redis.url,
            tool_target=tools if isinstance(tools, str) else tools.address,
            embed_target=embed if isinstance(embed, str) else embed.address,
        )
        # Passwords of tests need not withstand anybody for long.
        settings = {"DORMOUSE_PASSWORD_MEMORY_MIB": "8", **(env or {})}
        return await self._start(Edge(*self._named("edge", program, settings)), ready=ready)

    async def edges(
        self,
        agent_fn: AgentFn | str,
        count: int,
        *,
        tools: ToolFn | str = "",
        embed: EmbedFn | str = "",
        env: Mapping[str, str] | None = None,
        database: Database | None = None,
        valkey: Valkey | str | None = None,
    ) -> list[Edge]:
        """Several replicas, started side by side."""
        starts = (
            self.edge(agent_fn, tools=tools, embed=embed, env=env, database=database, valkey=valkey)
            for _ in range(count)
        )
        return list(await asyncio.gather(*starts))

    async def valkey(self, *, persist: bool = True) -> Valkey:
        """A Valkey of this test's own: it may stop(), process.kill() and start() it; the address stays."""
        folder = self._folder("valkey")
        valkey = Valkey(folder, "secret", log=self.stack.logs / f"{folder.name}.log", persist=persist)
        self._valkeys.append(valkey)
        await valkey.start()
        return valkey

    async def postgres(self) -> Database:
        """A migrated Postgres of this test's own: it may stop(), kill() and resume() it; the address stays."""
        database = Database(self._folder("postgres"), self.stack.credentials, self.stack.logs)
        self._databases.append(database)
        await database.start()
        return database

    async def _start(self, server: S, *, ready: bool) -> S:
        self._servers.append(server)
        await server.start(ready=ready)
        return server

    def _named(self, name: str, program: Program, env: Mapping[str, str] | None) -> tuple[str, Program, Path]:
        name = self.stack.next_name(name)
        return name, Program(program.argv, {**program.env, **(env or {})}), self.stack.logs / f"{name}.log"

    def _folder(self, name: str) -> Path:
        return self.stack.folder / self.stack.next_name(name)
