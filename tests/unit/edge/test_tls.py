"""Our own certificate: what is spoken, and a new one without a restart."""

import asyncio
import logging
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from edge.tls import Certificate
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.stack.certificates import make_certificate
from tests.unit.edge.http_server import serving


async def scheme(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(scope["scheme"])(scope, receive, send)


async def ask(address: str, context: ssl.SSLContext) -> tuple[str, str, bytes]:
    """The name in the certificate, the version of TLS, and the answer."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        wire: ssl.SSLObject = writer.get_extra_info("ssl_object")
        shown = x509.load_der_x509_certificate(wire.getpeercert(binary_form=True) or b"")
        name = shown.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        return str(name), wire.version() or "", answer.rpartition(b"\r\n")[2]
    finally:
        writer.close()


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def test_tls_1_2_and_1_3_are_spoken_with_forward_secrecy_and_nothing_older(tmp_path: Path) -> None:
    files = make_certificate(tmp_path, "first")
    async with serving(scheme, tls=Certificate(*files).context) as address:
        client = trusting(files[0])
        assert await ask(address, client) == ("first", "TLSv1.3", b'"https"')
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await ask(address, client))[1] == "TLSv1.2"
        client.set_ciphers("ECDHE-ECDSA-AES128-SHA256")  # encryption and authentication apart
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await ask(address, client)
        old = trusting(files[0])
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await ask(address, old)


async def test_a_new_certificate_is_served_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.tls.CHECK_S", 0.01)
    files = make_certificate(tmp_path, "first")
    certificate = Certificate(*files)
    watching = asyncio.create_task(certificate.watch())
    try:
        async with serving(scheme, tls=certificate.context) as address:
            assert (await ask(address, trusting(files[0])))[0] == "first"
            make_certificate(tmp_path, "second")
            async with asyncio.timeout(5):
                while True:
                    try:
                        name = (await ask(address, trusting(files[0])))[0]
                    except ssl.SSLError:  # the old one is not the one that is trusted now
                        continue
                    break
            assert name == "second"
    finally:
        watching.cancel()


async def test_what_is_no_certificate_leaves_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = make_certificate(tmp_path, "first")
    certificate, client = Certificate(*files), trusting(files[0])
    good = files[0].read_bytes()
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other", "other")
    async with serving(scheme, tls=certificate.context) as address:
        with caplog.at_level(logging.ERROR):
            for broken in (b"", b"nonsense", good[:200], other[0].read_bytes()):  # the last is of another key
                files[0].write_bytes(broken)
                assert not certificate.refresh()
                assert (await ask(address, client))[0] == "first"
            files[0].unlink()
            assert not certificate.refresh()
        assert "no good, the one before stays" in caplog.text
        files[0].write_bytes(good)
        assert certificate.refresh()


def test_a_key_that_does_not_fit_or_has_a_password_stops_the_start(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "first")
    (tmp_path / "other").mkdir()
    with pytest.raises(OSError, match="mismatch"):
        Certificate(certificate, make_certificate(tmp_path / "other", "other")[1])
    read = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        read.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    with pytest.raises(OSError, match="has a password"):
        Certificate(certificate, key)
