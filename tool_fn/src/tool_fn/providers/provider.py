"""What all providers have in common: JSON over HTTP, and failures as sentences that a model can act on."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec

from tool_fn.tool import ToolError
from tool_fn.web import Answer, FetchError, WebClient

T = TypeVar("T")

# A model waits for the call anyway; longer than this it had better know.
_LONGEST_WAIT_S: Final = 2.0
_DETAIL: Final = 300


class Provider:
    """One service. name: as people call it. key: the variable that holds its key, for sentences; "": it has none."""

    def __init__(self, name: str, web: WebClient, key: str = "", time_limit_s: float = 12.0) -> None:
        self.name = name
        self._web = web
        self._key = key
        self._time_limit_s = time_limit_s

    async def get(
        self, url: str, params: Mapping[str, str], answer: type[T], headers: Mapping[str, str] | None = None
    ) -> T:
        """Asks with GET and reads the JSON as `answer`. Raises ToolError."""
        return self._read(await self._ask("GET", url, params, headers or {}, None), answer)

    async def post(self, url: str, body: Any, answer: type[T], headers: Mapping[str, str] | None = None) -> T:
        """Asks with POST and a JSON body. For reading only: it may be sent twice. Raises ToolError."""
        sent = {"content-type": "application/json", **(headers or {})}
        return self._read(await self._ask("POST", url, None, sent, msgspec.json.encode(body)), answer)

    async def _ask(
        self, method: str, url: str, params: Mapping[str, str] | None, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        headers = {"accept": "application/json", **headers}
        for is_last in (False, True):
            try:
                answer = await self._web.ask(
                    method, url, params=params, headers=headers, body=body, time_limit_s=self._time_limit_s
                )
            except FetchError as error:
                raise ToolError(f"{self.name} cannot be asked now: {error}") from error
            wait = _retry_after_s(answer)
            if is_last or answer.status not in (429, 503) or wait is None or wait > _LONGEST_WAIT_S:
                break
            await asyncio.sleep(wait)
        return answer

    def _read(self, answer: Answer, kind: type[T]) -> T:
        if answer.status != HTTPStatus.OK:
            raise ToolError(self._refusal(answer))
        if answer.is_cut:
            raise ToolError(f"{self.name}'s answer is longer than may be read. Ask for less.")
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.ValidationError as error:
            raise ToolError(f"{self.name} answered in a form that is not understood. Do not try again.") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ToolError(
                f"{self.name} answered with something that is not JSON. "
                "Its configured address may be wrong; do not try again."
            ) from error

    def _refusal(self, answer: Answer) -> str:
        says = _detail(answer)
        match answer.status:
            case 401 | 403 if self._key:
                return (
                    f"{self.name} does not accept the key in {self._key} (HTTP {answer.status}). "
                    f"Only the operator can change that; do not try again.{says}"
                )
            case 401 | 403:
                return f"{self.name} refuses access (HTTP {answer.status}). Do not try again.{says}"
            case 429:
                wait = _retry_after_s(answer)
                when = "later" if wait is None else f"in {wait:.0f} s"
                return f"{self.name} has had too many requests. Try again {when}, or do without.{says}"
            case status if 300 <= status < 400:
                return (
                    f"{self.name} has moved to another address (HTTP {status}). "
                    "The operator has to configure that one; do not try again."
                )
            case status if status >= 500:
                return f"{self.name} fails at the moment (HTTP {status}). Try again later, or do without."
            case status:
                return f"{self.name} does not accept this request (HTTP {status}).{says}"


def _retry_after_s(answer: Answer) -> float | None:
    """Seconds, from either form of the header; None where there is none."""
    value = answer.header("retry-after").strip()
    if re.fullmatch(r"[0-9]{1,6}", value):
        return float(value)
    try:
        at = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)


def _detail(answer: Answer) -> str:
    """What the provider itself says, in one line; providers put it in different places."""
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    for name in ("detail", "error", "message", "info", "reason"):
        while isinstance(found, dict) and isinstance(found.get(name), str | dict):
            found = found[name]
    if not isinstance(found, str):
        return ""
    return f" It says: {' '.join(found.split())[:_DETAIL]}"
