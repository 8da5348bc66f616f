"""Talks to Ollama over HTTP: embeddings, short answers in JSON, and what models there are."""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from embed_fn import errors
from embed_fn.ollama.refusals import error_from, error_text
from embed_fn.uses import count

_logger = logging.getLogger(__name__)
_HEADERS: Final = {"content-type": "application/json", "accept-encoding": "identity"}
_METADATA_TIMEOUT_S: Final = 10.0
# Shorter than what servers and proxies keep an idle connection for, so that none is used that is being closed.
_KEEPALIVE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, and for a whole answer."""

    connect: float
    read: float


@dataclass(frozen=True, slots=True)
class Vectors:
    """One for each text, in order; token_count is that of all texts together."""

    vectors: list[array[float]]
    token_count: int


class OllamaClient:
    """One Ollama server. Nothing is retried here."""

    def __init__(self, url: str, session: aiohttp.ClientSession, timeouts: Timeouts) -> None:
        self._url = url
        self._session = session
        self._timeouts = timeouts

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, timeouts: Timeouts) -> AsyncIterator[OllamaClient]:
        """A client with a connection pool of its own, without a limit: who calls limits the calls."""
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, keepalive_timeout=_KEEPALIVE_S)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=_HEADERS,
        ) as session:
            yield cls(url, session, timeouts)

    async def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        """POST /api/embed. All or nothing: one text that the model cannot take fails them all.

        Errors: CONTEXT_LENGTH_EXCEEDED, MODEL_NOT_FOUND, MODEL_CAPABILITY_MISSING, INVALID_ARGUMENT, MODEL_UNAVAILABLE,
        MODEL_TIMEOUT.
        """
        # Without truncate false Ollama drops the end of a long text without a word.
        body = {"model": model, "input": list(texts), "truncate": False}
        answer = await self._ask("POST", "/api/embed", model, body, self._timeouts.read)
        vectors = _vectors(answer.get("embeddings"))
        if len(vectors) != len(texts):
            raise errors.model_unavailable("The model server sent something that is not an answer.")
        return Vectors(vectors, _number(answer, "prompt_eval_count"))

    async def answer_json(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        *,
        timeout_s: float,
        max_tokens: int = 512,
    ) -> Any:
        """POST /api/chat: what the model answers in the form of the JSON Schema, decoded. messages: role and content.

        Errors: as `embed`; MODEL_UNAVAILABLE too where the answer is no JSON, for instance because it was cut off.
        """
        body = {
            "model": model,
            "messages": [dict(message) for message in messages],
            "stream": False,
            "truncate": False,
            "think": False,
            "format": dict(schema),
            "options": {"temperature": 0, "num_predict": max_tokens},
        }
        answer = await self._ask("POST", "/api/chat", model, body, min(timeout_s, self._timeouts.read))
        count(model, _number(answer, "prompt_eval_count"), _number(answer, "eval_count"))
        try:
            return orjson.loads(answer["message"]["content"])
        except (TypeError, KeyError, ValueError) as error:
            raise errors.model_unavailable("The model did not answer in the form that was asked for.") from error

    async def tags(self) -> list[dict[str, Any]]:
        """GET /api/tags: the models that the server holds. Errors: MODEL_UNAVAILABLE, MODEL_TIMEOUT."""
        models = (await self._ask("GET", "/api/tags", "", None, _METADATA_TIMEOUT_S)).get("models")
        return [tag for tag in models if isinstance(tag, dict)] if isinstance(models, list) else []

    async def show(self, model: str) -> dict[str, Any]:
        """POST /api/show: what one model can do. Errors: MODEL_NOT_FOUND too."""
        return await self._ask("POST", "/api/show", model, {"model": model}, _METADATA_TIMEOUT_S)

    async def _ask(
        self, method: str, path: str, model: str, body: Mapping[str, Any] | None, timeout_s: float
    ) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(
                    method, self._url + path, data=None if body is None else orjson.dumps(body)
                ) as response,
            ):
                data = await response.read()
                if response.status != 200:
                    raise error_from(model, response.status, error_text(data))
                answer = orjson.loads(data)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise errors.model_away() from error
        except TimeoutError as error:
            raise errors.model_timeout() from error
        except (aiohttp.ClientError, OSError, orjson.JSONDecodeError) as error:
            _logger.warning(
                "the model server failed",
                extra={"error": type(error).__name__, "errno": getattr(error, "errno", None)},
            )
            raise errors.model_unavailable() from error
        if not isinstance(answer, dict):
            raise errors.model_unavailable("The model server sent something that is not an answer.")
        return answer


def _number(answer: Mapping[str, Any], name: str) -> int:
    number = answer.get(name)
    return number if isinstance(number, int) and number > 0 else 0


def _vectors(embeddings: object) -> list[array[float]]:
    try:
        vectors = [array("f", values) for values in embeddings]  # type: ignore[attr-defined]
    except (TypeError, OverflowError) as error:
        raise errors.model_unavailable("The model server sent something that is not an answer.") from error
    if len({len(vector) for vector in vectors}) > 1 or not all(vectors):
        raise errors.model_unavailable("The model server sent vectors of different lengths.")
    return vectors
