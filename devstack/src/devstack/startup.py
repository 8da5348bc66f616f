"""The start of the platform: what depends on what, and as much as possible at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp

from devstack.credentials import Credentials, load_or_make
from devstack.databases import Databases, bypass_warning, check, external, migrate
from devstack.errors import DevstackError, StartError
from devstack.home import Home, State
from devstack.ollama import DEFAULT, ModelServer, base_url
from devstack.ports import HOST, holder, internal_port, is_free
from devstack.postgres import APPLICATION, OWNER, Postgres
from devstack.services import (
    Program,
    agent_fn_program,
    edge_program,
    embed_fn_program,
    model_server_program,
    tool_fn_program,
)
from devstack.settings import DEFAULT_PORT, Settings
from devstack.terminal import Report
from devstack.units import PostgresUnit, ServiceUnit, Unit, ValkeyUnit
from devstack.valkey import Valkey

READY_TIMEOUT_S = 60.0
# How long open streams may go on after `make down`; the services' own default is for rollouts.
DRAIN_S = 3


@dataclass(slots=True)
class Ready:
    """What a person needs to know once it runs."""

    url: str
    api_key: str
    model: str
    """The default model; empty where there is none."""
    notes: list[str] = field(default_factory=list)


class Startup:
    """One start. `keep` starts a unit and takes it over; `state` is filled in on the way."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        report: Report,
        state: State,
        keep: Callable[[Unit], Awaitable[None]],
        model: str,
    ) -> None:
        self._settings = settings
        self._home = home
        self._report = report
        self._state = state
        self._keep_unit = keep
        self._model = model
        self._credentials: Credentials = load_or_make(home.secrets)
        self._default_model = settings.environ.get("DORMOUSE_DEFAULT_MODEL", "")
        self._notes: list[str] = []
        self._ports: set[int] = set()
        self._environ = {"DORMOUSE_DRAIN_S": str(DRAIN_S), **settings.environ, "DORMOUSE_LOG_FORMAT": "json"}

    async def run(self) -> Ready:
        """Start everything; return when the edge says that it is ready."""
        edge_ports = self._edge_ports()
        agent_target = f"{HOST}:{self._port('agent_fn')}"
        tool_target = f"{HOST}:{self._port('tool_fn')}"
        embed_target = f"{HOST}:{self._port('embed_fn')}"
        async with asyncio.TaskGroup() as group:
            server = group.create_task(self._start_postgres())
            database = group.create_task(self._prepare(server))
            redis_url = group.create_task(self._start_valkey())
            ollama_url = group.create_task(self._start_model_server())
            group.create_task(self._start_embed_fn(server, ollama_url, embed_target))
            group.create_task(self._start_tool_fn(server, tool_target, embed_target))
            group.create_task(self._start_agent_fn(server, ollama_url, agent_target, tool_target))
            edges = [
                group.create_task(
                    self._start_edge(number, port, database, redis_url, agent_target, tool_target, embed_target)
                )
                for number, port in enumerate(edge_ports, 1)
            ]
        for edge in edges:
            await self._wait_ready(edge.result())
        return Ready(edges[0].result(), self._credentials.api_key, self._default_model, self._notes)

    async def _start_postgres(self) -> Databases:
        if self._settings.postgres_url:
            databases = await external(self._settings.postgres_url, self._settings.migrations_url)
            if warning := await bypass_warning(databases):
                self._notes.append(warning)
            self._report.step("Postgres: the one that DORMOUSE_POSTGRES_URL names")
            return databases
        server = Postgres(
            self._home.postgres,
            self._credentials.postgres,
            log=self._home.logs / "postgres.log",
            port=self._port("postgres"),
            on_line=lambda line: self._report.log("postgres", line),
        )
        await self._keep(PostgresUnit(server), "Postgres", "" if server.exists else "making a database")
        return Databases(server.url(APPLICATION), server.url(OWNER), APPLICATION)

    async def _prepare(self, server: asyncio.Task[Databases]) -> Databases:
        databases = await server
        self._state.schema = await migrate(
            databases, self._credentials, self._state.schema, self._environ, self._home.logs, self._report
        )
        self._home.write_admin_env(
            {
                "DORMOUSE_ADMIN_POSTGRES_URL": databases.owner_url,
                "DORMOUSE_KEY_PEPPER": str(self._credentials.pepper),
                "DORMOUSE_SERVICE_KEY": str(self._credentials.service_key),
                "DORMOUSE_TRUSTED_KEYS": str(self._credentials.trusted_keys),
            }
        )
        return databases

    async def _start_valkey(self) -> str:
        if self._settings.redis_url:
            self._report.step("Redis: the one that DORMOUSE_REDIS_URL names")
            if not await check(self._settings.redis_url):
                self._notes.append(
                    "DORMOUSE_REDIS_URL does not answer: answers stream, but cannot be resumed until it does"
                )
            return self._settings.redis_url
        server = Valkey(
            self._home.valkey,
            self._credentials.valkey_password,
            log=self._home.logs / "valkey.log",
            port=self._port("valkey"),
            on_line=lambda line: self._report.log("valkey", line),
        )
        await self._keep(ValkeyUnit(server), "Valkey")
        return server.url

    async def _start_model_server(self) -> str:
        url = await self._find_model_server()
        server = ModelServer(url)
        if self._model:
            await self._fetch(server, self._model)
            self._default_model = self._model
        elif self._default_model:
            self._report.step(f"model {self._default_model} (DORMOUSE_DEFAULT_MODEL)")
        elif await server.version():
            try:
                self._default_model = await server.first_model()
            except DevstackError as error:
                self._notes.append(f"Warning: {error}")
            else:
                if not self._default_model:
                    self._notes.append(f"Ollama at {url} has no model yet. Get one with: make up MODEL=llama3.2")
        return url

    async def _find_model_server(self) -> str:
        if self._settings.ollama_host:
            url = base_url(self._settings.ollama_host)
            version = await ModelServer(url).version(timeout=5)
            if not version:
                self._notes.append(f"the model server at {url} (OLLAMA_HOST) does not answer yet")
            self._report.step(f"model server: {url} (OLLAMA_HOST){f', version {version}' if version else ''}")
            self._state.model_server = url
            return url
        if version := await ModelServer(DEFAULT).version(timeout=1):
            self._report.step(f"model server: Ollama {version} at {DEFAULT}")
            self._state.model_server = DEFAULT
            return DEFAULT
        listen = f"{HOST}:{self._port('model_server')}"
        program = model_server_program(self._environ, listen=listen)
        await self._keep(self._service("model_server", program), "development model server")
        self._notes.append(
            "No Ollama answers at 127.0.0.1:11434, so the development model server does: it is not a language model."
        )
        self._state.model_server = "development"
        return f"http://{listen}"

    async def _fetch(self, server: ModelServer, model: str) -> None:
        if await server.has(model):
            self._report.step(f"model {model}: is there")
            return
        if self._state.model_server == "development":
            raise DevstackError(
                f"no Ollama answers at {DEFAULT}, and the development model server cannot fetch {model!r}: start Ollama"
                " (or name one with OLLAMA_HOST), or leave the model out"
            )
        started = time.monotonic()
        self._report.step(f"model {model}: fetching")
        await server.pull(model, lambda done, total: self._report.bar(model, done, total))
        self._report.step(f"model {model}: fetched ({time.monotonic() - started:.1f} s)")

    async def _start_embed_fn(
        self, server: asyncio.Task[Databases], ollama_url: asyncio.Task[str], listen: str
    ) -> None:
        program = embed_fn_program(
            self._environ,
            listen=listen,
            metrics_listen=f"{HOST}:{self._port('embed_fn metrics')}",
            trusted_keys=self._credentials.trusted_keys,
            postgres_url=(await server).application_url,
            ollama_host=await ollama_url,
        )
        await self._keep(self._service("embed_fn", program), "embed_fn")

    async def _start_tool_fn(self, server: asyncio.Task[Databases], listen: str, embed_target: str) -> None:
        program = tool_fn_program(
            self._environ,
            listen=listen,
            metrics_listen=f"{HOST}:{self._port('tool_fn metrics')}",
            trusted_keys=self._credentials.trusted_keys,
            postgres_url=(await server).application_url,
            embed_target=embed_target,
        )
        await self._keep(self._service("tool_fn", program), "tool_fn")

    async def _start_agent_fn(
        self, server: asyncio.Task[Databases], ollama_url: asyncio.Task[str], listen: str, tool_target: str
    ) -> None:
        program = agent_fn_program(
            self._environ,
            listen=listen,
            metrics_listen=f"{HOST}:{self._port('agent_fn metrics')}",
            trusted_keys=self._credentials.trusted_keys,
            postgres_url=(await server).application_url,
            ollama_host=await ollama_url,
            tool_target=tool_target,
            default_model=self._model,
        )
        await self._keep(self._service("agent_fn", program), "agent_fn")

    async def _start_edge(
        self,
        number: int,
        port: int,
        database: asyncio.Task[Databases],
        redis_url: asyncio.Task[str],
        agent_target: str,
        tool_target: str,
        embed_target: str,
    ) -> str:
        name = "edge" if number == 1 else f"edge-{number}"
        program = edge_program(
            self._environ,
            listen=f"{HOST}:{port}",
            metrics_listen=f"{HOST}:{self._port(f'{name} metrics')}",
            agent_target=agent_target,
            service_key=self._credentials.service_key,
            pepper=self._credentials.pepper,
            postgres_url=(await database).application_url,
            redis_url=await redis_url,
            tool_target=tool_target,
            embed_target=embed_target,
            files=self._environ.get("DORMOUSE_FILES") or str(self._home.files),
        )
        await self._keep(self._service(name, program), name)
        return f"http://{HOST}:{port}"

    async def _wait_ready(self, url: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        last = "nothing"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            while time.monotonic() < deadline:
                try:
                    async with http.get(f"{url}/readyz") as response:
                        if response.status == 200:
                            return
                        last = f"{response.status} {(await response.text())[:300]}"
                except (aiohttp.ClientError, TimeoutError) as error:
                    last = repr(error)
                await asyncio.sleep(0.05)
        raise StartError("edge", f"was not ready after {READY_TIMEOUT_S:.0f} s; {url}/readyz says: {last}")

    async def _keep(self, unit: Unit, title: str, first: str = "") -> None:
        started = time.monotonic()
        if first:
            self._report.step(f"{title}: {first}")
        await self._keep_unit(unit)
        self._report.step(f"{title}: ready ({time.monotonic() - started:.1f} s)")

    def _service(self, name: str, program: Program) -> ServiceUnit:
        return ServiceUnit(
            name,
            program,
            self._home.logs / f"{name}.log",
            on_line=lambda line: self._report.log(name, line),
            stop_timeout_s=DRAIN_S + 5,
        )

    def _port(self, name: str) -> int:
        port = internal_port(self._home.root, name, self._state.ports.get(name), self._ports)
        self._state.ports[name] = port
        return port

    def _edge_ports(self) -> list[int]:
        wanted = self._settings.port
        if wanted is not None and not is_free(wanted):
            raise DevstackError(
                f"port {wanted} is taken by {holder(wanted)}; choose another one: DORMOUSE_PORT={wanted + 1} make up"
            )
        first = wanted or self._first_free(DEFAULT_PORT)
        if wanted is None and first != DEFAULT_PORT:
            self._notes.append(
                f"Port {DEFAULT_PORT} is taken by {holder(DEFAULT_PORT)}; DORMOUSE_PORT chooses another one."
            )
        found = [first]
        while len(found) < self._settings.edge_replicas:
            found.append(self._first_free(found[-1] + 1))
        self._ports.update(found)
        return found

    def _first_free(self, start: int) -> int:
        for port in range(start, min(start + 100, 65536)):
            if is_free(port):
                return port
        raise DevstackError(f"no port from {start} to {start + 99} is free; choose one with DORMOUSE_PORT")
