"""The edge at the front: its own certificate, pages of other origins, proxies, and the audit log that admins read."""

import asyncio
import io
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from dormouse_runtime.identity import TokenVerifier
from edge.audit.chain import GENESIS, hash_of

from tests.contract.embed_service import ScriptedDocuments, serving_documents
from tests.stack import Edge, Platform, Stack, Tenant
from tests.stack.certificates import make_certificate

PAGE = "https://app.example.org"
CLIENT = "203.0.113.7"


@dataclass(frozen=True, slots=True)
class Front:
    """A replica that ends TLS itself, and where its certificate is."""

    edge: Edge
    folder: Path

    def client(self, tenant: Tenant | None = None, **headers: str) -> httpx.AsyncClient:
        """Trusts the certificate that is there now, and no other."""
        own = tenant.headers if tenant is not None else {}
        trusting = ssl.create_default_context(cafile=self.folder / "tls.crt")
        url = f"https://{self.edge.address}"
        return httpx.AsyncClient(base_url=url, headers={**own, **headers}, verify=trusting, timeout=30)


@pytest.fixture(scope="module")
async def front(platform: Platform, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    certificate, key = make_certificate(folder, "first")
    documents = ScriptedDocuments(TokenVerifier.from_file(stack.credentials.trusted_keys, "embed_fn"))
    async with serving_documents(documents) as embed_fn, stack.fleet() as fleet:
        env = {
            "DORMOUSE_TLS_CERTIFICATE": str(certificate),
            "DORMOUSE_TLS_KEY": str(key),
            "DORMOUSE_CORS_ORIGINS": PAGE,
            "DORMOUSE_TRUSTED_PROXIES": "127.0.0.0/8",
            "DORMOUSE_AUDIT_ADDRESSES": "true",
            "DORMOUSE_FILES": str(stack.database.files),
        }
        edge = await fleet.edge(platform.agent_fn, embed=embed_fn, env=env, ready=False)
        yield Front(edge, folder)


async def entries(http: httpx.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    response = await http.get("/v1/audit", params=wanted)
    assert response.status_code == 200, response.text
    data: list[dict[str, Any]] = response.json()["data"]
    return data


async def test_a_page_of_another_origin_follows_a_stream_over_tls(front: Front, tenant: Tenant) -> None:
    async with front.client(tenant, origin=PAGE) as http:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await http.options("/v1/chat/completions", headers={**asked, "authorization": ""})
        assert preflight.status_code == 204, "a preflight brings no key"
        body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        async with http.stream("POST", "/v1/chat/completions", json=body) as response:
            text = (await response.aread()).decode()
    assert text.endswith("data: [DONE]\n\n")
    headers = response.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in headers["access-control-expose-headers"]
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers.get_list("cache-control") == ["no-store"]


async def test_a_refusal_can_be_read_by_the_page_too(front: Front) -> None:
    async with front.client(origin=PAGE) as http:
        response = await http.get("/v1/models")
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (401, PAGE)


async def test_the_page_of_the_api_may_run_its_own_scripts_only(front: Front) -> None:
    async with front.client() as http:
        page = await http.get("/docs")
        policy = page.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script>" not in page.text
        assert (await http.get("/docs/start.js")).headers["content-type"].startswith("text/javascript")


async def test_a_renewed_certificate_is_served_while_streams_go_on(front: Front, tenant: Tenant) -> None:
    async def shown() -> str:
        context = ssl.create_default_context(cafile=front.folder / "tls.crt")
        host, _, port = front.edge.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        peer: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        name = x509.load_der_x509_certificate(peer).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        return str(name)

    async with front.client(tenant) as http:
        body = {"input": {"messages": [{"role": "user", "content": "Hello"}]}}
        async with http.stream("POST", "/v1/runs", json=body) as response:
            assert await shown() == "first"
            make_certificate(front.folder, "second")
            front.edge.send(signal.SIGHUP)
            async with asyncio.timeout(10):
                while True:
                    try:
                        name = await shown()
                    except ssl.SSLError:
                        continue  # still the one before, which is not trusted any more
                    break
            assert name == "second"
            assert "event: run.finished" in (await response.aread()).decode()


async def test_what_is_done_to_files_is_in_the_audit_log(front: Front, tenant: Tenant) -> None:
    async with front.client(tenant, **{"x-forwarded-for": f"1.1.1.1, {CLIENT}"}) as http:
        upload = {"file": ("a.txt", io.BytesIO(b"dormice sleep"))}
        name = (await http.post("/v1/files", files=upload)).json()["id"]
        assert (await http.get(f"/v1/files/{name}/content", headers={"range": "bytes=1-3"})).status_code == 206
        assert (await http.delete(f"/v1/files/{name}", headers={"x-request-id": "bye"})).status_code == 200
        assert (await http.delete(f"/v1/files/{name}")).status_code == 404
        deleted, downloaded, uploaded = await entries(http)
    assert [entry["action"] for entry in (uploaded, downloaded, deleted)] == [
        "file.uploaded",
        "file.downloaded",
        "file.deleted",
    ]
    assert uploaded["details"] == {"bytes": 13}
    assert downloaded["details"] == {"first_byte": 1, "last_byte": 3}
    assert deleted["request_id"] == "bye"
    for number, entry in enumerate((uploaded, downloaded, deleted), 1):
        assert (entry["seq"], entry["target"], entry["actor"]) == (number, name, f"user:{tenant.user}")
        assert entry["address"] == CLIENT
        assert entry["key_id"]
    assert uploaded["previous_hash"] == GENESIS.hex()
    assert (downloaded["previous_hash"], deleted["previous_hash"]) == (uploaded["hash"], downloaded["hash"])


async def test_the_log_is_read_in_pages_and_by_action_actor_target_and_time(front: Front, tenant: Tenant) -> None:
    began = datetime.now(UTC)
    async with front.client(tenant) as http:
        ids = []
        for number in range(3):
            upload = {"file": (f"{number}.txt", io.BytesIO(b"dormouse %d" % number))}
            ids.append((await http.post("/v1/files", files=upload)).json()["id"])
        await http.delete(f"/v1/files/{ids[1]}")
        page = (await http.get("/v1/audit", params={"limit": 3})).json()
        assert ([entry["seq"] for entry in page["data"]], page["has_more"], page["last_seq"]) == ([4, 3, 2], True, 2)
        rest = (await http.get("/v1/audit", params={"limit": 3, "before": page["last_seq"]})).json()
        assert ([entry["seq"] for entry in rest["data"]], rest["has_more"]) == ([1], False)

        async def found(**wanted: str) -> list[int]:
            return [entry["seq"] for entry in await entries(http, **wanted)]

        assert await found(action="file.deleted") == [4]
        assert await found(action="file.") == [4, 3, 2, 1]
        assert await found(action="file") == []
        assert await found(actor=f"user:{tenant.user}", target=ids[1]) == [4, 2]
        assert await found(actor="user:nobody") == []
        assert await found(actor="\0") == []
        assert await found(since=(began - timedelta(minutes=1)).isoformat()) == [4, 3, 2, 1]
        assert await found(until=(began - timedelta(minutes=1)).isoformat()) == []
        for wrong in ({"limit": "0"}, {"before": "x"}, {"since": "yesterday"}, {"since": "2026-11-20T09:00:00"}):
            assert (await http.get("/v1/audit", params=wrong)).status_code == 400


async def test_nobody_reads_another_tenants_log(front: Front, tenant: Tenant, stack: Stack) -> None:
    async with front.client(tenant) as http, front.client(await stack.database.tenant()) as other:
        await http.post("/v1/files", files={"file": ("a.txt", io.BytesIO(b"mine"))})
        assert len(await entries(http)) == 1
        assert await entries(other) == []


async def test_an_auditor_can_check_what_the_api_shows(front: Front, tenant: Tenant) -> None:
    async with front.client(tenant) as http:
        await http.post("/v1/files", files={"file": ("a.txt", io.BytesIO(b"x"))})
        [entry] = await entries(http)
    row = {name: entry[name] or "" for name in ("actor", "action", "target", "key_id", "address", "request_id")}
    row |= {
        "tenant_id": tenant.id,
        "seq": entry["seq"],
        "at": datetime.fromisoformat(entry["created_at"]),
        "details": '{"bytes":1}',
        "previous_hash": bytes.fromhex(entry["previous_hash"]),
    }
    assert hash_of(row).hex() == entry["hash"]


async def test_a_scope_that_does_not_hold_the_log_does_not_show_it(front: Front, tenant: Tenant) -> None:
    async with front.client(tenant) as http:
        made = await http.post("/v1/keys", json={"name": "narrow", "scopes": ["files:read"]})
        assert made.status_code == 201, made.text
        response = await http.get("/v1/audit", headers={"authorization": f"Bearer {made.json()['key']}"})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "insufficient_scope")
