"""The edge with its files in an S3 server."""

from tests.contract.test_edge_files import ended, uploaded
from tests.integration.files.conftest import S3, Site
from tests.integration.files.test_files_survive import until_gone
from tests.stack import Tenant


async def test_files_are_kept_in_s3_and_wait_while_it_is_away(site: Site, tenant: Tenant, s3: S3) -> None:
    edge = await site.edge(DORMOUSE_FILES="s3://bucket/edge", **s3.env)
    content = b"0123456789" * 700_000
    async with edge.client(tenant) as http:
        file = await uploaded(http, content)
        assert (await ended(http, file["id"]))["status"] == "processed"
        assert site.documents.received[file["id"]] == content
        assert f"<Key>edge/{tenant.id}/{file['id']}</Key>" in await s3.listed()
        part = await http.get(f"/v1/files/{file['id']}/content", headers={"range": "bytes=6999990-"})
        assert (part.status_code, part.content) == (206, b"0123456789")
        await s3.process.kill()
        for answer in (
            await http.get(f"/v1/files/{file['id']}/content"),
            await http.post("/v1/files", files={"file": ("a.txt", b"new")}),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_unavailable")
        assert (await http.delete(f"/v1/files/{file['id']}")).json()["deleted"]
        await s3.start()
        await until_gone(site, tenant)
        assert (await http.get("/v1/files")).json()["data"] == []
