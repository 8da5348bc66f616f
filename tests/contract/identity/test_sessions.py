"""People log in, stay logged in, and log out."""

import asyncio
from typing import Any

import httpx
import jwt
import pytest

from tests.contract.identity.people import PASSWORD, Person, new_person
from tests.stack import Edge, Platform, Tenant


@pytest.fixture
def edge(platform: Platform) -> Edge:
    return platform.edge


@pytest.fixture
async def ann(edge: Edge, tenant: Tenant) -> Person:
    return await new_person(edge, tenant)


def code_of(response: httpx.Response) -> Any:
    return response.json()["error"]["code"]


async def test_an_access_token_is_accepted_wherever_a_key_is(ann: Person) -> None:
    async with ann.client() as http:
        me = (await http.get("/auth/me")).json()
        assert (me["tenant"], me["user_id"], me["role"], me["credential"]) == (ann.tenant, ann.id, "member", "session")
        assert (await http.get("/v1/models")).status_code == 200
        answer = await http.post("/v1/chat/completions", json={
            "model": "chat", "messages": [{"role": "user", "content": "Hello"}],
        })  # fmt: skip
        assert answer.status_code == 200, answer.text
        thread = (await http.post("/v1/threads")).json()["id"]
        assert (await http.get(f"/v1/threads/{thread}")).status_code == 200


async def test_a_token_is_signed_with_a_published_key_and_says_whose_it_is(ann: Person, edge: Edge) -> None:
    async with edge.client() as http:
        answer = await http.get("/.well-known/jwks.json")
    assert "max-age" in answer.headers["cache-control"]
    header = jwt.get_unverified_header(ann.access_token)
    assert (header["typ"], header["alg"]) == ("at+jwt", "EdDSA")
    (jwk,) = [key for key in answer.json()["keys"] if key["kid"] == header["kid"]]
    assert "d" not in jwk
    claims = jwt.decode(ann.access_token, jwt.PyJWK(jwk), audience="dormouse-api", issuer="dormouse")
    assert (claims["tenant"], claims["sub"], claims["exp"] - claims["iat"]) == (ann.tenant, ann.id, 600)


async def test_who_cannot_log_in_is_not_told_why(edge: Edge, tenant: Tenant, ann: Person) -> None:
    disabled = await new_person(edge, tenant, logged_in=False)
    async with edge.client(tenant) as http:
        assert (await http.patch(f"/v1/users/{disabled.id}", json={"disabled": True})).status_code == 200
        invited = (await http.post("/v1/users", json={"email": f"i{ann.email}"})).json()
    answers = [
        await ann.log_in("wrong password"),
        await Person(edge, ann.tenant, "", "nobody@example.org").log_in(),
        await Person(edge, "no-such-tenant", "", ann.email).log_in(),
        await disabled.log_in(),
        await Person(edge, ann.tenant, "", invited["email"]).log_in(),
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}
    assert code_of(answers[0]) == "invalid_credentials"


async def test_an_address_belongs_to_one_tenant_only(edge: Edge, tenant: Tenant, ann: Person, stack: Any) -> None:
    other = await stack.database.tenant()
    body = {"email": ann.email.upper(), "password": "another long password"}
    async with edge.client(other) as http:
        assert (await http.post("/v1/users", json=body)).status_code == 201, "what others have is nobody's business"
        assert (await http.get(f"/v1/users/{ann.id}")).status_code == 404
        assert (await http.patch(f"/v1/users/{ann.id}", json={"role": "admin"})).status_code == 404
        assert (await http.post(f"/v1/users/{ann.id}/invitation")).status_code == 404
        assert ann.id not in (await http.get("/v1/users")).text
    async with edge.client(tenant) as http:
        assert (await http.post("/v1/users", json=body)).status_code == 409
    assert (await Person(edge, other.id, "", ann.email).log_in()).status_code == 401
    assert (await Person(edge, other.id, "", ann.email).log_in("another long password")).status_code == 200


async def test_a_refresh_token_works_once_and_its_reuse_ends_the_session(ann: Person) -> None:
    stolen = ann.refresh_token
    assert (await ann.refresh()).status_code == 200
    assert (await ann.refresh()).status_code == 200
    assert (await ann.me()).status_code == 200
    newest = ann.refresh_token
    answer = await ann.refresh(stolen)
    assert (answer.status_code, code_of(answer)) == (401, "invalid_refresh_token")
    assert (await ann.refresh(newest)).status_code == 401, "whoever of the two has it"
    assert (await ann.me()).status_code == 401, "here the session's access tokens are gone at once"


async def test_two_tabs_that_refresh_at_once_go_on_with_the_same_token(ann: Person) -> None:
    token = ann.refresh_token
    answers = await asyncio.gather(*(ann.refresh(token) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await ann.refresh(token)).status_code == 200, "its answer may have got lost"
    assert (await ann.refresh()).status_code == 200, "and the session goes on"
    assert (await ann.refresh(token)).status_code == 401, "its successor has been used: now it is reuse"


@pytest.mark.parametrize("change", ["secret", "number", "session", "tenant", "kind", "form"])
async def test_a_refresh_token_that_was_changed_is_refused_and_harms_nobody(ann: Person, change: str) -> None:
    head, name, secret = ann.refresh_token.split(":")
    session, _, number = name.partition(".")
    made_up = {
        "secret": f"{head}:{name}:{secret[:-1]}{'a' if secret[-1] != 'a' else 'b'}",
        "number": f"{head}:{session}.{int(number) + 1}:{secret}",
        "session": f"{head}:sess_{'0' * 24}.0:{secret}",
        "tenant": f"dm_refresh_default:{name}:{secret}",
        "kind": f"dm_invite_{ann.tenant}:{name}:{secret}",
        "form": f"{head}:{session}.0{number}:{secret}",
    }[change]
    assert (await ann.refresh(made_up)).status_code == 401
    assert (await ann.refresh()).status_code == 200


async def test_a_logout_ends_the_session_and_says_nothing_about_what_is_none(ann: Person, edge: Edge) -> None:
    async with edge.client() as http:
        for token in ("nonsense", f"dm_refresh_{ann.tenant}:sess_{'0' * 24}.0:{'0' * 43}", ann.refresh_token):
            assert (await http.post("/auth/logout", json={"refresh_token": token})).status_code == 204
    assert (await ann.refresh()).status_code == 401
    answer = await ann.me()
    assert (answer.status_code, code_of(answer)) == (401, "invalid_token")


async def test_a_user_sees_and_ends_their_own_sessions_and_no_others(ann: Person, edge: Edge, tenant: Tenant) -> None:
    bob, first = await new_person(edge, tenant), ann.access_token
    await ann.log_in()
    async with ann.client() as http:
        listed = (await http.get("/auth/sessions")).json()["data"]
        assert [session["current"] for session in listed] == [True, False]
        async with bob.client() as bobs:
            assert (await bobs.delete(f"/auth/sessions/{listed[1]['id']}")).status_code == 404
        assert (await http.delete(f"/auth/sessions/{listed[1]['id']}")).status_code == 204
        assert (await http.delete(f"/auth/sessions/{listed[1]['id']}")).status_code == 404
        assert (await http.get("/auth/me")).status_code == 200
    ann.access_token = first
    assert (await ann.me()).status_code == 401


async def test_a_new_password_ends_the_other_sessions(ann: Person, edge: Edge) -> None:
    other = Person(edge, ann.tenant, ann.id, ann.email)
    await other.log_in()
    async with ann.client() as http:
        wrong = {"current_password": "not this one", "new_password": "entirely new words"}
        answer = await http.post("/auth/password", json=wrong)
        assert (answer.status_code, code_of(answer)) == (403, "wrong_password")
        right = {"current_password": PASSWORD, "new_password": "entirely new words"}
        assert (await http.post("/auth/password", json=right)).status_code == 204
        assert (await http.get("/auth/me")).status_code == 200
    assert (await other.me()).status_code == 401
    assert (await other.refresh()).status_code == 401
    assert (await ann.log_in()).status_code == 401
    assert (await ann.log_in("entirely new words")).status_code == 200


@pytest.mark.parametrize("password", ["short", "eleven char", "x" * 257, "p@example.org"])
async def test_a_password_that_is_none_is_refused(edge: Edge, tenant: Tenant, password: str) -> None:
    async with edge.client(tenant) as http:
        answer = await http.post("/v1/users", json={"email": "p@example.org", "password": password})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "password")


async def test_guessing_is_slowed_down_and_says_until_when(edge: Edge, tenant: Tenant) -> None:
    bob = await new_person(edge, tenant, logged_in=False)
    answers = await asyncio.gather(*(bob.log_in(f"guess number {number}") for number in range(14)))
    slowed = [answer for answer in answers if answer.status_code == 429]
    while not slowed:
        answer = await bob.log_in("another wrong guess")
        slowed = [answer] if answer.status_code == 429 else []
    assert code_of(slowed[0]) == "too_many_attempts"
    assert 1 <= int(slowed[0].headers["retry-after"]) <= 60
    assert (await bob.log_in()).status_code == 429, "for the right one too"
