"""Talks to Ollama over HTTP: aiohttp and orjson, because the official client takes twice the CPU for each token."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.remembered import Remembered

from agent_fn import errors
from agent_fn.models.meter import Measurement, ModelMeter
from agent_fn.models.ollama.requests import chat_body
from agent_fn.models.ollama.responses import LineReader, error_from
from agent_fn.models.port import Chunk, ModelCall

_logger = logging.getLogger(__name__)
_HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}
_METADATA_TIMEOUT_S = 10.0
_LOADED_S = 1.0
# Shorter than what servers and proxies keep an idle connection for, so that none is used that is being closed.
_KEEPALIVE_S = 15.0
_TRAILER_TIMEOUT_S = 0.5
_ERROR_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, of silence before the answer's first bytes, of silence after them."""

    connect: float
    first_token: float
    read: float


class OllamaClient:
    """One Ollama server. Answers are streamed; nothing is retried: that is the edge's part."""

    def __init__(self, url: str, session: aiohttp.ClientSession, timeouts: Timeouts, meter: ModelMeter) -> None:
        self._url = url
        self._session = session
        self._timeouts = timeouts
        self._meter = meter
        self._loaded = Remembered(self._names_loaded, fresh_s=_LOADED_S, kept_s=_LOADED_S)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, timeouts: Timeouts, meter: ModelMeter) -> AsyncIterator["OllamaClient"]:
        """A client with a connection pool of its own, without a limit: gRPC limits the calls."""
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, keepalive_timeout=_KEEPALIVE_S)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=_HEADERS,
        ) as session:
            client = cls(url, session, timeouts, meter)
            try:
                yield client
            finally:
                await client._loaded.aclose()

    def answer(self, call: ModelCall) -> "AnswerStream":
        """See models.port.Model."""
        return AnswerStream(self._session, f"{self._url}/api/chat", call, self._timeouts, self._meter.measure(call))

    async def tags(self) -> list[dict[str, Any]]:
        """GET /api/tags: the models that the server holds. Errors: MODEL_UNAVAILABLE, MODEL_TIMEOUT."""
        models = (await self._metadata("GET", "/api/tags", "")).get("models")
        return models if isinstance(models, list) else []

    async def show(self, model: str) -> dict[str, Any]:
        """POST /api/show: one model's abilities and template. Errors: MODEL_NOT_FOUND too."""
        return await self._metadata("POST", "/api/show", model, {"model": model})

    async def is_loaded(self, model: str) -> bool:
        """See models.port.Model; asks GET /api/ps, for all who ask within a second at once."""
        return not {model, f"{model}:latest"}.isdisjoint(await self._loaded.get())

    async def _names_loaded(self) -> frozenset[str]:
        loaded = (await self._metadata("GET", "/api/ps", "")).get("models") or ()
        return frozenset(str(entry.get("name")) for entry in loaded)

    async def _metadata(
        self, method: str, path: str, model: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(_METADATA_TIMEOUT_S),
                self._session.request(
                    method, self._url + path, data=None if body is None else orjson.dumps(body)
                ) as response,
            ):
                data = await response.read()
                if response.status != 200:
                    raise error_from(model, response.status, _error_text(data))
                answer = orjson.loads(data)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            _log_failure(error)
            raise errors.model_away() from error
        except TimeoutError as error:
            raise errors.model_timeout("The model server does not answer in time.") from error
        except (aiohttp.ClientError, OSError, orjson.JSONDecodeError) as error:
            _log_failure(error)
            raise errors.model_unavailable() from error
        if not isinstance(answer, dict):
            raise errors.model_unavailable()
        return answer


class AnswerStream:
    """One answer on its way. Owns the HTTP request: leaving the context before the last chunk closes it at once."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        call: ModelCall,
        timeouts: Timeouts,
        measurement: Measurement,
    ) -> None:
        self._session = session
        self._url = url
        self._call = call
        self._timeouts = timeouts
        self._measurement = measurement
        self._reader = LineReader(call.model)
        self._ready: Iterator[Chunk] = iter(())
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.TimerHandle | None = None
        self._silent_since: float | None = None
        self._begun = False
        self._stalled = False
        self._complete = False

    async def __aenter__(self) -> Self:
        self._measurement.__enter__()
        try:
            await self._open()
        except BaseException as error:
            self._measurement.__exit__(type(error), error, None)
            raise
        self._watch = self._loop.call_later(self._timeouts.read, self._look)
        return self

    async def _open(self) -> None:
        try:
            # Ollama sends its headers with the first token, so this waits for both.
            async with asyncio.timeout(self._timeouts.first_token):
                self._response = await self._session.post(self._url, data=chat_body(self._call))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            _log_failure(error)
            raise errors.model_away() from error
        except TimeoutError as error:
            raise errors.model_timeout("The model did not begin to answer in time.") from error
        except (aiohttp.ClientError, OSError) as error:
            _log_failure(error)
            raise errors.model_unavailable() from error
        try:
            if self._response.status != 200:
                raise await self._refusal()
        except BaseException:
            self._response.close()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
        try:
            if kind is None and self._complete:
                await self._read_trailer()
        finally:
            # Gives the connection back if the body has ended, and closes it if not.
            if self._response.content.at_eof():
                self._response.release()
            else:
                self._response.close()
            self._measurement.__exit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._complete:
            raise StopAsyncIteration
        while (chunk := next(self._ready, None)) is None:
            if self._reader.failure is not None:
                raise self._reader.failure
            self._ready = iter(self._reader.feed(await self._read()))
        if chunk.completion is not None:
            self._complete = True
            self._measurement.completed(chunk.completion)
        return chunk

    async def _read(self) -> bytes:
        self._silent_since = self._loop.time()
        try:
            data = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            if self._stalled:
                raise errors.model_timeout("The model stopped in the middle of its answer.") from error
            _log_failure(error)
            raise errors.model_unavailable("The model server broke off its answer.") from error
        if not data:
            raise errors.model_unavailable("The model server broke off its answer.")
        self._silent_since = None
        if not self._begun:
            self._begun = True
            self._measurement.first_token()
        return data

    def _look(self) -> None:
        """Closes the request after too much silence, which is none of the server's while nobody reads.

        One timer for many reads, since setting one for each would cost more CPU than reading.
        """
        now = self._loop.time()
        due = (now if self._silent_since is None else self._silent_since) + self._timeouts.read
        if now < due:
            self._watch = self._loop.call_at(due, self._look)
        else:
            self._stalled = True
            self._response.close()

    async def _read_trailer(self) -> None:
        """Reads the body's end, which follows its last line, so that the connection can be used again."""
        content = self._response.content
        try:
            async with asyncio.timeout(_TRAILER_TIMEOUT_S):
                while not content.at_eof():
                    await content.readany()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return  # the answer is whole; only the connection is lost

    async def _refusal(self) -> DormouseError:
        try:
            async with asyncio.timeout(self._timeouts.read):
                data = await self._response.content.read(_ERROR_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError):
            data = b""
        return error_from(self._call.model, self._response.status, _error_text(data))


def _log_failure(error: Exception) -> None:
    _logger.warning(
        "the model server failed", extra={"error": type(error).__name__, "errno": getattr(error, "errno", None)}
    )


def _error_text(data: bytes) -> str:
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        return data.decode("utf-8", "replace")
    return str(answer.get("error", "")) if isinstance(answer, dict) else ""
