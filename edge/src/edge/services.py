"""Everything that requests are served with; opened once per process, in order, and closed in reverse."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc.aio
from dormouse_runtime.client import open_channel
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import TokenIssuer
from fastapi import Request

from .agents import AgentDirectory
from .api_keys import ApiKeys
from .artifacts import ArtifactStore, open_artifacts
from .audit import AuditLog
from .auth.access_tokens import AccessTokens
from .auth.authenticator import Authenticator
from .auth.credentials import Credentials
from .auth.peppers import Peppers
from .auth.signing_keys import SigningKeys, open_signing_keys
from .database import Database
from .embed_client import EmbedClient
from .files import Files, open_files
from .health import Health
from .idempotency.service import Idempotency, open_idempotency
from .identity.passwords import Passwords
from .identity.people import People
from .lifecycle import Lifecycle
from .limits.admission import Limits, open_limits
from .limits.run_queue import RunQueue
from .mcp.endpoint import McpEndpoint
from .model_demand import ModelDemand
from .openai.token_texts import TokenTexts
from .policy.policy import Policy
from .policy.tenant_rules import TenantRules
from .runs import AgentClient, EngineSettings, RunEngine, open_engine
from .settings import Settings
from .spending.service import Spending, open_spending
from .spending.sweep import sweeping
from .threads import ThreadStore
from .tool_client import ToolClient
from .wakes import DOCUMENTS, TOOLS, Waker


@dataclass(frozen=True, slots=True)
class Services:
    """What routes work with."""

    settings: Settings
    lifecycle: Lifecycle
    authenticator: Authenticator
    credentials: Credentials
    people: People
    keys: ApiKeys
    agents: AgentDirectory
    tools: ToolClient
    embed: EmbedClient
    files: Files | None
    """None where the platform keeps none."""
    token_texts: TokenTexts
    threads: ThreadStore
    runs: RunEngine
    limits: Limits
    artifacts: ArtifactStore
    spending: Spending
    idempotency: Idempotency
    health: Health
    audit: AuditLog
    policy: Policy
    mcp: McpEndpoint


def services_of(request: Request) -> Services:
    """The services of the application that handles this request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


@asynccontextmanager
async def open_services(settings: Settings, lifecycle: Lifecycle) -> AsyncIterator[Services]:
    """Opens everything. Nothing here waits for a server: what is away stays away, and heals by itself."""
    async with AsyncExitStack() as stack:
        database = Database(settings.postgres_url)
        await database.open()
        stack.push_async_callback(database.close)
        peppers = Peppers.read(settings.key_pepper)
        authenticator = Authenticator(database, peppers)
        stack.push_async_callback(authenticator.close)
        credentials = await _open_credentials(settings, stack, database, peppers, authenticator)
        passwords = Passwords(settings.password_threads, settings.password_memory_mib)
        session_life = timedelta(days=settings.session_days)
        people = People(database, credentials.access, passwords, peppers, session_life=session_life)
        stack.push_async_callback(people.close)
        channel = open_channel(settings.agent_target)
        stack.push_async_callback(channel.close)
        issuer = TokenIssuer.from_file(settings.service_key)
        agents = AgentDirectory(channel, issuer, models_sleep=settings.model_wake_s > 0)
        stack.push_async_callback(agents.close)
        audit = AuditLog(database)
        policy = Policy(settings.safety, TenantRules(database), agents, audit, peppers.present)
        stack.push_async_callback(policy.close)
        tool_channel = _open_function(settings.tool_target, stack)
        embed_channel = _open_function(settings.embed_target, stack)
        tools = ToolClient(
            tool_channel,
            issuer,
            with_documents=settings.embed_target is not None,
            scopes=policy.tool_scopes,
        )
        stack.push_async_callback(tools.close)
        demand = ModelDemand()
        embed = EmbedClient(embed_channel, issuer, demand)
        waker = Waker(agents, {TOOLS: tool_channel, DOCUMENTS: embed_channel})
        stack.push_async_callback(waker.close)
        artifacts = await stack.enter_async_context(open_artifacts(database, settings.redis_url))
        # A process that is restarted under its old name must find its own runs and files abandoned.
        replica_id = f"{settings.replica_id}-{secrets.token_hex(4)}"
        files = await stack.enter_async_context(
            open_files(
                database,
                embed,
                place=settings.files,
                owner=replica_id,
                lease_s=settings.lease_s,
                max_bytes=settings.max_file_bytes,
            )
        )
        engine_settings = EngineSettings(
            redis_url=settings.redis_url,
            replica_id=replica_id,
            run_log_ttl_s=settings.run_log_ttl_s,
            lease_s=settings.lease_s,
            run_log_days=settings.run_log_days,
            model_wake_s=settings.model_wake_s,
        )
        agent = AgentClient(
            channel,
            issuer,
            with_tools=settings.tool_target is not None,
            with_documents=settings.embed_target is not None,
            on_match=policy.note_match,
            wake=waker.for_run,
            on_tool_call=waker.for_call,
        )
        queue = RunQueue(settings.run_capacity, settings.run_queue, settings.run_wait_s)
        limits = await stack.enter_async_context(
            open_limits(
                settings.plans,
                queue,
                redis_url=settings.redis_url,
                lease_s=settings.lease_s,
                per_address=settings.ip_requests_per_minute,
                peers=lambda: runs.peers,
            )
        )
        spending = await stack.enter_async_context(
            open_spending(database, settings.redis_url, settings.prices, settings.plans)
        )
        embed.on_ingested = spending.ingested
        runs = await stack.enter_async_context(
            open_engine(engine_settings, agent, database, artifacts, (spending.run_ended, demand.ended), gate=limits)
        )
        demand.publish(lambda: runs.active)
        await stack.enter_async_context(sweeping(spending, runs, settings.lease_s))
        idempotency = await stack.enter_async_context(
            open_idempotency(database, peppers, runs, lifecycle, owner=replica_id, lease_s=settings.lease_s)
        )
        health = Health(
            database=database,
            agents=agents,
            tools=tools,
            embed=embed,
            files=files,
            runs=runs,
            lifecycle=lifecycle,
            agent_probe_s=settings.agent_probe_s,
            models_sleep=settings.model_wake_s > 0,
        )
        mcp = McpEndpoint(tools, origins=settings.mcp_origins, max_body_bytes=settings.max_body_bytes)
        stack.push_async_callback(mcp.close)
        first_look = asyncio.create_task(_learn_agents(agents))
        try:
            yield Services(
                settings=settings,
                lifecycle=lifecycle,
                authenticator=authenticator,
                credentials=credentials,
                people=people,
                keys=ApiKeys(database, peppers, authenticator),
                agents=agents,
                tools=tools,
                embed=embed,
                files=files,
                token_texts=TokenTexts(),
                threads=ThreadStore(database),
                runs=runs,
                limits=limits,
                artifacts=artifacts,
                spending=spending,
                idempotency=idempotency,
                health=health,
                audit=audit,
                policy=policy,
                mcp=mcp,
            )
        finally:
            first_look.cancel()
            await asyncio.wait([first_look])
            # Runs that nobody watches get what is left of the grace; then other replicas take them over.
            await runs.drain(lifecycle.grace_left())


async def _open_credentials(
    settings: Settings, stack: AsyncExitStack, database: Database, peppers: Peppers, keys: Authenticator
) -> Credentials:
    signing_keys = SigningKeys(
        database, peppers, period_s=settings.signing_key_days * 86_400, token_life_s=settings.access_token_s
    )
    await stack.enter_async_context(open_signing_keys(signing_keys))
    access = AccessTokens(signing_keys, database, issuer=settings.token_issuer, life_s=settings.access_token_s)
    stack.push_async_callback(access.close)
    if not settings.oidc:
        return Credentials(keys, access, None)
    from .auth.oidc.tokens import open_oidc  # only an edge with issuers loads their HTTP client

    return Credentials(keys, access, await stack.enter_async_context(open_oidc(settings.oidc, database)))


def _open_function(target: str | None, stack: AsyncExitStack) -> grpc.aio.Channel | None:
    if target is None:
        return None
    channel = open_channel(target)
    stack.push_async_callback(channel.close)
    return channel


async def _learn_agents(agents: AgentDirectory) -> None:
    """Has the catalogue at hand before the first request needs it, if agent_fn is up."""
    with contextlib.suppress(DormouseError):
        await agents.refresh()
