"""What a run has read of strangers, and what it therefore may not do without a person.

A text can talk a model into anything, but not this: it is decided by which tools brought something before the model
asked for a call, by who has named an address, and by the rules of the run. So it is the same in every attempt.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from agent_fn.conversation import Message, text_of
from agent_fn.safety.rules import SafetyRules, TaintRule
from agent_fn.tools.port import ToolDescription

_URL: Final = re.compile(r"https?://[^\s\"'`<>()\\\]\[{}|]+", re.IGNORECASE)
_DOMAIN: Final = re.compile(
    r"(?<![\w@.-])(?:[a-z0-9-]{1,63}\.){1,8}[a-z][a-z0-9-]{1,23}(?::\d{1,5})?(?![\w-])", re.IGNORECASE
)
_ADDRESS: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w.])")
_LOOSE: Final = ".,;:!?*_"
# So many addresses of one host that strangers gave are followed. Each choice among many could tell them something.
_MOST_FOLLOWED: Final = 5
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NOT_RUN: Final = "There is no tool "


class Exposure:
    """Of one run. `learn` what stands in its conversation, `brought` for what its own tools bring."""

    def __init__(self, rules: SafetyRules, run_id: str) -> None:
        self._rules = rules
        self._own = f"{run_id}."
        self._strangers: set[str] = set()
        """Names of tools that have brought something before this run."""
        self._is_exposed = False
        self._named_hosts: set[str] = set()
        self._named_urls: set[str] = set()
        self._strange_urls: set[str] = set()
        self._followed: dict[str, set[str]] = {}
        self._learnt: set[str] = set()
        self.confidential: dict[str, None] = {}
        """The client's system prompts."""

    def learn(self, conversation: Sequence[Message]) -> None:
        """Reads a conversation as it is kept, without what an agent adds for a model. Twice is as good as once."""
        for message in conversation:
            if message["id"] in self._learnt:
                continue
            self._learnt.add(message["id"])
            text = text_of(message)
            match message["role"]:
                case "tool" if not message["id"].startswith(self._own):
                    if not text.startswith(_NOT_RUN):
                        self._strangers.add(message.get("name") or "")
                        self._strange_urls |= _urls(text)
                case "user":
                    self._name(text)
                case "system":
                    self._name(text)
                    if text.strip():
                        self.confidential.setdefault(text)
                case _:
                    pass

    def brought(self, tool: ToolDescription, text: str) -> None:
        """A tool of this run has brought a text, which the model reads next."""
        if tool.quotes_strangers:
            self._is_exposed = True
        self._strange_urls |= _urls(text)

    def question_about(
        self, tool: ToolDescription, arguments: Mapping[str, Any], known: Mapping[str, ToolDescription]
    ) -> str:
        """Why a person has to approve the call, as the end of a sentence; "" where nobody has to. known: the tools."""
        if self._rules.tainted is TaintRule.OPEN or not self._is_tainted(known):
            return ""
        if tool.reaches_out and not self._may_reach(str(arguments.get("url", "")), tool):
            return "after it has read what others wrote, to send something to an address that you have not named"
        if not tool.has_side_effects:
            return ""
        is_waived = tool.approval_waived and self._rules.tainted is TaintRule.GUARDED
        return "" if is_waived else "after it has read what others wrote"

    def _is_tainted(self, known: Mapping[str, ToolDescription]) -> bool:
        # A tool that is not there any more, or the client's own, may have quoted anybody.
        return self._is_exposed or any(name not in known or known[name].quotes_strangers for name in self._strangers)

    def _may_reach(self, url: str, tool: ToolDescription) -> bool:
        host = _host_of(url)
        if not host:
            return True  # the tool refuses it
        if host in self._named_hosts or any(_fits(host, pattern) for pattern in self._rules.trusted_hosts):
            return True
        if tool.has_side_effects:
            return False  # what goes along may hold anything, wherever the address comes from
        plain = _plain(url)
        if plain not in self._strange_urls:
            return plain in self._named_urls
        followed = self._followed.setdefault(host, set())
        if len(followed) < _MOST_FOLLOWED:
            followed.add(plain)
        return plain in followed

    def _name(self, text: str) -> None:
        """People and whoever wrote the system prompt have named these."""
        urls = _urls(text)
        self._named_urls |= urls
        hosts = {_host_of(url) for url in urls}
        hosts |= {found[0] for pattern in (_DOMAIN, _ADDRESS) for found in pattern.finditer(text.lower())}
        self._named_hosts |= hosts - {""}


def _urls(text: str) -> set[str]:
    return {_plain(found[0].rstrip(_LOOSE)) for found in _URL.finditer(text)} if "://" in text else set()


def _plain(url: str) -> str:
    return url.partition("#")[0].strip()


def _host_of(url: str) -> str:
    """The host in lower case, with its port where that is not the scheme's own; "" where there is none."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    return f"{host}:{port}" if host and port not in (None, _DEFAULT_PORTS.get(parts.scheme)) else host


def _fits(host: str, pattern: str) -> bool:
    pattern = pattern.lower()
    bare = host.rpartition(":")[0] if ":" in host and ":" not in pattern else host
    return bare == pattern or (pattern.startswith("*.") and bare.endswith(pattern[1:]))
