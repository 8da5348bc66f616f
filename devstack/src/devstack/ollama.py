"""The model server: whether one answers, which models it has, and fetching one."""

import ipaddress
import json
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from devstack.errors import DevstackError

DEFAULT = "http://127.0.0.1:11434"
_TROUBLE = (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError)


def base_url(host: str) -> str:
    """The URL that OLLAMA_HOST means: a host, host:port or URL, as Ollama's own clients read it."""
    scheme, has_scheme, rest = host.strip().rstrip("/").partition("://")
    if not has_scheme:
        scheme, rest = "http", scheme
    try:
        parts = urlsplit(f"//{rest}")
        name, port = parts.hostname or "127.0.0.1", parts.port
    except ValueError:
        raise DevstackError(f"OLLAMA_HOST wants a host, host:port or URL, not {host!r}") from None
    if port is None:
        port = {"http": 80, "https": 443}.get(scheme, 11434) if has_scheme else 11434
    try:
        address = ipaddress.ip_address(name)
        if address.is_unspecified:  # what a server listens on is not where a client connects
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        name = f"[{address}]" if address.version == 6 else str(address)
    except ValueError:
        pass
    return f"{scheme}://{name}:{port}{parts.path}"


class ModelServer:
    """One server that speaks Ollama's protocol."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def version(self, *, timeout: float = 2.0) -> str:
        """Its version; empty where nobody answers within `timeout` seconds."""
        try:
            async with _session(timeout) as http, http.get(f"{self.url}/api/version") as response:
                return str((await response.json())["version"]) if response.status == 200 else ""
        except _TROUBLE:
            return ""

    async def first_model(self) -> str:
        """The first of its models, in its own order, that can complete: the default of agents. Empty: there is none.

        DevstackError when it does not answer properly.
        """
        try:
            async with _session(10) as http:
                for name in await self._names(http):
                    async with http.post(f"{self.url}/api/show", json={"model": name}) as response:
                        # Servers from before capabilities were listed hold completion models only.
                        if "completion" in (await response.json()).get("capabilities", ["completion"]):
                            return name
        except _TROUBLE as error:
            raise DevstackError(f"the model server at {self.url} does not list its models") from error
        return ""

    async def has(self, model: str) -> bool:
        """Whether it has the model; a name without a tag means `:latest`."""
        wanted = model if ":" in model.rpartition("/")[2] else f"{model}:latest"
        try:
            async with _session(10) as http:
                return wanted in await self._names(http)
        except _TROUBLE as error:
            raise DevstackError(f"the model server at {self.url} does not list its models") from error

    async def _names(self, http: aiohttp.ClientSession) -> list[str]:
        async with http.get(f"{self.url}/api/tags") as response:
            return [str(model["name"]) for model in (await response.json())["models"]]

    async def pull(self, model: str, progress: Callable[[int, int], None]) -> None:
        """Let it fetch a model. `progress` gets the bytes done and, once known, the whole. Raises DevstackError."""
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=300)
        layers: dict[str, tuple[int, int]] = {}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(f"{self.url}/api/pull", json={"model": model, "stream": True}) as response,
            ):
                async for line in response.content:
                    if not line.strip():
                        continue
                    update = json.loads(line)
                    if "error" in update:
                        raise DevstackError(f"the model server cannot fetch {model!r}: {update['error']}")
                    if update.get("status") == "success":
                        return
                    if "digest" in update:
                        layers[update["digest"]] = (update.get("completed", 0), update.get("total", 0))
                        progress(sum(done for done, _ in layers.values()), sum(total for _, total in layers.values()))
        except _TROUBLE as error:
            raise DevstackError(f"fetching {model!r} from {self.url} broke off: {error!r}") from error
        raise DevstackError(f"fetching {model!r} from {self.url} ended early; `make up MODEL={model}` goes on with it")


def _session(timeout: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout))
