"""What the client pod runs, with nothing but the standard library and grpcio: `python - WHAT ARGUMENTS_AS_JSON`."""

import concurrent.futures
import http.client
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def chat(url: str, key: str, model: str, text: str, timeout_s: float = 300) -> dict[str, Any]:
    """One streamed answer: its text, whether it came to its end, and seconds until things came."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": text}]})
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    began = time.monotonic()
    found: dict[str, Any] = {"text": "", "done": False, "error": "", "comments": [], "first_byte": -1.0, "token": -1.0}
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        found["status"] = answer.status
        while line := answer.readline():
            now = time.monotonic() - began
            if found["first_byte"] < 0:
                found["first_byte"] = now
            if line.startswith(b":"):
                found["comments"].append(line.decode().strip())
            elif line.startswith(b"data: [DONE]"):
                found["done"] = True
            elif line.startswith(b"data: "):
                chunk = json.loads(line[6:])
                if chunk.get("error"):
                    found["error"] = chunk["error"]["message"]
                for choice in chunk.get("choices", ()):
                    if piece := choice["delta"].get("content"):
                        if found["token"] < 0:
                            found["token"] = now
                            print(json.dumps({"first": piece}), flush=True)
                        found["text"] += piece
            elif answer.status != 200:
                found["error"] = line.decode()
    except (OSError, http.client.HTTPException) as error:
        found["error"] = repr(error)
    finally:
        connection.close()
    found["seconds"] = time.monotonic() - began
    return found


def load(url: str, key: str, seconds: float, streams: int, text: str) -> dict[str, Any]:
    """Answers one after the other on several connections; how many there were, and what went wrong."""
    ends = time.monotonic() + seconds

    def go_on() -> list[dict[str, Any]]:
        found = []
        while time.monotonic() < ends:
            found.append(chat(url, key, "chat", text))
        return found

    with concurrent.futures.ThreadPoolExecutor(streams) as pool:
        answers = [answer for future in [pool.submit(go_on) for _ in range(streams)] for answer in future.result()]
    failed = [a for a in answers if not a["done"] or a["error"]]
    texts = sorted({a["text"] for a in answers if a not in failed})
    return {"answers": len(answers), "failed": failed[:5], "texts": texts}


def grpc_call(target: str, timeout_s: float, **_: Any) -> dict[str, Any]:
    """A call of agent_fn without a token; the status code, or UNREACHABLE."""
    import grpc

    channel = grpc.insecure_channel(target)
    call: Any = channel.unary_unary("/dormouse.agent.v1.AgentService/ListAgents")
    try:
        call(b"", timeout=timeout_s)
        return {"code": "OK"}
    except grpc.RpcError as error:
        code = error.code().name
        return {"code": "UNREACHABLE" if code in ("DEADLINE_EXCEEDED", "UNAVAILABLE") else code}


def health(target: str, timeout_s: float, **_: Any) -> dict[str, Any]:
    """Seconds until a gRPC service says that it serves."""
    import grpc
    from grpc_health.v1.health_pb2 import HealthCheckRequest
    from grpc_health.v1.health_pb2_grpc import HealthStub

    began = time.monotonic()
    channel = grpc.insecure_channel(target)
    answer = HealthStub(channel).Check(HealthCheckRequest(), timeout=timeout_s)
    return {"status": answer.status, "seconds": time.monotonic() - began}


def reach(targets: dict[str, tuple[str, int]], timeout_s: float, **_: Any) -> dict[str, Any]:
    """Those to which a TCP connection can be made."""
    import socket

    def is_reached(target: tuple[str, int]) -> bool:
        try:
            socket.create_connection(target, timeout_s).close()
        except OSError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
        found = pool.map(is_reached, [(host, port) for host, port in targets.values()])
        return {"reached": [name for name, reached in zip(targets, found, strict=True) if reached]}


def addresses(names: list[str], **_: Any) -> dict[str, Any]:
    """IPv4 addresses of names, and of who was asked."""
    import socket

    lines = Path("/etc/resolv.conf").read_text().splitlines()
    asked = next(line.split()[1] for line in lines if line.startswith("nameserver"))
    return {"asked": asked, "addresses": {name: socket.gethostbyname(name) for name in names}}


if __name__ == "__main__":
    functions: dict[str, Callable[..., dict[str, Any]]] = {
        "chat": chat,
        "load": load,
        "grpc_call": grpc_call,
        "health": health,
        "reach": reach,
        "addresses": addresses,
    }
    print(json.dumps(functions[sys.argv[1]](**json.loads(sys.argv[2]))), flush=True)
