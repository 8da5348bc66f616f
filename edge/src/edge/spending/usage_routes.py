"""`GET /v1/usage`: what was used up, by day, model, agent, key, user or kind of work."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal, get_args

import orjson
from fastapi import APIRouter, Query, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller
from edge.auth.scopes import Scope
from edge.errors import invalid_argument
from edge.openapi import errors, json_answer
from edge.services import services_of

from .model import UsageQuery, UsageRow
from .schemas import CSV_EXAMPLE, USAGE_EXAMPLE, GroupName, UsagePage

router = APIRouter(tags=["Usage"])

MOST_DAYS: Final = 400
DEFAULT_DAYS: Final = 30
MOST_OFFSET: Final = 10_000_000
_COUNTS: Final = ("requests", "prompt_tokens", "completion_tokens", "reasoning_tokens", "total_tokens", "money")

_ANSWER = json_answer(UsagePage, "The report.", USAGE_EXAMPLE)
_ANSWER["content"]["text/csv"] = {"schema": {"type": "string"}, "example": CSV_EXAMPLE}

_DAY: Final[dict[str, Any]] = {"max_length": 10, "json_schema_extra": {"format": "date"}}


@router.get(
    "/v1/usage",
    operation_id="getUsage",
    summary="Report what was used up",
    description="As the ledger has it, within a second or so. Days are in UTC. Without the scope `usage:all` it tells "
    "of the caller's own.",
    responses={200: _ANSWER, **errors(400)},
    response_class=Response,
)
async def get_usage(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.USAGE)],
    start: Annotated[str | None, Query(description="The first day; by default a month ago.", **_DAY)] = None,
    end: Annotated[str | None, Query(description="The last day; by default today.", **_DAY)] = None,
    group_by: Annotated[
        list[GroupName] | None,
        Query(description="What each line is about, one or more. Left out: `day`."),
    ] = None,
    model: Annotated[str | None, Query(max_length=256, description="Only this.")] = None,
    agent: Annotated[str | None, Query(max_length=256, description="Only this.")] = None,
    key: Annotated[str | None, Query(max_length=256, description="Only this API key, by its id.")] = None,
    user: Annotated[str | None, Query(max_length=256, description="Only this user, by their id.")] = None,
    work: Annotated[Literal["run", "embedding", "search", "ingestion"] | None, Query(description="Only this.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many lines at most.")] = 100,
    page: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,8}$", description="The `next_page` of the page before.")
    ] = None,
    format: Annotated[Literal["json", "csv"], Query(description="Of the answer.")] = "json",  # noqa: A002
) -> Response:
    services = services_of(request)
    today = datetime.now(UTC).date()
    last = today if end is None else _day(end, "end")
    first = last - timedelta(days=DEFAULT_DAYS) if start is None else _day(start, "start")
    if not first <= last <= first + timedelta(days=MOST_DAYS):
        raise invalid_argument(f"`start` and `end` name a span of at most {MOST_DAYS} days.", "start")
    filters = {"model": model, "agent": agent, "key": key, "user": user, "work": work}
    wanted = {name: value.replace("\0", "") for name, value in filters.items() if value is not None}
    if Scope.USAGE_ALL not in caller.scopes:
        if wanted.get("user", caller.user) != caller.user:
            wanted["work"] = ""  # nobody's: another's usage looks as if there were none
        wanted["user"] = caller.user
    query = UsageQuery(first, last, tuple(dict.fromkeys(group_by or ("day",))), wanted)
    offset = int(page or 0)
    rows = await services.spending.store.usage(caller.tenant, query, limit=limit + 1, offset=offset)
    has_more, rows = len(rows) > limit, rows[:limit]
    next_page = str(offset + limit) if has_more else None
    if format == "csv":
        headers = {"content-disposition": f'attachment; filename="usage-{first}-{last}.csv"'}
        if next_page is not None:
            headers["x-next-page"] = next_page
        return Response(_csv(query.group_by, rows), headers=headers, media_type="text/csv; charset=utf-8")
    body = {
        "object": "usage.page",
        "start": first.isoformat(),
        "end": last.isoformat(),
        "currency": services.spending.prices.currency,
        "data": [{"object": "usage", **_line(row)} for row in rows],
        "has_more": has_more,
        "next_page": next_page,
    }
    return Response(orjson.dumps(body), media_type="application/json")


def _day(text: str, param: str) -> date:
    try:
        if len(text) == len("2026-11-20"):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise invalid_argument(f"Invalid value for `{param}`: want a day such as 2026-11-20.", param)


def _line(row: UsageRow) -> dict[str, Any]:
    total = row.prompt_tokens + row.completion_tokens
    counts = (row.requests, row.prompt_tokens, row.completion_tokens, row.reasoning_tokens, total, float(row.money))
    return {**row.group, **dict(zip(_COUNTS, counts, strict=True))}


def _csv(groups: Sequence[str], rows: Sequence[UsageRow]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*groups, *_COUNTS])
    for row in rows:
        line = _line(row)
        names = [_plain(line[group]) for group in groups]
        writer.writerow([*names, *(line[count] for count in _COUNTS)])
    return out.getvalue()


def _plain(name: str) -> str:
    """Spreadsheets run what begins like a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name


assert set(get_args(GroupName)) == {"day", "model", "agent", "key", "user", "work"}
