"""Where originals are kept: whole or not at all, in a folder and in an S3 server."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from edge.files.originals import PART_BYTES, OriginalMissingError, Originals, StorageAwayError

from tests.integration.files.conftest import S3

FILE = "file-" + "a" * 24


@pytest.fixture(params=["folder", "s3"])
def originals(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Originals:
    if request.param == "folder":
        return Originals(str(tmp_path / "deep" / "down"))
    s3: S3 = request.getfixturevalue("s3")
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return Originals(f"s3://bucket/some/prefix-{secrets.token_hex(4)}")


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def whole(originals: Originals, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in await originals.read("t", FILE, start, end)])


@pytest.mark.parametrize("size", [0, 1, 2 * PART_BYTES + 17])
async def test_what_was_put_is_read_in_whole_and_in_part(originals: Originals, size: int) -> None:
    content = secrets.token_bytes(size)
    await originals.put("t", FILE, pieces(content))
    assert await whole(originals) == content
    if size > 1:
        assert await whole(originals, 5, PART_BYTES + 5) == content[5 : PART_BYTES + 5]
        assert await whole(originals, size - 3) == content[-3:]
    await originals.delete("t", FILE)
    await originals.delete("t", FILE)
    with pytest.raises(OriginalMissingError):
        await whole(originals)


async def test_content_that_breaks_off_leaves_nothing(originals: Originals) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 * PART_BYTES)
        raise RuntimeError("the client has gone")

    with pytest.raises(RuntimeError, match="gone"):
        await originals.put("t", FILE, broken())
    with pytest.raises(OriginalMissingError):
        await whole(originals)


async def test_no_parts_of_a_broken_upload_stay_in_s3(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 * PART_BYTES)
        assert "<UploadId>" in await s3.listed(uploads="")
        raise RuntimeError("the client has gone")

    with pytest.raises(RuntimeError, match="gone"):
        await Originals("s3://bucket/broken").put("t", FILE, broken())
    assert "<UploadId>" not in await s3.listed(uploads="")


async def test_what_a_killed_upload_has_left_goes_with_the_file(tmp_path: Path) -> None:
    originals = Originals(str(tmp_path))
    await originals.put("t", FILE, pieces(b"whole"))
    (tmp_path / "t" / f"{FILE}#1").write_bytes(b"part")
    await originals.delete("t", FILE)
    assert list((tmp_path / "t").iterdir()) == []


async def test_a_store_that_is_away_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    for place in (str(blocked / "inside"), "s3://bucket/x"):
        originals = Originals(place)
        async with asyncio.timeout(20):
            with pytest.raises(StorageAwayError):
                await originals.put("t", FILE, pieces(b"content"))
            with pytest.raises(StorageAwayError):
                await originals.read("t", FILE)
            with pytest.raises(StorageAwayError):
                await originals.delete("t", FILE)
