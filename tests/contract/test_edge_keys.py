"""`/v1/keys`: keys within what their maker has, shown once, changed, rotated and revoked; others see nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.stack import Edge, Platform, Stack, Tenant


@pytest.fixture
async def http(platform: Platform, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.edge.client(tenant) as http:
        yield http


def holder(edge: Edge, secret: str) -> httpx.AsyncClient:
    """Somebody who has nothing but this key."""
    return httpx.AsyncClient(base_url=edge.url, headers={"authorization": f"Bearer {secret}"}, timeout=30)


async def status_with(edge: Edge, secret: str) -> int:
    async with holder(edge, secret) as own:
        return (await own.get("/v1/models")).status_code


async def made(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await http.post("/v1/keys", json={"name": "Made", **fields})
    assert response.status_code == 201, response.text
    key: dict[str, Any] = response.json()
    return key


async def stored(stack: Stack, tenant: Tenant, key_id: str) -> dict[str, Any]:
    async with await psycopg.AsyncConnection.connect(
        stack.database.url, row_factory=psycopg.rows.dict_row
    ) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        row = await (await connection.execute("select * from api_keys where id = %s", [key_id])).fetchone()
    assert row is not None
    return row


async def test_a_key_is_shown_once_and_works(
    platform: Platform, stack: Stack, tenant: Tenant, http: httpx.AsyncClient
) -> None:
    response = await http.post("/v1/keys", json={"name": "Reports", "scopes": ["models:read"]})
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    key = response.json()
    secret = key.pop("key")
    assert response.headers["location"] == f"/v1/keys/{key['id']}"
    assert secret.startswith(key["prefix"])
    assert len(secret) - len(key["prefix"]) > 40
    assert (key["role"], key["user"], key["created_by"]) == ("member", tenant.user, tenant.user)
    assert (await http.get(f"/v1/keys/{key['id']}")).json() == key
    listed = (await http.get("/v1/keys")).json()
    assert listed["data"][0]["id"] == key["id"]
    assert secret not in (await http.get("/v1/keys")).text
    assert secret not in repr(await stored(stack, tenant, key["id"]))
    async with holder(platform.edge, secret) as own:
        assert (await own.get("/v1/models")).status_code == 200
        refused = await own.post("/v1/threads")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")


async def test_a_list_is_read_page_by_page(http: httpx.AsyncClient) -> None:
    ids = [(await made(http, name=f"No {number}"))["id"] for number in range(3)]
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await http.get("/v1/keys", params={"limit": 2, **after})).json()
        seen += [key["id"] for key in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen[:3] == ids[::-1]
    assert len(seen) == len(set(seen)) == 4, "and the tenant's first one"


@pytest.mark.parametrize(
    ("own", "wanted", "param"),
    [
        ({"role": "member"}, {"role": "admin"}, "role"),
        ({"scopes": ["keys", "runs"]}, {"scopes": ["files"]}, None),
        ({"scopes": ["keys", "runs"]}, {"scopes": ["keys", "keys:all"]}, "scopes"),
        ({"agents": ["chat"]}, {"agents": ["chat", "react"]}, "agents"),
        ({"models": ["small"]}, {"models": ["large"]}, "models"),
        ({"tools": []}, {"tools": ["calculator"]}, "tools"),
        ({"expires_in_seconds": 3600}, {"expires_in_seconds": 7200}, "expires_in_seconds"),
    ],
)
async def test_a_key_never_gets_more_than_its_maker_has(
    platform: Platform, http: httpx.AsyncClient, own: dict[str, Any], wanted: dict[str, Any], param: str | None
) -> None:
    maker = await made(http, **own)
    stronger = await made(http)
    async with holder(platform.edge, maker["key"]) as weak:
        refused = await weak.post("/v1/keys", json={"name": "More", **wanted})
        assert refused.status_code == 403, refused.text
        assert refused.json()["error"]["param"] == param
        inherited = await made(weak, name="The same")
        if own.get("role") == "member":
            return
        # What was left out is bounded as the maker is, and nothing widens it or a stronger one later.
        for name in ("scopes", "agents", "models", "tools"):
            assert inherited[name] == (sorted(own[name]) if name in own else None)
        assert (inherited["expires_at"] is None) == ("expires_in_seconds" not in own)
        for target in (inherited, stronger):
            assert (await weak.patch(f"/v1/keys/{target['id']}", json=wanted)).status_code == 403
        freed = await weak.patch(f"/v1/keys/{inherited['id']}", json=dict.fromkeys(wanted.keys() - {"role"}))
        assert freed.status_code == 200
        for name in own.keys() & {"scopes", "agents", "models", "tools"}:
            assert freed.json()[name] == sorted(own[name])
        another = await made(http)
        assert (await weak.post(f"/v1/keys/{another['id']}/rotate")).status_code == 403, "its secret would be theirs"


async def test_a_change_counts_and_what_is_left_out_stays(platform: Platform, http: httpx.AsyncClient) -> None:
    key = await made(http, scopes=["models:read", "threads"], agents=["chat"])
    async with holder(platform.edge, key["key"]) as own:
        assert (await own.post("/v1/threads")).status_code == 201
        changed = await http.patch(f"/v1/keys/{key['id']}", json={"name": "New", "scopes": ["models:read"]})
        assert changed.status_code == 200
        assert {**changed.json(), "last_used_at": None} == {
            **{name: value for name, value in key.items() if name != "key"},
            "name": "New",
            "scopes": ["models:read"],
        }
        assert (await own.post("/v1/threads")).status_code == 403, "this replica knows it at once"
    refused = await http.patch(f"/v1/keys/{key['id']}", json={"scope": ["models:read"]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "scope")


async def test_a_rotated_key_has_two_secrets_for_a_while(
    platform: Platform, stack: Stack, tenant: Tenant, http: httpx.AsyncClient
) -> None:
    key = await made(http)
    rotated = (await http.post(f"/v1/keys/{key['id']}/rotate", json={"overlap_seconds": 3600})).json()
    assert rotated["id"] == key["id"]
    assert rotated["key"] != key["key"]
    assert rotated["previous_valid_until"] is not None
    assert [await status_with(platform.edge, secret) for secret in (key["key"], rotated["key"])] == [200, 200]
    async with stack.fleet() as fleet:
        other = await fleet.edge(platform.agent_fn)
        assert [await status_with(other, secret) for secret in (key["key"], rotated["key"])] == [200, 200]
        again = (await http.post(f"/v1/keys/{key['id']}/rotate", json={"overlap_seconds": 0})).json()
        assert again["previous_valid_until"] is None
        secrets = (key["key"], rotated["key"], again["key"])
        assert [await status_with(platform.edge, secret) for secret in secrets] == [401, 401, 200]
        assert (await http.delete(f"/v1/keys/{key['id']}")).json()["deleted"] is True
        assert [await status_with(platform.edge, secret) for secret in secrets] == [401, 401, 401]
    assert (await stored(stack, tenant, key["id"]))["revoked_at"] is not None


async def test_a_key_that_has_expired_is_none(
    platform: Platform, stack: Stack, tenant: Tenant, http: httpx.AsyncClient
) -> None:
    key = await made(http, expires_in_seconds=3600)
    assert await status_with(platform.edge, key["key"]) == 200
    short = await made(http, expires_in_seconds=1)
    assert await status_with(platform.edge, short["key"]) == 200
    async with asyncio.timeout(20):  # the memory of this replica must not outlive the key
        while await status_with(platform.edge, short["key"]) != 401:
            await asyncio.sleep(0.1)
    assert await status_with(platform.edge, key["key"]) == 200


async def test_keys_of_others_look_like_none(platform: Platform, stack: Stack, http: httpx.AsyncClient) -> None:
    key = await made(http)
    unknown = "key_" + "A" * 24
    async with platform.edge.client(await stack.database.tenant()) as stranger:
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("PATCH", "")):
            body = {"json": {"name": "Mine"}} if method == "PATCH" else {}
            answers = [
                await stranger.request(method, f"/v1/keys/{name}{path}", **body)  # type: ignore[arg-type]
                for name in (key["id"], unknown)
            ]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].json() == answers[1].json()
        assert key["id"] not in (await stranger.get("/v1/keys")).text
        assert key["id"] not in (await stranger.get("/v1/keys", params={"after": key["id"]})).text
    assert await status_with(platform.edge, key["key"]) == 200


async def test_without_the_scope_for_all_keys_only_ones_own_are_there(
    platform: Platform, stack: Stack, tenant: Tenant, http: httpx.AsyncClient
) -> None:
    user = await add_user(stack, tenant, "member")
    others = await made(http)
    own = await made(http, user=user)
    assert (own["user"], own["created_by"]) == (user, tenant.user)
    async with holder(platform.edge, own["key"]) as member:
        assert [key["id"] for key in (await member.get("/v1/keys")).json()["data"]] == [own["id"]]
        assert (await member.get("/v1/keys", params={"user": tenant.user})).json()["data"] == []
        assert (await member.get(f"/v1/keys/{others['id']}")).status_code == 404
        assert (await member.delete(f"/v1/keys/{others['id']}")).status_code == 404
        refused = await member.post("/v1/keys", json={"name": "Theirs", "user": tenant.user})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "user_not_found")
        assert (await member.delete(f"/v1/keys/{own['id']}")).status_code == 200
    of_user = (await http.get("/v1/keys", params={"user": user})).json()
    assert of_user["data"] == []


async def test_a_key_may_no_more_than_its_user_whenever_it_is_used(
    platform: Platform, stack: Stack, tenant: Tenant, http: httpx.AsyncClient
) -> None:
    user = await add_user(stack, tenant, "viewer")
    key = await made(http, user=user, role="admin")
    async with holder(platform.edge, key["key"]) as own:
        assert (await own.get("/v1/models")).status_code == 200
        assert (await own.post("/v1/threads")).status_code == 403
        assert (await own.get("/v1/keys")).status_code == 403
    await as_tenant(stack, tenant, "delete from users where id = %s", user)
    assert (await stored(stack, tenant, key["id"]))["revoked_at"] is not None, "a key never outlives its user"


async def add_user(stack: Stack, tenant: Tenant, role: str) -> str:
    user = f"user_{tenant.id[2:]:0<24}"
    await as_tenant(
        stack,
        tenant,
        "insert into users (tenant_id, id, email, role) values (%s, %s, 'a@example.org', %s)",
        tenant.id,
        user,
        role,
    )
    return user


async def as_tenant(stack: Stack, tenant: Tenant, statement: str, *values: object) -> None:
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        await connection.execute(statement.encode(), values)
