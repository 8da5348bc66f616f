"""Whatever dies in the middle: each file is processed once somebody is there, or gone without a trace."""

import asyncio
from typing import Any

import psycopg
import pytest
from devstack.errors import StartError
from edge.files.driver import CONCURRENCY

from tests.contract.test_edge_files import ended, events_of, uploaded
from tests.integration.files.conftest import Site
from tests.stack import Edge, Tenant

WAIT_S = 15


@pytest.fixture(scope="module")
async def stays(whole_site: Site) -> Edge:
    """A replica that the tests of the others leave alone."""
    return await whole_site.edge(DORMOUSE_REPLICA_ID="stays")


async def rows(site: Site, tenant: Tenant) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(site.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        return await (await connection.execute("select id, status from files order by created_at")).fetchall()


async def until_gone(site: Site, tenant: Tenant) -> None:
    async with asyncio.timeout(WAIT_S):
        while await rows(site, tenant) or site.originals(tenant):
            await asyncio.sleep(0.05)


async def test_another_replica_goes_on_with_the_ingestion_of_one_that_was_killed(
    site: Site, stays: Edge, tenant: Tenant
) -> None:
    first = await site.edge()
    async with first.client(tenant) as http:
        file = await uploaded(http, "wait for another replica")
    await site.documents.wait_for(file["id"])
    async with stays.client(tenant) as http:
        following = asyncio.create_task(http.get(f"/v1/files/{file['id']}/events"))
        await asyncio.sleep(0.5)
        await first.process.kill()
        site.documents.go.set()
        names = [name for name, _ in events_of((await following).text)]
        assert names[0] == "file.uploaded"
        assert list(dict.fromkeys(names))[1:] == [
            *("file.received", "file.parsed", "file.chunked", "file.embedded", "file.stored", "file.processed"),
        ]
        assert (await http.get(f"/v1/files/{file['id']}/content")).content == b"wait for another replica"


async def test_one_that_is_stopped_leaves_its_work_to_others_at_once(site: Site, stays: Edge, tenant: Tenant) -> None:
    first = await site.edge(DORMOUSE_LEASE_S="60")
    async with first.client(tenant) as http:
        file = await uploaded(http, "wait for the one that stays")
    await site.documents.wait_for(file["id"])
    await first.process.stop()
    site.documents.go.set()
    async with stays.client(tenant) as http, asyncio.timeout(WAIT_S):
        assert (await ended(http, file["id"]))["status"] == "processed"


async def test_what_an_upload_to_a_killed_replica_has_left_is_cleared_away(
    site: Site, stays: Edge, tenant: Tenant
) -> None:
    first = await site.edge()
    host, port = first.address.split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tenant.api_key}\r\n"
        "content-type: multipart/form-data; boundary=B\r\ncontent-length: 9000000\r\n\r\n"
        '--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    writer.write(head.encode() + b"x" * 7_000_000)
    await writer.drain()
    async with asyncio.timeout(WAIT_S):
        while not site.originals(tenant):
            await asyncio.sleep(0.02)
    assert [status for _, status in await rows(site, tenant)] == ["uploading"]
    await first.process.kill()
    writer.close()
    assert site.originals(tenant)
    await until_gone(site, tenant)


async def test_a_file_is_deleted_through_another_replica_than_the_one_that_ingests_it(
    site: Site, stays: Edge, tenant: Tenant
) -> None:
    first = await site.edge()
    async with first.client(tenant) as http:
        file = await uploaded(http, "wait until deleted elsewhere")
    await site.documents.wait_for(file["id"])
    async with stays.client(tenant) as http:
        assert (await http.delete(f"/v1/files/{file['id']}")).json()["deleted"]
        assert (await http.get(f"/v1/files/{file['id']}")).status_code == 404
    async with asyncio.timeout(WAIT_S):
        await site.documents.cut_off.wait()
    await until_gone(site, tenant)
    assert not site.documents.documents


async def test_files_wait_for_an_embed_fn_that_is_away(site: Site, stays: Edge, tenant: Tenant) -> None:
    await site.embed_fn.stop()
    async with stays.client(tenant) as http:
        file, gone = [await uploaded(http, text) for text in ("patient", "unwanted")]
        async with asyncio.timeout(WAIT_S):
            while (await http.get(f"/v1/files/{file['id']}")).json()["status_details"] is None:
                await asyncio.sleep(0.05)
        assert (await http.get(f"/v1/files/{file['id']}")).json()["status"] == "uploaded"
        # What was not deleted there stays hidden here, and goes later.
        assert (await http.delete(f"/v1/files/{gone['id']}")).json()["deleted"]
        assert dict(await rows(site, tenant))[gone["id"]] == "deleted"
        await site.embed_fn.start()
        done = await ended(http, file["id"])
        assert (done["status"], done["status_details"]) == ("processed", None)
        async with asyncio.timeout(WAIT_S):
            while len(await rows(site, tenant)) > 1:
                await asyncio.sleep(0.05)
        assert site.originals(tenant) == [file["id"]]


async def test_a_tenant_with_many_files_does_not_keep_others_waiting(site: Site, stays: Edge, tenant: Tenant) -> None:
    other = await site.database.tenant()
    async with stays.client(tenant) as many, stays.client(other) as few:
        files = [await uploaded(many, f"wait {number}") for number in range(3 * CONCURRENCY)]
        for file in files[:CONCURRENCY]:
            await site.documents.wait_for(file["id"])
        single = await uploaded(few, "at once")
        assert site.documents.most_at_work == CONCURRENCY
        site.documents.go.set()
        assert (await ended(few, single["id"]))["status"] == "processed"
        place = [header.document_id for _, header in site.documents.ingests].index(single["id"])
        assert place <= 2 * CONCURRENCY, "behind what was under way only"
        for file in files:
            assert (await ended(many, file["id"]))["status"] == "processed"


async def test_one_that_is_started_again_goes_on(site: Site, stays: Edge, tenant: Tenant) -> None:
    async with stays.client(tenant) as http:
        file = await uploaded(http, "wait for the restart")
    await site.documents.wait_for(file["id"])
    await stays.process.kill()
    site.documents.go.set()
    await stays.start(ready=False)
    async with stays.client(tenant) as http:
        assert (await ended(http, file["id"]))["status"] == "processed"


async def test_a_database_that_is_away_for_a_while_loses_nothing(site: Site, stays: Edge, tenant: Tenant) -> None:
    async with stays.client(tenant) as http:
        file = await uploaded(http, "wait for the database")
        await site.documents.wait_for(file["id"])
        await site.database.kill()
        site.documents.go.set()
        refused = await http.post("/v1/files", files={"file": ("a.txt", b"new")})
        assert refused.status_code == 503
        assert site.originals(tenant) == [file["id"]]
        await site.database.resume()
        async with asyncio.timeout(WAIT_S):
            while True:
                answer = await http.get(f"/v1/files/{file['id']}")
                if answer.status_code == 200 and answer.json()["status"] == "processed":
                    break
                await asyncio.sleep(0.1)


async def test_a_file_goes_when_its_time_is_over(site: Site, stays: Edge, tenant: Tenant) -> None:
    kept = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    async with stays.client(tenant) as http:
        file = await uploaded(http, "gone in an hour", **kept)
        assert file["expires_at"] == pytest.approx(file["created_at"] + 3600, abs=1)
        await ended(http, file["id"])
        again = await uploaded(http, "gone in an hour", **(kept | {"expires_after[seconds]": "7200"}))
        assert (again["id"], again["already_existed"]) == (file["id"], True)
        assert again["expires_at"] >= file["expires_at"] + 3600
        stay = await uploaded(http, "for good")
        await ended(http, stay["id"])
        await expire(site, tenant, file["id"], stay["id"])
        assert (await http.get(f"/v1/files/{file['id']}")).status_code == 404, "at once, whoever clears it away"
        async with asyncio.timeout(WAIT_S):
            while await rows(site, tenant) or site.originals(tenant):
                await asyncio.sleep(0.05)
        assert not {(tenant.id, file["id"]), (tenant.id, stay["id"])} & set(site.documents.documents)


async def expire(site: Site, tenant: Tenant, *file_ids: str) -> None:
    async with await psycopg.AsyncConnection.connect(site.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        await connection.execute("update files set expires_at = now() where id = any(%s)", [list(file_ids)])


async def test_a_file_that_comes_again_for_good_stays(site: Site, stays: Edge, tenant: Tenant) -> None:
    kept = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    async with stays.client(tenant) as http:
        await uploaded(http, "once for an hour", **kept)
        assert (await uploaded(http, "once for an hour"))["expires_at"] is None
        assert (await uploaded(http, "once for an hour", **kept))["expires_at"] is None
        for wrong in ({"expires_after[seconds]": "3600"}, {**kept, "expires_after[seconds]": "59"}):
            answer = await http.post("/v1/files", files={"file": ("a", b"x")}, data=wrong)
            assert (answer.status_code, answer.json()["error"]["param"][:13]) == (400, "expires_after")


async def test_a_replica_that_names_another_store_does_not_start(
    site: Site, stays: Edge, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert stays.url
    with pytest.raises(StartError) as refused:
        await site.edge(DORMOUSE_FILES=str(tmp_path_factory.mktemp("elsewhere")))
    [reason] = [line for line in refused.value.log if "can't start" in line]
    assert "but the files of this database are in another store" in reason
    assert str(site.folder) in reason
