"""An OpenID Connect issuer over HTTP: real keys, and switches for what can go wrong with one."""

import asyncio
import json
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.edge.identity.forgery import forge, signer

ALGORITHMS = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256", Ed25519PrivateKey: "EdDSA"}


class Issuer:
    """`url` is its name. `asked` counts questions for keys, `is_broken` answers them with 503."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.url = ""
        self.asked = 0
        self.is_broken = False
        self.answers = asyncio.Event()
        """Not set: whoever asks for keys waits."""
        self.answers.set()
        self.extra: list[Any] = []
        """Entries of the key set beside the real ones."""
        self.documents: dict[str, Any] = {}
        """What takes the discovery document's place."""
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> "Issuer":
        """At the same address again after a stop."""
        app = web.Application()
        app.router.add_get("/keys", self._serve_keys)
        app.router.add_get("/.well-known/openid-configuration", self._serve_discovery)
        app.router.add_get("/elsewhere", self._redirect)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def add_key(self, key_id: str, key: Any) -> None:
        self.keys[key_id] = key

    def token(self, key_id: str, claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None) -> str:
        """One for five minutes, with the claims in addition."""
        key = self.keys[key_id]
        return forge(self.header(key_id) | (header or {}), self.claims() | (claims or {}), signer(key))

    def header(self, key_id: str) -> dict[str, Any]:
        alg = next(name for kind, name in ALGORITHMS.items() if isinstance(self.keys[key_id], kind))
        return {"alg": alg, "kid": key_id, "typ": "JWT"}

    def claims(self) -> dict[str, Any]:
        now = int(time.time())
        return {"iss": self.url, "aud": "dormouse", "sub": "4711", "iat": now, "nbf": now, "exp": now + 300}

    def jwk(self, key_id: str) -> dict[str, Any]:
        key = self.keys[key_id]
        alg = self.header(key_id)["alg"]
        found: dict[str, Any] = jwt.get_algorithm_by_name(alg).to_jwk(key.public_key(), as_dict=True)
        return {**found, "kid": key_id, "use": "sig", "alg": alg}

    async def _serve_keys(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self.answers.wait()
        if self.is_broken:
            return web.Response(status=503)
        return web.json_response({"keys": [*self.extra, *(self.jwk(key_id) for key_id in self.keys)]})

    async def _serve_discovery(self, request: web.Request) -> web.Response:
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.documents}
        return web.Response(body=json.dumps(document), content_type="application/json")

    async def _redirect(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{self.url}/keys")
