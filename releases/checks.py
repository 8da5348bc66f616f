"""What is looked at: the candidate under the gate's load, and the platform's own figures between steps."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Final

SETTLE_S: Final = 30.0
SERVER_ERRORS: Final = (
    'sum(rate(dormouse_edge_requests_total{status=~"5.."}[2m]))'
    " / clamp_min(sum(rate(dormouse_edge_requests_total[2m])), 0.001)"
)


def answers(url: str, api_key: str, *, streams: int = 5, timeout_s: float = 60.0) -> str:
    """Why the platform is not as it should be, after a few real streams; nothing when all came to their end."""
    body = json.dumps(
        {
            "model": "chat",
            "stream": True,
            "messages": [{"role": "user", "content": "Say hello."}],
        }
    ).encode()
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    for number in range(1, streams + 1):
        request = urllib.request.Request(f"{url}/v1/chat/completions", body, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310  # the operator's platform
                whole = response.read()
        except (OSError, http.client.HTTPException) as error:
            return f"stream {number} of {streams} failed: {error}"
        if not whole.rstrip().endswith(b"data: [DONE]") or b'"error"' in whole:
            return f"stream {number} of {streams} did not come to its end"
    return ""


def asked(prometheus: str, limits: Mapping[str, float]) -> str:
    """Why Prometheus says no: the first query whose value is above its limit. No value passes."""
    for query, limit in limits.items():
        url = f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310
                found = json.loads(response.read())["data"]["result"]
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            return f"Prometheus cannot be asked: {error}"
        for each in found:
            if float(each["value"][1]) > limit:
                return f"{query} is {each['value'][1]}, above {limit}"
    return ""
