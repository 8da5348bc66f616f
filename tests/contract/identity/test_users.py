"""Admins look after users: who they are, what they may, and that they can be stopped."""

import asyncio

import pytest

from tests.contract.identity.people import PASSWORD, Person, new_person
from tests.contract.identity.test_sessions import code_of
from tests.stack import Edge, Platform, Tenant


@pytest.fixture
def edge(platform: Platform) -> Edge:
    return platform.edge


async def test_an_invited_user_chooses_a_password_once(edge: Edge, tenant: Tenant) -> None:
    async with edge.client(tenant) as http:
        made = (await http.post("/v1/users", json={"email": "Carol@Example.org", "name": "Carol"})).json()
        assert (made["email"], made["status"], made["role"]) == ("carol@example.org", "invited", "member")
        old = made["invitation"]
        new = (await http.post(f"/v1/users/{made['id']}/invitation")).json()["invitation"]
    answer = {"password": PASSWORD}
    async with edge.client() as http:
        assert (await http.post("/auth/accept", json={**answer, "invitation": old})).status_code == 401
        assert (await http.post("/auth/accept", json={**answer, "invitation": new[:-1] + "!"})).status_code == 401
        answers = await asyncio.gather(
            *(http.post("/auth/accept", json={**answer, "invitation": new}) for _ in range(4))
        )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401], "one of them gets it"
    carol = Person(edge, tenant.id, made["id"], "carol@example.org")
    assert (await carol.log_in()).status_code == 200
    assert (await carol.me()).json()["user"]["status"] == "active"


async def test_the_list_has_pages_and_shows_no_secret(edge: Edge, tenant: Tenant) -> None:
    made = [await new_person(edge, tenant, logged_in=False) for _ in range(3)]
    async with edge.client(tenant) as http:
        first = (await http.get("/v1/users", params={"limit": 2})).json()
        rest = (await http.get("/v1/users", params={"limit": 2, "after": first["last_id"]})).json()
        assert [user["id"] for user in first["data"] + rest["data"]] == [person.id for person in reversed(made)]
        assert (first["has_more"], rest["has_more"]) == (True, False)
        assert "argon2" not in str(first)
        for after in ("nonsense", "user_\0", f"user_{'0' * 24}"):
            assert (await http.get("/v1/users", params={"after": after})).json()["data"] == []


async def test_roles_bound_what_a_session_may(edge: Edge, tenant: Tenant) -> None:
    viewer, member, admin = [await new_person(edge, tenant, role) for role in ("viewer", "member", "admin")]
    async with viewer.client() as http:
        assert (await http.get("/v1/runs")).status_code == 200
        answer = await http.post("/v1/threads")
        assert (answer.status_code, code_of(answer)) == (403, "insufficient_scope")
        assert 'scope="threads"' in answer.headers["www-authenticate"]
        # Whether there is such a thread makes no difference.
        async with edge.client(tenant) as keys:
            thread = (await keys.post("/v1/threads")).json()["id"]
        gone = [await http.delete(f"/v1/threads/{name}") for name in (thread, f"thread_{'0' * 24}", "x")]
        assert {(answer.status_code, answer.text) for answer in gone} == {(403, gone[0].text)}
    for person, status in ((viewer, 403), (member, 403), (admin, 200)):
        async with person.client() as http:
            assert (await http.get("/v1/users")).status_code == status
            assert (await http.get(f"/v1/users/{viewer.id}")).status_code == status


async def test_a_change_of_role_counts_for_sessions_that_go_on(edge: Edge, tenant: Tenant) -> None:
    person = await new_person(edge, tenant)
    async with edge.client(tenant) as http:
        assert (await http.patch(f"/v1/users/{person.id}", json={"role": "viewer"})).status_code == 200
    me = (await person.me()).json()
    assert (me["role"], "runs" in me["scopes"], "runs:read" in me["scopes"]) == ("viewer", False, True)


async def test_a_disabled_user_is_out_and_an_enabled_one_can_log_in_again(edge: Edge, tenant: Tenant) -> None:
    person = await new_person(edge, tenant)
    async with edge.client(tenant) as http:
        assert (await http.patch(f"/v1/users/{person.id}", json={"disabled": True})).json()["status"] == "disabled"
        assert (await person.me()).status_code == 401
        assert (await person.refresh()).status_code == 401
        assert (await person.log_in()).status_code == 401
        assert (await http.post(f"/v1/users/{person.id}/invitation")).status_code == 409
        assert (await http.patch(f"/v1/users/{person.id}", json={"disabled": False})).json()["status"] == "active"
    assert (await person.refresh()).status_code == 401, "the session is over for good"
    assert (await person.log_in()).status_code == 200


async def test_a_tenant_keeps_an_admin_whoever_asks_at_once(edge: Edge, tenant: Tenant) -> None:
    admins = [await new_person(edge, tenant, "admin", logged_in=False) for _ in range(3)]
    async with edge.client(tenant) as http:
        answers = await asyncio.gather(
            *(http.patch(f"/v1/users/{admin.id}", json={"disabled": True}) for admin in admins[:2]),
            http.patch(f"/v1/users/{admins[2].id}", json={"role": "member"}),
        )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409]


async def test_what_admins_do_is_in_the_audit_log_and_no_secret_is(edge: Edge, tenant: Tenant) -> None:
    person = await new_person(edge, tenant)
    await person.refresh()
    async with edge.client(tenant) as http:
        await http.patch(f"/v1/users/{person.id}", json={"role": "viewer"})
        await http.patch(f"/v1/users/{person.id}", json={"disabled": True})
        log = await http.get("/v1/audit", params={"limit": 100})
    assert log.status_code == 200, log.text
    actions = {entry["action"] for entry in log.json()["data"]}
    assert {"user.created", "auth.logged_in", "permission.role_changed", "user.disabled"} <= actions
    for secret in (person.email, PASSWORD, person.refresh_token, person.access_token):
        assert secret not in log.text


@pytest.mark.parametrize("bound", [{"scopes": ["users", "keys"]}, {"agents": ["chat"]}, {"tools": []}])
async def test_a_bounded_key_makes_no_user_who_may_more(
    edge: Edge, tenant: Tenant, bound: dict[str, list[str]]
) -> None:
    admin = await new_person(edge, tenant, "admin", logged_in=False)
    async with edge.client(tenant) as http:
        made = await http.post("/v1/keys", json={"name": "bounded", "role": "admin", **bound})
        assert made.status_code == 201, made.text
    async with edge.client(Tenant(tenant.id, "", made.json()["key"])) as http:
        answers = [
            await http.post("/v1/users", json={"email": "x@example.org", "role": "admin", "password": PASSWORD}),
            await http.post("/v1/users", json={"email": "y@example.org", "role": "member"}),
            await http.patch(f"/v1/users/{admin.id}", json={"role": "admin"}),
            await http.post(f"/v1/users/{admin.id}/invitation"),
        ]
        assert [(answer.status_code, code_of(answer)) for answer in answers] == [(403, "insufficient_scope")] * 4
        assert (await http.get("/v1/users")).status_code == 200


async def test_a_disabled_users_keys_stop_and_a_lower_role_bounds_them(edge: Edge, tenant: Tenant) -> None:
    person = await new_person(edge, tenant)
    async with person.client() as http:
        made = (await http.post("/v1/keys", json={"name": "own"})).json()
    async with edge.client(tenant) as http:
        assert (await http.patch(f"/v1/users/{person.id}", json={"role": "viewer"})).status_code == 200
    async with edge.client(Tenant(tenant.id, "", made["key"])) as http:
        me = (await http.get("/auth/me")).json()
        assert (me["role"], me["credential"], me["user"]["id"]) == ("viewer", "api_key", person.id)
    async with person.client() as http:
        other = await http.post("/v1/keys", json={"name": "other"})
        assert other.status_code == 403, "a viewer makes no keys"
    async with edge.client(tenant) as http:
        made = (await http.post("/v1/keys", json={"name": "another", "user": person.id})).json()
        assert (await http.patch(f"/v1/users/{person.id}", json={"disabled": True})).status_code == 200
    async with edge.client(Tenant(tenant.id, "", made["key"])) as http:
        assert (await http.get("/auth/me")).status_code == 401
