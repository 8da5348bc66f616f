"""What tools are made with: the configuration and the collaborators that they share.

This is the one place for a new collaborator: a field of `Means`, and its opening in `open_means`. To open one costs
nothing: it connects, starts processes and imports what is heavy when a tool first needs it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tool_fn.config import Config, Secrets
from tool_fn.databases import Databases
from tool_fn.documents import Documents
from tool_fn.web import Guard, Rules, WebClient
from tool_fn.workers import Workers


@dataclass(frozen=True, slots=True)
class Means:
    """Handed to every `build_tools`. secrets: by the names of their variables."""

    config: Config
    secrets: Secrets
    http: WebClient
    workers: Workers
    databases: Databases
    documents: Documents = field(default_factory=lambda: Documents(""))


@asynccontextmanager
async def open_means(config: Config, secrets: Secrets, embed_target: str = "") -> AsyncIterator[Means]:
    """Opens the collaborators and closes them again, the last one first."""
    async with AsyncExitStack() as stack:
        rules = Rules.read(config.http.allow, config.http.allow_private)
        http = WebClient(Guard(rules), config.http.max_bytes, contact=config.http.contact)
        stack.push_async_callback(http.aclose)
        workers = Workers()
        stack.push_async_callback(workers.close)
        databases = Databases(config.databases, secrets)
        stack.push_async_callback(databases.aclose)
        documents = Documents(embed_target)
        stack.push_async_callback(documents.aclose)
        yield Means(config, secrets, http, workers, databases, documents)
