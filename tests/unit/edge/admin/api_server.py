"""What the keys' job needs of the Kubernetes API, over HTTPS: one Secret, read and replaced by who has the token."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.stack.certificates import make_certificate

NAMESPACE = "apart"


class ApiServer:
    """Holds the Secret. Its answers to errors have the shape of `Status`, as the real one's."""

    def __init__(self, account: Path, address: str) -> None:
        self.account, self.address = account, address
        self.token = "made-up-token"
        self.changed_meanwhile = False
        self.asked: list[str] = []
        self.secret: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": "dm-keys", "namespace": NAMESPACE, "resourceVersion": "7", "labels": {"a": "b"}},
        }

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[HTTPStatus, dict[str, Any]]:
        self.asked.append(method)
        if token != f"Bearer {self.token}":
            return _status(HTTPStatus.UNAUTHORIZED, "Unauthorized")
        name = self.secret["metadata"]["name"]
        if path != f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}":
            return _status(HTTPStatus.NOT_FOUND, f'secrets "{path.rpartition("/")[2]}" not found')
        if method == "PUT":
            version = self.secret["metadata"]["resourceVersion"]
            if body["metadata"]["resourceVersion"] != version or self.changed_meanwhile:
                return _status(HTTPStatus.CONFLICT, "the object has been modified; please apply your changes to it")
            body["metadata"]["resourceVersion"] = str(int(version) + 1)
            self.secret = body
        return HTTPStatus.OK, self.secret


def _status(code: HTTPStatus, message: str) -> tuple[HTTPStatus, dict[str, Any]]:
    return code, {"kind": "Status", "status": "Failure", "message": message, "code": code.value}


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Serves until the end; the account's folder is as Kubernetes mounts it."""
    certificate, key = make_certificate(folder, "kubernetes")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length", 0)))
            token = self.headers.get("authorization", "")
            code, answer = peer.answer(self.command, self.path, token, json.loads(text) if text else None)
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_GET  # noqa: N815 - the name that the library looks for

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    account = folder / "account"
    account.mkdir()
    peer = ApiServer(account, f"127.0.0.1:{server.server_address[1]}")
    (account / "token").write_text(f"{peer.token}\n")
    (account / "namespace").write_text(NAMESPACE)
    (account / "ca.crt").write_bytes(certificate.read_bytes())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
