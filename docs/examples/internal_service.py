"""An internal service that calls a function over gRPC: it asks embed_fn for the passages that answer a question.

    python internal_service.py "Who sleeps through the winter?"

Wants grpcio, PyJWT with cryptography, and the package dormouse-stubs; docs/guides/internal-services.md says how the
service is registered. Environment:

    SERVICE_ISSUER   the name it is registered under, for instance support-bot
    SERVICE_KEY      file with its private JWK
    EMBED_TARGET     where embed_fn is, for instance embed-fn.dormouse.svc.cluster.local:80
    DORMOUSE_TENANT  the tenant whose documents it asks for
"""

import json
import os
import sys
import time

import grpc
import jwt
from dormouse.embed.v1 import embed_service_pb2, embed_service_pb2_grpc

TOKEN_LIFETIME_S = 300
TIMEOUT_S = 30


def service_token(*, audience: str, tenant: str, user: str, scopes: list[str]) -> str:
    """A token for one function and one tenant. Make one for each call or keep it for minutes: it lives for 15 at most.

    The key is read anew each time, so that it can be replaced while the service runs.
    """
    with open(os.environ["SERVICE_KEY"]) as file:
        jwk = json.load(file)
    now = int(time.time())
    claims = {
        "iss": os.environ["SERVICE_ISSUER"],
        "aud": audience,  # the function that is called: agent_fn, tool_fn or embed_fn
        "sub": user,  # on whose behalf, for its logs
        "tenant": tenant,
        "scope": " ".join(scopes),
        "run": "",  # the run that this is part of, where there is one
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_LIFETIME_S,
    }
    # Exactly these: a token with any other header is refused.
    headers = {"kid": jwk["kid"], "typ": "dormouse-service+jwt"}
    return jwt.encode(claims, jwt.PyJWK(jwk, algorithm="EdDSA").key, algorithm="EdDSA", headers=headers)


def main() -> int:
    question = " ".join(sys.argv[1:])
    token = service_token(
        audience="embed_fn",
        tenant=os.environ["DORMOUSE_TENANT"],
        user="support-bot",
        scopes=["documents:read"],
    )
    # Plain h2c, as inside a cluster; with TLS it is grpc.secure_channel.
    with grpc.insecure_channel(os.environ["EMBED_TARGET"]) as channel:
        stub = embed_service_pb2_grpc.EmbedServiceStub(channel)
        try:
            found = stub.Search(
                embed_service_pb2.SearchRequest(query=question, limit=3),
                timeout=TIMEOUT_S,  # a call without a deadline is refused
                metadata=[("authorization", f"Bearer {token}")],
                wait_for_ready=True,  # the function may be asleep
            )
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    for hit in found.hits:
        print(f"{hit.passage.document_name}: {' '.join(hit.passage.text.split())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
