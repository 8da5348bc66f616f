"""Our own certificate, where no proxy has one for us: read from files, and again when they change."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final

from .metrics import CERTIFICATE_EXPIRES

CHECK_S: Final = 10.0
"""How often the files are looked at."""

# TLS 1.2 with forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

_log = logging.getLogger(__name__)


class Certificate:
    """`context` serves it: connections that are made after a change get the new one, the others keep theirs."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Reads both files. Raises OSError (of which ssl.SSLError is one) where they are no certificate and its key."""
        self._files = certificate, key
        self._seen = self._look()
        self.context = self._make()
        self._tell_expiry()

    def refresh(self) -> bool:
        """Reads the files again if they have changed. False: nothing was, or what is there now is no good: it is said.

        Both are rarely written at once; what does not fit yet is tried again with the next change.
        """
        try:
            now = self._look()
            if now == self._seen:
                return False
            self._seen = now
            self._make()  # a mistake must not spoil the one in use
            self._load(self.context)
            self._tell_expiry()
        except OSError as error:
            _log.error("the new TLS certificate is no good, the one before stays: %s", error)
            return False
        _log.info("TLS certificate read again")
        return True

    async def watch(self) -> None:
        """Refreshes until cancelled."""
        while True:
            await asyncio.sleep(CHECK_S)
            self.refresh()

    def _look(self) -> list[tuple[int, int, int]]:
        return [(at.st_ino, at.st_mtime_ns, at.st_size) for at in (path.stat() for path in self._files)]

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._files
        context.load_cert_chain(certificate, key, password=_no_password)

    def _tell_expiry(self) -> None:
        from cryptography import x509  # only where there is a certificate

        read = x509.load_pem_x509_certificate(self._files[0].read_bytes())
        CERTIFICATE_EXPIRES.set(read.not_valid_after_utc.timestamp())


def _no_password() -> str:
    """Otherwise OpenSSL would ask on a terminal."""
    raise OSError("the key has a password, and nobody is there to type it")
