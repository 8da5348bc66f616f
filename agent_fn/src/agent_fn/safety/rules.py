"""The rules of a run, as whoever asked for it has set them; see dormouse.agent.v1.Safety."""

import hashlib
from dataclasses import dataclass
from enum import Enum, auto

from dormouse_runtime.filters import Action, Rule


class TaintRule(Enum):
    """What a run that has read what strangers wrote still may do by itself."""

    OPEN = auto()
    GUARDED = auto()
    STRICT = auto()


def mark_of(run_id: str) -> str:
    """For a run whose caller gives no mark: the same in every attempt, and nobody knows a run's id before it begins."""
    return hashlib.blake2b(run_id.encode(), digest_size=8, person=b"dormouse mark").hexdigest()


@dataclass(frozen=True, slots=True)
class SafetyRules:
    """mark: what quoted text is fenced with; empty: one is made of the run's id. trusted_hosts: where tools may send to
    without a question, as patterns. output: filters. leak: what is done about a leak of the system prompt; None: nobody
    looks. canary: stands at its head; may be empty. log_content: whether logs and traces may hold what was said.
    """

    mark: str = ""
    tainted: TaintRule = TaintRule.GUARDED
    trusted_hosts: tuple[str, ...] = ()
    output: tuple[Rule, ...] = ()
    leak: Action | None = None
    canary: str = ""
    log_content: bool = False
