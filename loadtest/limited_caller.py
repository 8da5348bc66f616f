"""A caller who is limited in every way, and reaches no limit: what limits cost is measured with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

PLAN: Final = "measured"
_SUBJECTS: Final = ("key", "user", "tenant")
_PLANS: Final = {
    "plans": {
        PLAN: {
            "requests": {"models": dict.fromkeys(_SUBJECTS, ("600000/min", "36000000/h"))},
            "tokens_per_minute": dict.fromkeys(_SUBJECTS, 1_000_000_000),
            "concurrent_runs": dict.fromkeys(_SUBJECTS, 10_000),
        }
    }
}


def limited_env(folder: Path) -> Mapping[str, str]:
    """Variables of an edge that counts addresses, and knows the plan."""
    path = folder / "plans.json"
    path.write_bytes(orjson.dumps(_PLANS))
    return {"DORMOUSE_PLANS": str(path), "DORMOUSE_IP_REQUESTS_PER_MINUTE": "1000000"}
