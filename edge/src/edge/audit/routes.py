"""`GET /v1/audit`: what was done in a tenant, for its admins."""

from collections.abc import Mapping
from datetime import UTC
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.openapi import errors, json_answer
from edge.services import services_of

from .reading import Filter
from .schemas import LIST_EXAMPLE, AuditEntryList

router = APIRouter(tags=["Identity"])


def _written_out(value: object) -> object:
    """Pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, str) and "T" not in value.upper():
        raise ValueError("want a time such as 2026-11-20T17:00:00Z")
    return value


_Time = Annotated[AwareDatetime, BeforeValidator(_written_out)]
_Text = Annotated[str | None, Query(max_length=256)]


@router.get(
    "/v1/audit",
    operation_id="listAuditEntries",
    summary="Read the audit log",
    description="What was done to identities, keys, permissions and documents, newest first. Nobody can change it; "
    "`previous_hash` and `hash` chain the entries.",
    responses={200: json_answer(AuditEntryList, "Entries.", LIST_EXAMPLE), **errors(400)},
    response_class=Response,
)
async def list_audit_entries(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.AUDIT)],
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    before: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="Read on: the `last_seq` of the page before.")
    ] = None,
    action: Annotated[
        str | None,
        Query(max_length=256, description="One action, or all of a kind: `key.`.", examples=["key.created", "key."]),
    ] = None,
    actor: _Text = None,
    target: _Text = None,
    since: Annotated[_Time | None, Query(description="Not earlier than this.")] = None,
    until: Annotated[_Time | None, Query(description="Earlier than this.")] = None,
) -> Response:
    wanted = Filter(action=action, actor=actor, target=target, since=since, until=until)
    page = await services_of(request).audit.page(caller.tenant, wanted, limit=limit, before=before)
    answer = {
        "object": "list",
        "data": [_entry(row) for row in page.entries],
        "has_more": page.has_more,
        "last_seq": page.entries[-1]["seq"] if page.entries else None,
    }
    return Response(orjson.dumps(answer), media_type="application/json")


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "object": "audit.entry",
        "seq": row["seq"],
        "created_at": f"{row['at'].astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
        "actor": row["actor"],
        "key_id": row["key_id"] or None,
        "action": row["action"],
        "target": row["target"] or None,
        "details": orjson.Fragment(row["details"]),
        "address": row["address"] or None,
        "request_id": row["request_id"] or None,
        "previous_hash": row["previous_hash"].hex(),
        "hash": row["hash"].hex(),
    }
