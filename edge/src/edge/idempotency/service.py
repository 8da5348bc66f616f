"""Who answers a request with a key: the first does, the others get its answer or follow its run."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from fastapi import Request
from starlette.requests import ClientDisconnect

from edge.auth.caller import Caller
from edge.auth.peppers import Peppers
from edge.database import Database
from edge.errors import ApiError, invalid_argument
from edge.ids import new_run_id
from edge.lifecycle import ClientGoneError, ClientWatch, Lifecycle, ServerClosingError
from edge.request_context import context_of
from edge.runs import RunEngine
from edge.runs.model import RunStatus

from .claims import REPLAYED, SLOT, Claim, KeptAnswer, ReplayedAnswer, Slot
from .form_content import content_of_form
from .request_key import FORM_TYPE, HEADER, RequestKey, fingerprint, read_key, used_otherwise
from .store import Claimed, KeptRequests, Outcome

WAIT_S: Final = 120.0
"""So long a request waits for the answer of the first with its key."""

FIRST_LOOK_S: Final = 0.03
LONGEST_LOOK_S: Final = 0.3
LEASES: Final = 1.5
LEAST_LEASE_S: Final = 2.0
"""A claim outlives the lease of its replica by this factor, so that a run has been taken over by then."""

PRUNE_S: Final = 1800.0
PRUNE_BATCH: Final = 500

MOST_BYTES: Final = 2 * 1024 * 1024
"""A longer answer is not kept."""

OFF_LOOP_BYTES: Final = 128 * 1024

RUN_ROUTES: Final = frozenset(
    {"/v1/chat/completions", "/v1/runs", "/v1/threads/{thread_id}/runs", "/v1/agents/{agent_id}/ag-ui"}
)
"""Their run is named before it starts, and a run of one name starts once."""

HARMLESS: Final = frozenset(
    {
        *("/v1/embeddings", "/v1/search", "/v1/files"),
        *("/v1/runs/{run_id}/cancel", "/v1/runs/{run_id}/resume"),
    }
)
"""Doing them twice does no harm: the same file is kept once, an answer counts once."""

NOT_OURS: Final = frozenset({"/mcp"})
"""A protocol with ids of its own."""

_log = logging.getLogger(__name__)


class Idempotency:
    """Made by `open_idempotency`."""

    def __init__(
        self, store: KeptRequests, peppers: Peppers, runs: RunEngine, lifecycle: Lifecycle, lease_s: float
    ) -> None:
        self._store = store
        self._peppers = peppers
        self._runs = runs
        self._lifecycle = lifecycle
        self._lease_s = lease_s
        self._mine: dict[bytes, asyncio.Event] = {}
        """Claims of this replica, and whether they are answered."""
        self._looking: dict[tuple[str, bytes], asyncio.Task[None]] = {}

    async def begin(self, request: Request, caller: Caller) -> None:
        """Called for every request once it is known who asks; does nothing for one without a key.

        Raises ReplayedAnswer where there is an answer; ApiError 400 for a key that is none, 409 where the first request
        takes too long or nobody knows what came of it, 422 where the key belongs to another request;
        DATABASE_UNAVAILABLE.
        """
        slot = request.scope.get(SLOT)
        route = getattr(request.scope.get("route"), "path", "")
        if not isinstance(slot, Slot) or slot.claim is not None or route in NOT_OURS:
            return
        text = read_key([value for name, value in request.headers.raw if name == HEADER])
        key = RequestKey.of(caller, text, self._peppers.values)
        asked, is_form = await _fingerprint(request)
        # Of a form the body is still to come, and only it can tell that the client is gone.
        watch = contextlib.nullcontext() if is_form else ClientWatch(request.receive, self._lifecycle)
        try:
            async with asyncio.timeout(WAIT_S), watch:
                found = await self._find(caller.tenant, key, asked, may_repeat=route in RUN_ROUTES | HARMLESS)
        except TimeoutError:
            raise _conflict("The first request with this `Idempotency-Key` goes on still.", "busy", retry="1") from None
        except ClientGoneError:
            raise ApiError(499, "The client has closed the connection.") from None
        except ServerClosingError:
            closing = ErrorReason.ERROR_REASON_SHUTTING_DOWN
            raise ApiError.of(closing, "The server is shutting down; try again.") from None
        if found.outcome is Outcome.KEPT and found.answer is not None:
            if found.content is not None and await content_of_form(request) != found.content:
                raise used_otherwise()
            raise ReplayedAnswer(KeptAnswer.from_bytes(await _off_loop(key.open, found.answer)).response())
        follows = found.outcome is Outcome.RUNNING
        slot.claim = Claim(
            caller.tenant, key, found.digest, found.run_id, found.created_at, follows=follows, has_started=follows
        )
        if follows:
            context_of(request.scope).answer_headers.append(REPLAYED)

    async def answered(self, claim: Claim, answer: KeptAnswer) -> None:
        """The answer is there, and about to be sent; it is kept if it is a success."""
        data = answer.to_bytes()
        if answer.status < 300 and len(data) <= MOST_BYTES:
            sealed = await _off_loop(claim.key.seal, data)
            keeping = self._store.keep(claim.tenant, claim.digest, claim.run_id, sealed, claim.content)
            await self._settle(claim, keeping)
        else:
            await self.left(claim)

    async def left(self, claim: Claim) -> None:
        """There is no answer to be kept: what the run says is it, where there is one, or else nothing has happened."""
        if claim.has_started:
            await self._settle(claim, self._store.leave_to_run(claim.tenant, claim.digest, claim.run_id))
        else:
            await self._settle(claim, self._store.release(claim.tenant, claim.digest, claim.run_id))

    async def hold(self) -> None:
        """Says now and then what is answered here, until cancelled."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            if self._mine:
                with contextlib.suppress(DormouseError):
                    await self._store.hold(list(self._mine))

    async def prune(self) -> None:
        """Drops what has expired, until cancelled."""
        while True:
            await asyncio.sleep(PRUNE_S * random.uniform(0.5, 1.5))  # noqa: S311 - so that replicas take turns
            with contextlib.suppress(DormouseError):
                while await self._store.prune(PRUNE_BATCH) == PRUNE_BATCH:
                    await asyncio.sleep(0.2)

    async def close(self) -> None:
        """Ends what is under way."""
        looking = tuple(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    async def _find(self, tenant: str, key: RequestKey, asked: bytes, *, may_repeat: bool) -> Claimed:
        """How the request stands, once that is settled: ours, kept, or to be followed."""
        while True:
            found = await self._store.claim(tenant, key.digests, asked, new_run_id(), may_repeat=may_repeat)
            match found.outcome:
                case Outcome.NEW | Outcome.AGAIN:
                    self._mine[found.digest] = asyncio.Event()
                    return found
                case Outcome.KEPT:
                    return found
                case Outcome.BUSY:
                    await self._wait(tenant, found.digest)
                case Outcome.RUNNING:
                    status = await self._status(tenant, found.run_id)
                    if status in (None, RunStatus.FAILED, RunStatus.CANCELLED):
                        await self._store.release(tenant, found.digest, found.run_id)
                    elif await self._can_be_followed(tenant, found.run_id):
                        return found
                    else:
                        await asyncio.sleep(LONGEST_LOOK_S)
                case Outcome.OTHER:
                    raise used_otherwise()
                case Outcome.UNKNOWN:
                    message = (
                        "The first request with this `Idempotency-Key` broke off, and nobody knows what it has done. "
                        "Look before you send it again with a new key."
                    )
                    raise _conflict(message, "outcome_unknown", retry="")

    async def _status(self, tenant: str, run_id: str) -> RunStatus | None:
        """None: there is no such run any more."""
        try:
            return (await self._runs.get(tenant, run_id)).status
        except DormouseError as error:
            if error.reason != ErrorReason.ERROR_REASON_RUN_NOT_FOUND:
                raise
            return None

    async def _can_be_followed(self, tenant: str, run_id: str) -> bool:
        """False: its replica died before the log began. Nobody has heard of it; it is failed before long."""
        try:
            await self._runs.require_log(tenant, run_id)
        except DormouseError as error:
            if error.reason != ErrorReason.ERROR_REASON_RUN_NOT_FOUND:
                raise
            return False
        return True

    async def _wait(self, tenant: str, digest: bytes) -> None:
        """Returns when the first request may have been answered. Those that wait here for the same share one look."""
        task = self._looking.get((tenant, digest))
        if task is None:
            task = self._looking[tenant, digest] = asyncio.create_task(self._look(tenant, digest))
            task.add_done_callback(lambda _: self._looking.pop((tenant, digest), None))
        await asyncio.shield(task)

    async def _look(self, tenant: str, digest: bytes) -> None:
        pause = FIRST_LOOK_S
        while True:
            mine = self._mine.get(digest)
            if mine is None:
                await asyncio.sleep(pause)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._lease_s):
                        await mine.wait()
            if not await self._store.is_busy(tenant, digest):
                return
            pause = min(pause * 1.5, LONGEST_LOOK_S)

    async def _settle(self, claim: Claim, writing: Awaitable[None]) -> None:
        """Postgres may be away: then the claim lapses, and the next request finds out what came of this one."""
        try:
            await writing
        except DormouseError as error:
            _log.warning("what came of a request cannot be kept", extra={"cause": repr(error)})
        finally:
            if (event := self._mine.pop(claim.digest, None)) is not None:
                event.set()


@asynccontextmanager
async def open_idempotency(
    database: Database, peppers: Peppers, runs: RunEngine, lifecycle: Lifecycle, *, owner: str, lease_s: float
) -> AsyncIterator[Idempotency]:
    """owner: names this process, unlike any before it. lease_s: of replicas, as for their runs."""
    lease_s = max(LEASES * lease_s, LEAST_LEASE_S)
    store = KeptRequests(database, owner, timedelta(seconds=lease_s))
    idempotency = Idempotency(store, peppers, runs, lifecycle, lease_s)
    tasks = [asyncio.create_task(idempotency.hold()), asyncio.create_task(idempotency.prune())]
    try:
        yield idempotency
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await idempotency.close()


async def _fingerprint(request: Request) -> tuple[bytes, bool]:
    """Of what is asked for, and whether it is a form, whose contents are left out.

    Raises ApiError 400 for a body that breaks off.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body, is_form = b"", media_type == FORM_TYPE
    if not is_form:  # a form is not to be held in memory, and its boundary is another each time
        try:
            body = await request.body()
        except ClientDisconnect:
            raise invalid_argument("The body ended before it was complete.") from None
    return fingerprint(request.method, request.url.path, request.url.query, media_type, body), is_form


async def _off_loop(work: object, data: bytes) -> bytes:
    assert callable(work)
    done: bytes = await asyncio.to_thread(work, data) if len(data) > OFF_LOOP_BYTES else work(data)
    return done


def _conflict(message: str, code: str, *, retry: str) -> ApiError:
    headers = {"x-should-retry": "true", "retry-after": retry} if retry else {"x-should-retry": "false"}
    return ApiError(
        409,
        message,
        type="idempotency_error",
        code=f"idempotency_{code}",
        param="Idempotency-Key",
        headers=headers,
    )
