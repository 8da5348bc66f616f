"""`dormouse admin service-keys cluster`: the platform's keys in a Secret of Kubernetes, made once and renewed in steps.

Runs as a pod whose account may read and write the Secret, which is there and at first empty. One call takes one step of
a rotation, so that the copies which Kubernetes mounts into pods (about a minute later) are never behind by two steps.
"""

import argparse
import base64
import json
import ssl
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from dormouse_runtime import issuers
from dormouse_runtime.identity import LEEWAY_S, MAX_LIFETIME_S
from dormouse_runtime.keys import write_key_pair

from edge.auth import keys as api_keys

from .errors import AdminError
from .output import Output

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MOUNT_DELAY_S: Final = 300.0
"""After so long every pod has a change of the Secret: kubelets look every minute, and cache what they see."""

_PRIVATE, _TRUSTED, _PEPPER, _API_KEY = "service-key.json", "trusted-keys.json", "pepper", "api-key"
_NEXT: Final = issuers.next_path(Path(_PRIVATE)).name
_MADE_AT, _STEP_AT = "dormouse/key-made-at", "dormouse/key-step-at"
_DAY_S: Final = 86_400.0
_MADE: Final = "made"


def add_arguments(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """What the command takes."""
    parser.add_argument("--secret", required=True, help="name of the Secret")
    parser.add_argument("--max-age-days", type=float, default=0, help="renew the key at this age; 0: never")
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    parser.add_argument("--api-server", default=f"{host}:{port}" if host else "", help="host:port; else the cluster's")
    parser.add_argument("--account", type=Path, default=ACCOUNT, help="folder with token, namespace and ca.crt")


async def run(options: argparse.Namespace, output: Output) -> None:
    """Fills the Secret if it is empty, else takes the rotation's next step if one is due."""
    if not options.api_server:
        raise AdminError("this runs in a pod of the cluster; elsewhere give --api-server and --account")
    with closing(_ApiServer(options.api_server, options.account)) as server:
        step = _next_step(server, options.secret, max_age_s=options.max_age_days * _DAY_S)
    if step == _MADE:
        output.done(f"Filled the Secret {options.secret}.", step=step)
    else:
        output.done(f"Step of the rotation: {step}." if step else "Nothing is due.", step=step or None)


def _next_step(server: "_ApiServer", name: str, *, max_age_s: float) -> str:
    secret, now = server.read(name), time.time()
    if not secret.data:
        fill(secret, now)
        server.replace(secret)
        return _MADE
    missing = sorted({_PRIVATE, _TRUSTED, _PEPPER, _API_KEY} - secret.data.keys())
    if missing:
        raise AdminError(f"the Secret {name} is there without {', '.join(missing)}: complete or delete it")
    step = take_step(secret, now=now, max_age_s=max_age_s)
    if step:
        server.replace(secret)
    return step


@dataclass(slots=True)
class Secret:
    """A Secret's content; `rest` is what else the API server has sent."""

    data: dict[str, bytes]
    annotations: dict[str, str]
    rest: Mapping[str, Any] = field(default_factory=dict)


def take_step(secret: Secret, *, now: float, max_age_s: float) -> str:
    """Changes the content by what is due: `published`, `switched` or `withdrawn`; empty: nothing is.

    max_age_s 0: no rotation begins, but one that has begun goes on.
    """
    since_step = now - float(secret.annotations.get(_STEP_AT, 0))
    with tempfile.TemporaryDirectory() as folder:
        private, trusted = Path(folder, _PRIVATE), Path(folder, _TRUSTED)
        for name in (_PRIVATE, _NEXT, _TRUSTED):
            if name in secret.data:
                Path(folder, name).write_bytes(secret.data[name])
        if _NEXT in secret.data:
            if since_step < MOUNT_DELAY_S:
                return ""
            issuers.switch(private, trusted)
            step = "switched"
        elif len(json.loads(secret.data[_TRUSTED])["issuers"][issuers.EDGE]["keys"]) > 1:
            # Edges sign with the old key until their copy has followed, and its tokens live on for a while.
            if since_step < MOUNT_DELAY_S + MAX_LIFETIME_S + LEEWAY_S:
                return ""
            issuers.withdraw(private, trusted, at_once=True)
            step = "withdrawn"
        else:
            if not max_age_s or now - float(secret.annotations.get(_MADE_AT, 0)) < max_age_s:
                return ""
            issuers.prepare(private, trusted)
            secret.annotations[_MADE_AT] = str(int(now))
            step = "published"
        for name in (_PRIVATE, _NEXT, _TRUSTED):
            path = Path(folder, name)
            if path.exists():
                secret.data[name] = path.read_bytes()
            else:
                secret.data.pop(name, None)
    secret.annotations[_STEP_AT] = str(int(now))
    return step


def fill(secret: Secret, now: float) -> None:
    """The first keys of an installation."""
    with tempfile.TemporaryDirectory() as folder:
        private, trusted = Path(folder, _PRIVATE), Path(folder, _TRUSTED)
        write_key_pair(private, trusted)
        secret.data = {
            _PRIVATE: private.read_bytes(),
            _TRUSTED: trusted.read_bytes(),
            _PEPPER: token_hex(32).encode(),
            _API_KEY: api_keys.generate().encode(),
        }
    secret.annotations |= {_MADE_AT: str(int(now)), _STEP_AT: str(int(now))}


class _ApiServer:
    """What is needed of the Kubernetes API, spoken directly: two requests are no reason for its client library."""

    def __init__(self, address: str, account: Path) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise AdminError(f"--api-server wants host:port, not {address!r}")
        try:
            self._token = (account / "token").read_text().strip()
            self._namespace = (account / "namespace").read_text().strip()
            context = ssl.create_default_context(cafile=str(account / "ca.crt"))
        except OSError as error:
            raise AdminError(f"{account}: {error}") from error
        self._path = f"/api/v1/namespaces/{self._namespace}/secrets"
        self._connection = HTTPSConnection(host.strip("[]"), int(port), timeout=20, context=context)

    def close(self) -> None:
        self._connection.close()

    def read(self, name: str) -> Secret:
        found = self._ask("GET", f"{self._path}/{name}")
        data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
        return Secret(data, dict(found["metadata"].get("annotations") or {}), found)

    def replace(self, secret: Secret) -> None:
        """Refused by the API server when somebody has changed it meanwhile: the version is sent along."""
        metadata = {**secret.rest["metadata"], "annotations": secret.annotations}
        body = {**secret.rest, "metadata": metadata, "data": _encoded(secret.data)}
        self._ask("PUT", f"{self._path}/{metadata['name']}", body)

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as error:
            raise AdminError(f"the API server does not answer: {error}") from error
        try:
            found = dict(json.loads(text))
        except (ValueError, TypeError):
            found = {}
        if answer.status >= 300:
            why = found.get("message", answer.reason)
            raise AdminError(f"the API server refuses to {method} the Secret ({answer.status}): {why}")
        if "metadata" not in found:
            raise AdminError("the API server's answer is no Secret: is that address the API server's?")
        return found


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in sorted(data.items())}
