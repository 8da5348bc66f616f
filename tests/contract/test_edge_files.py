"""Files over the API: uploaded, followed, listed, downloaded, searched, deleted, and nobody else's."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from dormouse_runtime.identity import TokenVerifier

from tests.contract.embed_service import CHUNKS, ScriptedDocuments, serving_documents
from tests.stack import Edge, Platform, Stack, Tenant

LIMIT = 1_000_000
NOWHERE = "127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Bench:
    """A replica of the edge, what it called, and where it keeps files."""

    edge: Edge
    documents: ScriptedDocuments
    folder: Path

    def originals(self, tenant: Tenant) -> list[str]:
        folder = self.folder / tenant.id
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@asynccontextmanager
async def file_bench(stack: Stack, **env: str) -> AsyncIterator[Bench]:
    folder = stack.database.files
    documents = ScriptedDocuments(TokenVerifier.from_file(stack.credentials.trusted_keys, "embed_fn"))
    async with serving_documents(documents) as embed_fn, stack.fleet() as fleet:
        settings = {"DORMOUSE_FILES": str(folder), "DORMOUSE_MAX_FILE_BYTES": str(LIMIT), **env}
        yield Bench(await fleet.edge(NOWHERE, embed=embed_fn, env=settings, ready=False), documents, folder)


@pytest.fixture(scope="module")
async def bench(stack: Stack) -> AsyncIterator[Bench]:
    async with file_bench(stack) as bench:
        yield bench


@pytest.fixture
async def http(bench: Bench, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.edge.client(tenant) as http:
        yield http


async def uploaded(http: httpx.AsyncClient, text: str | bytes, name: str = "notes.md", **form: str) -> dict[str, Any]:
    content = text.encode() if isinstance(text, str) else text
    response = await http.post("/v1/files", files={"file": (name, content)}, data=form)
    assert response.status_code in (200, 201), response.text
    found: dict[str, Any] = response.json()
    return found


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            events.append((lines["event"], json.loads(lines["data"])))
    return events


async def ended(http: httpx.AsyncClient, file_id: str) -> dict[str, Any]:
    """The file when its ingestion has ended."""
    events = events_of((await http.get(f"/v1/files/{file_id}/events")).text)
    file: dict[str, Any] = events[-1][1]["file"]
    return file


async def test_an_uploaded_file_is_processed(bench: Bench, http: httpx.AsyncClient, tenant: Tenant) -> None:
    text = "# Dormice\n\nThey sleep.\n"
    form = {"purpose": "user_data", "metadata[topic]": "animals"}
    file = await uploaded(http, text, **form)
    assert (file["object"], file["bytes"], file["filename"], file["purpose"]) == ("file", 23, "notes.md", "user_data")
    assert (file["status"], file["metadata"], file["already_existed"]) == ("uploaded", {"topic": "animals"}, False)
    done = await ended(http, file["id"])
    assert (done["status"], done["chunk_count"], done["page_count"]) == ("processed", CHUNKS, 2)
    assert done["progress"] == {"phase": "stored", "done": CHUNKS, "total": CHUNKS}
    assert (await http.get(f"/v1/files/{file['id']}")).json() == done
    identity, header = next(call for call in bench.documents.ingests if call[1].document_id == file["id"])
    assert (identity.tenant, identity.user, header.name) == (tenant.id, tenant.user, "notes.md")
    assert (dict(header.metadata), header.sha256, header.size_bytes) == ({"topic": "animals"}, file["sha256"], 23)
    assert bench.documents.received[file["id"]] == text.encode()


async def test_an_upload_can_answer_with_its_progress(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/files?stream=true", files={"file": ("a.txt", b"streamed")})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    names = [name for name, _ in events]
    assert names[0] == "file.uploaded"
    assert list(dict.fromkeys(names))[1:] == [
        *("file.received", "file.parsed", "file.chunked", "file.embedded", "file.stored", "file.processed"),
    ]
    assert all(data["type"] == name for name, data in events)
    assert events[-1][1]["file"]["status"] == "processed"
    by_header = await http.post(
        "/v1/files", files={"file": ("a.txt", b"more")}, headers={"accept": "text/event-stream"}
    )
    assert events_of(by_header.text)[-1][0] == "file.processed"


async def test_who_comes_later_sees_where_it_is(bench: Bench, http: httpx.AsyncClient) -> None:
    file = await uploaded(http, "wait for the one who comes later")
    await bench.documents.wait_for(file["id"])
    seen: list[str] = []
    async with http.stream("GET", f"/v1/files/{file['id']}/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
                if seen[-1] == "file.embedded":
                    bench.documents.go.set()
    bench.documents.go.clear()
    assert seen[:5] == ["file.uploaded", "file.received", "file.parsed", "file.chunked", "file.embedded"]
    assert seen[-1] == "file.processed"


async def test_the_same_content_is_the_file_that_exists(bench: Bench, http: httpx.AsyncClient, tenant: Tenant) -> None:
    responses = await asyncio.gather(
        *(http.post("/v1/files", files={"file": (f"{number}.txt", b"the same")}) for number in range(6))
    )
    assert sorted(response.status_code for response in responses) == [200] * 5 + [201]
    assert sorted(response.json()["already_existed"] for response in responses) == [False] + [True] * 5
    (file_id,) = {response.json()["id"] for response in responses}
    assert bench.originals(tenant) == [file_id]
    assert (await uploaded(http, "the same"))["id"] == file_id
    await http.delete(f"/v1/files/{file_id}")
    assert (await uploaded(http, "the same"))["id"] != file_id


@pytest.mark.parametrize(
    ("text", "sentence"), [("refuse", "This is no text that can be read."), ("broken", "Its end is missing.")]
)
async def test_what_cannot_be_read_says_why(http: httpx.AsyncClient, text: str, sentence: str) -> None:
    file = await uploaded(http, text)
    done = await ended(http, file["id"])
    assert (done["status"], done["status_details"]) == ("error", sentence)
    again = await uploaded(http, text)
    assert again["id"] != file["id"]


async def test_a_function_that_dies_in_the_middle_is_asked_again(bench: Bench, http: httpx.AsyncClient) -> None:
    bench.documents.crashes = 2
    file = await uploaded(http, "crash twice")
    done = await ended(http, file["id"])
    assert (done["status"], done["status_details"]) == ("processed", None)
    assert len([call for call in bench.documents.ingests if call[1].document_id == file["id"]]) == 3


async def test_a_file_that_is_deleted_meanwhile_stops_and_leaves_nothing(
    bench: Bench, http: httpx.AsyncClient, tenant: Tenant
) -> None:
    file = await uploaded(http, "wait until deleted")
    await bench.documents.wait_for(file["id"])
    bench.documents.cut_off.clear()
    following = asyncio.create_task(http.get(f"/v1/files/{file['id']}/events"))
    await asyncio.sleep(0.1)
    response = await http.delete(f"/v1/files/{file['id']}")
    assert response.json() == {"id": file["id"], "object": "file", "deleted": True}
    async with asyncio.timeout(5):
        await bench.documents.cut_off.wait()
    assert events_of((await following).text)[-1][0] == "file.deleted"
    assert bench.originals(tenant) == []
    assert (await http.get(f"/v1/files/{file['id']}")).status_code == 404
    assert (await http.delete(f"/v1/files/{file['id']}")).status_code == 404


async def test_a_download_is_the_file_and_no_browser_runs_it(http: httpx.AsyncClient) -> None:
    content = bytes(range(256)) * 2000
    file = await uploaded(http, content, name="größe \u202egnp.html")
    await ended(http, file["id"])
    path = f"/v1/files/{file['id']}/content"
    whole = await http.get(path)
    assert (whole.status_code, whole.content) == (200, content)
    assert (whole.headers["x-content-type-options"], whole.headers["content-type"]) == ("nosniff", "text/html")
    assert whole.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert whole.headers["content-disposition"] == (
        "attachment; filename=\"gr__e gnp.html\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20gnp.html"
    )
    for asked, part in {
        "bytes=10-19": slice(10, 20), "bytes=511990-": slice(511_990, None), "bytes=-5": slice(-5, None),
        "bytes=0-999999999": slice(None),
    }.items():  # fmt: skip
        answer = await http.get(path, headers={"range": asked})
        assert (answer.status_code, answer.content) == (206, content[part]), asked
        assert answer.headers["content-range"].endswith(f"/{len(content)}")
    behind = await http.get(path, headers={"range": f"bytes={len(content)}-"})
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{len(content)}")
    for asked in ("bytes=5-4", "lines=1-2", "bytes=1-2,4-5", "bytes=-", "bytes=a-b"):
        assert (await http.get(path, headers={"range": asked})).content == content, asked
    stale = await http.get(path, headers={"range": "bytes=0-1", "if-range": '"other"'})
    assert stale.content == content


async def test_files_are_listed_by_page_order_and_purpose(http: httpx.AsyncClient) -> None:
    made = [(await uploaded(http, f"number {number}", purpose=f"p{number % 2}"))["id"] for number in range(4)]
    page = (await http.get("/v1/files", params={"limit": 3})).json()
    assert [file["id"] for file in page["data"]] == made[:0:-1]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (True, made[3], made[1])
    rest = (await http.get("/v1/files", params={"after": page["last_id"]})).json()
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == ([made[0]], False)
    upwards = (await http.get("/v1/files", params={"order": "asc", "after": made[0], "purpose": "p1"})).json()
    assert [file["id"] for file in upwards["data"]] == [made[1], made[3]]
    for params in ({"after": "nonsense"}, {"purpose": "\0"}, {"after": "file-" + "a" * 24}):
        assert (await http.get("/v1/files", params=params)).json()["data"] == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\folder\\report.pdf", "report.pdf"),
        ("a\u202etxt.exe", "atxt.exe"),
        ("..", "file"),
        ("x" * 400 + ".pdf", "x" * 251 + ".pdf"),
        ("日本語.txt", "日本語.txt"),
        ("e\u0301.txt", "é.txt"),
    ],
)
async def test_odd_names_are_made_harmless(
    bench: Bench, http: httpx.AsyncClient, tenant: Tenant, given: str, shown: str
) -> None:
    file = await uploaded(http, f"named {given}", name=given)
    assert file["filename"] == shown
    assert bench.originals(tenant) == [file["id"]]


def form(*parts: bytes, end: bytes = b"--B--\r\n") -> dict[str, Any]:
    return {
        "content": b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + end,
        "headers": {"content-type": "multipart/form-data; boundary=B"},
    }


FILE = b'content-disposition: form-data; name="file"; filename="a\0b.txt"\r\n\r\nhello'
FIELD = b'content-disposition: form-data; name="%b"\r\n\r\n%b'


async def test_a_null_character_in_a_name_is_dropped(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/files", **form(FILE, FIELD % (b"purpose", b"vision")))
    assert (response.json()["filename"], response.json()["purpose"]) == ("ab.txt", "vision")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {}}, 415),
        ({}, 415),
        ({"files": {"file": ("empty.txt", b"")}}, 400),
        ({"files": {"other": ("a.txt", b"a")}}, 400),
        ({"files": [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))]}, 400),
        ({"files": {"file": ("a.txt", b"a")}, "data": {"purpose": "No!"}}, 400),
        ({"files": {"file": ("a.txt", b"a")}, "data": {"metadata": "flat"}}, 400),
        ({"files": {"file": ("a.txt", b"a")}, "data": {"metadata[k]": "v" * 513}}, 400),
        ({"files": {"file": ("a.txt", b"a")}, "data": {f"metadata[{n}]": "v" for n in range(17)}}, 400),
        ({"files": {"file": ("a.txt", b"x" * (LIMIT + 1))}}, 413),
        ({"files": {"file": ("a.txt", b"x" * (LIMIT + 100_000))}}, 413),
        ({"content": b"nonsense", "headers": {"content-type": "multipart/form-data; boundary=B"}}, 400),
        ({"content": b"--B", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"", "headers": {"content-type": f"multipart/form-data; boundary={'B' * 300}"}}, 400),
        (form(FILE, end=b""), 400),
        (form(FILE, FIELD % (b"metadata[k]", b"\xff")), 400),
        (form(FILE, FIELD % (b"metadata[k]", b"a\0b")), 400),
        (form(FILE, FIELD % (b"purpose", b"a" * 20_000)), 400),
        (form(FILE, b"no-name: here\r\n\r\nx"), 400),
        (form(FILE, *(FIELD % (b"metadata[%d]" % number, b"") for number in range(70))), 400),
        (form(FILE, FIELD % (b"metadata[a\0]", b"x")), 400),
    ],
)
async def test_bad_uploads_are_refused_and_leave_nothing(
    bench: Bench, http: httpx.AsyncClient, tenant: Tenant, options: dict[str, Any], status: int
) -> None:
    response = await http.post("/v1/files", **options)
    assert response.status_code == status, response.text
    assert response.json()["error"]["message"]
    assert bench.originals(tenant) == []
    assert (await http.get("/v1/files")).json()["data"] == []


async def test_a_long_body_without_a_length_is_refused_when_it_gets_too_long(
    bench: Bench, http: httpx.AsyncClient, tenant: Tenant
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(30):
            yield b"x" * 50_000

    response = await http.post("/v1/files", content=body(), headers={"content-type": "multipart/form-data; boundary=B"})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")
    assert bench.originals(tenant) == []


async def test_an_upload_that_is_cut_off_leaves_nothing(bench: Bench, http: httpx.AsyncClient, tenant: Tenant) -> None:
    host, port = bench.edge.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tenant.api_key}\r\n"
        "content-type: multipart/form-data; boundary=B\r\ncontent-length: 900000\r\n\r\n"
        '--B\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    writer.write(head.encode() + b"x" * 600_000)
    await writer.drain()
    async with asyncio.timeout(10):
        while not bench.originals(tenant):  # what is under way stands under a name of its own
            await asyncio.sleep(0.01)
        writer.transport.abort()
        while bench.originals(tenant):
            await asyncio.sleep(0.01)
    assert (await http.get("/v1/files")).json()["data"] == []
    assert await reader.read() == b""


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/content"), ("GET", "/events"), ("GET", "/chunks/{chunk}"), ("DELETE", "")],
)
async def test_another_tenants_file_is_as_unknown_as_what_never_was(
    bench: Bench, stack: Stack, http: httpx.AsyncClient, method: str, path: str
) -> None:
    known = (await uploaded(http, "secret"))["id"]
    await ended(http, known)
    async with bench.edge.client(await stack.database.tenant()) as stranger:
        for name in (known, "file-" + "a" * 24, "nonsense", "%00"):
            response = await stranger.request(method, f"/v1/files/{name}{path.format(chunk=f'{known}.1')}")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "document_not_found"), name
        assert (await stranger.get("/v1/files")).json()["data"] == []
        assert (await stranger.post("/v1/search", json={"query": "sleep"})).json()["data"] == []
        again = (await uploaded(stranger, "secret"))["id"]
        assert again != known
    assert (await http.get(f"/v1/files/{known}/content")).content == b"secret"


async def test_a_citation_leads_to_its_passage(http: httpx.AsyncClient) -> None:
    file, other = [await uploaded(http, text) for text in ("cited", "not cited")]
    for name in (file["id"], other["id"]):
        await ended(http, name)
    passage = (await http.get(f"/v1/files/{file['id']}/chunks/{file['id']}.1")).json()
    assert (passage["file_id"], passage["filename"], passage["text"]) == (file["id"], "notes.md", "They sleep.")
    assert (passage["first_page"], passage["start_offset"], passage["end_offset"]) == (2, 11, 22)
    for chunk in (f"{other['id']}.1", "nonsense", "%00", "x" * 300):
        assert (await http.get(f"/v1/files/{file['id']}/chunks/{chunk}")).status_code == 404


async def test_a_search_finds_passages(bench: Bench, http: httpx.AsyncClient) -> None:
    file = await uploaded(http, "found")
    await ended(http, file["id"])
    wish = {"query": "Do they sleep?", "mode": "deep", "limit": 7, "metadata": {"topic": "x"}}
    answer = (await http.post("/v1/search", json=wish)).json()
    (hit,) = answer["data"]
    assert (answer["object"], answer["mode"]) == ("search.results", "deep")
    assert answer["took_ms"] > 0
    assert (hit["file_id"], hit["filename"], hit["chunk_id"]) == (file["id"], "notes.md", f"{file['id']}.1")
    assert (hit["score"], hit["vector_score"], hit["text_score"]) == (0.5, 0.25, None)
    assert (hit["headings"], hit["first_page"], hit["start_offset"]) == (["Dormice"], 2, 11)
    asked = bench.documents.searches[-1]
    assert (asked.query, asked.limit, dict(asked.metadata)) == ("Do they sleep?", 7, {"topic": "x"})
    only = await http.post("/v1/search", json={"query": "x", "file_ids": [file["id"]]})
    assert (len(only.json()["data"]), only.json()["mode"]) == (1, "balanced")
    none = await http.post("/v1/search", json={"query": "x", "file_ids": ["nonsense"]})
    assert none.json()["data"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"query": ""}, 400),
        ({"query": "  "}, 400),
        ({"query": "x" * 4097}, 400),
        ({"query": "x", "mode": "best"}, 400),
        ({"query": "x", "limit": 101}, 400),
        ({"query": "x", "metadata": {"a": 1}}, 400),
        ({"query": "away"}, 503),
    ],
)
async def test_bad_searches_are_refused(http: httpx.AsyncClient, body: dict[str, Any], status: int) -> None:
    response = await http.post("/v1/search", json=body)
    assert (response.status_code, "error" in response.json()) == (status, True)


async def test_openais_sdk_uploads_lists_reads_and_deletes(bench: Bench, tenant: Tenant) -> None:
    async with openai.AsyncOpenAI(base_url=f"{bench.edge.url}/v1", api_key=tenant.api_key) as client:
        made = await client.files.create(file=("sdk.txt", io.BytesIO(b"from the SDK")), purpose="assistants")
        assert (await client.files.wait_for_processing(made.id, poll_interval=0.05)).status == "processed"
        assert [file.id async for file in client.files.list(limit=1)] == [made.id]
        assert (await client.files.retrieve(made.id)).filename == "sdk.txt"
        assert (await client.files.content(made.id)).content == b"from the SDK"
        assert (await client.files.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(made.id)


async def test_curl_uploads_with_one_line(bench: Bench, tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("from curl")
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sN", f"{bench.edge.url}/v1/files?stream=true", "-H", f"Authorization: Bearer {tenant.api_key}"),
        *("-F", "file=@notes.md", "-F", "metadata[from]=curl"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    events = events_of((await process.communicate())[0].decode())
    assert events[-1][0] == "file.processed"
    assert events[-1][1]["file"]["metadata"] == {"from": "curl"}


async def test_without_a_key_nothing_is_read(bench: Bench) -> None:
    async with bench.edge.client() as nobody:
        assert (await nobody.post("/v1/files", files={"file": ("a", b"a")})).status_code == 401


async def test_a_platform_without_files_says_so(platform: Platform, tenant: Tenant) -> None:
    async with platform.edge.client(tenant) as http:
        for answer in (await http.get("/v1/files"), await http.post("/v1/files", files={"file": ("a", b"a")})):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "files_unavailable")
            assert answer.headers["x-should-retry"] == "false"
        assert (await http.post("/v1/search", json={"query": "x"})).status_code == 503
