"""A scene as a Markdown page: the command that asks, what happens, and the answer; the same in every run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from loadtest.transcripts.exchanges import Event, Exchange
from loadtest.transcripts.readable import finish_reason, native_lines, text_of
from loadtest.transcripts.scenes import Scene

PROVIDER = "127.0.0.1:8790"
"""Where the provider server listens by default: pages name it in place of the one that was there."""
_HEAD = "<!-- Written by `make transcripts`; a test checks that it is current. -->\n\n# {title}\n\n{about}\n"
_INDEX = f"""
Recorded through the public API with the development model server, which is a small program and no language model: it
shows what the platform does, not how well a model writes. What the tools found is made up, too, by the development
provider server. The commands run as they stand, without a network, when the platform was started like this:

```sh
.venv/bin/python -m devstack.provider_server &   # on {PROVIDER}
DORMOUSE_TOOLS_CONFIG=docs/transcripts/tools.yaml make up
. .dormouse/env
```

Only `find_user` and `items_of_user` need a database of yours, and a configuration that declares them. Ids are
shortened.

"""
_ID = re.compile(r"\b(run|thread|art|chatcmpl|call|msg)([-_])([0-9A-Za-z]{16,})")
# The provider server numbers what is posted to it, whoever did.
_NOTE = re.compile(r'(\\?"id\\?":)\d+(,\\?"stored)')
_VOLATILE = frozenset(
    {"created", "usage", "system_fingerprint", "created_at", "updated_at", "started_at", "finished_at"}
)


def index(scenes: Sequence[Scene]) -> str:
    """The page that lists the others."""
    head = _HEAD.format(title="Transcripts", about="What a client asks of each agent, what happens, what it gets.")
    return head + _INDEX + "".join(f"- [{scene.title}]({scene.name}.md): {scene.about}\n" for scene in scenes)


def page(scene: Scene, exchanges: Sequence[Exchange], provider: str) -> str:
    """The whole page."""
    names = _Names(provider)
    parts = [_HEAD.format(title=scene.title, about=scene.about)]
    # Before anything is cut to a length, or pages would differ where an id was cut.
    parts += [_section(names.steadied(exchange)) for exchange in exchanges]
    return "\n".join(parts)


def _section(exchange: Exchange) -> str:
    parts = [f"## {exchange.title}\n"]
    if exchange.note:
        parts.append(f"{exchange.note}\n")
    parts.append(f"```sh\n{_command(exchange)}\n```\n")
    if exchange.is_stream:
        if any(event.name for event in exchange.events):
            lines = "\n".join(native_lines(exchange.events))
            parts.append(f"What happens:\n\n```text\n{lines}\n```\n")
        else:
            reason = finish_reason(exchange.events)
            parts.append(f"Chunks come as the model speaks; the last one's `finish_reason` is `{reason}`.\n")
        if text := text_of(exchange.events):
            parts.append("The answer:\n\n" + "\n".join(f"> {line}".rstrip() for line in text.splitlines()) + "\n")
    else:
        answer = orjson.dumps(exchange.answer, option=orjson.OPT_INDENT_2).decode()
        parts.append(f"The answer:\n\n```json\n{answer}\n```\n")
    return "\n".join(parts)


def _command(exchange: Exchange) -> str:
    head = f'curl -s{"N" if exchange.is_stream else ""} "$DORMOUSE_URL{exchange.path}"'
    head += ' -H "Authorization: Bearer $DORMOUSE_API_KEY"'
    if exchange.body is None:
        return head
    body = orjson.dumps(exchange.body, option=orjson.OPT_INDENT_2).decode().replace("'", "'\\''")
    return f"{head} \\\n  -H 'Content-Type: application/json' -d '{body}'"


def _steady(value: Any) -> Any:
    """Without what differs from run to run."""
    if isinstance(value, dict):
        return {name: _steady(item) for name, item in value.items() if name not in _VOLATILE}
    return [_steady(item) for item in value] if isinstance(value, list) else value


class _Names:
    """Numbers ids in the order in which they occur: run_1, run_2, thread_1; the provider has its usual address."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def steadied(self, exchange: Exchange) -> Exchange:
        """The exchange with short ids, and without what differs from run to run."""
        events = [Event(event.name, self._value(event.data)) for event in exchange.events]
        return replace(
            exchange,
            path=self._text(exchange.path),
            body=self._value(exchange.body),
            events=events,
            answer=_steady(self._value(exchange.answer)),
        )

    def _value(self, value: Any) -> Any:
        return orjson.loads(self._text(orjson.dumps(value).decode()))

    def _text(self, text: str) -> str:
        text = _NOTE.sub(r"\g<1>1\g<2>", text)
        return _ID.sub(self._short, text).replace(self._provider, PROVIDER)

    def _short(self, found: re.Match[str]) -> str:
        kind = found[1]
        if found[0] not in self._known:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[found[0]] = f"{kind}{found[2]}{self._counts[kind]}"
        return self._known[found[0]]
