"""Users of a test's tenant, as their programs see them."""

import secrets
from dataclasses import dataclass
from typing import Any

import httpx

from tests.stack import Edge, Tenant

PASSWORD = "correct horse battery"


@dataclass(slots=True)
class Person:
    """Somebody with a session. `refresh_token` is the newest."""

    edge: Edge
    tenant: str
    id: str
    email: str
    access_token: str = ""
    refresh_token: str = ""

    def client(self) -> httpx.AsyncClient:
        """With the access token."""
        return self.edge.client(Tenant(self.tenant, self.id, self.access_token))

    async def log_in(self, password: str = PASSWORD) -> httpx.Response:
        """Takes the tokens, if there are any."""
        async with self.edge.client() as http:
            body = {"tenant": self.tenant, "email": self.email, "password": password}
            return self._taken(await http.post("/auth/login", json=body))

    async def refresh(self, token: str | None = None) -> httpx.Response:
        """With a token, or with the newest."""
        async with self.edge.client() as http:
            body = {"refresh_token": token or self.refresh_token}
            return self._taken(await http.post("/auth/refresh", json=body))

    async def me(self) -> httpx.Response:
        async with self.client() as http:
            return await http.get("/auth/me")

    def _taken(self, response: httpx.Response) -> httpx.Response:
        if response.status_code == 200:
            tokens = response.json()
            self.access_token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        return response


async def new_person(edge: Edge, tenant: Tenant, role: str = "member", *, logged_in: bool = True) -> Person:
    """A user of the tenant with a password."""
    email = f"{secrets.token_hex(6)}@example.org"
    body: dict[str, Any] = {"email": email, "role": role, "password": PASSWORD}
    async with edge.client(tenant) as http:
        response = await http.post("/v1/users", json=body)
    assert response.status_code == 201, response.text
    person = Person(edge, tenant.id, response.json()["id"], email)
    if logged_in:
        response = await person.log_in()
        assert response.status_code == 200, response.text
    return person
