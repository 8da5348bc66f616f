"""The users: each asks, reads its stream to the end, rests, and asks again."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import gevent
import orjson
from locust import User, constant, task

from loadtest.results import Stream
from loadtest.traffic.reading import (
    SameText,
    contains,
    follow,
    read_chat,
    read_run,
    read_upload,
    says_something,
)
from loadtest.traffic.settings import BASELINE, CANDIDATE, STOP_S, Settings
from loadtest.traffic.sse import Connection, TransportError

SETTINGS = Settings.read()
SAME_TEXT = SameText()
Report = Callable[[str, str, Stream], None]
"""Takes the side, the scenario and the stream."""

HANDBOOK = "# Staff handbook\n\n## Holidays\n\nEveryone has {days} days of holidays a year. They expire on 31 March.\n"
QUESTION = "What do my documents say about holidays?"
SUM = "Calculate 12 * (3 + 4), then add 16 to the result"
CHAT = "Explain in a few sentences how a dormouse sleeps through the winter."


class StreamingUser(User):
    """What all users have in common. `report` is set before the first one is made."""

    abstract = True
    wait_time = constant(SETTINGS.think_s)
    scenario: ClassVar[str] = ""
    report: ClassVar[Report]
    started: ClassVar[Counter[str]] = Counter()
    side = CANDIDATE

    def on_start(self) -> None:
        """A connection of its own, as a browser has. Of each kind every second user asks the accepted release."""
        StreamingUser.started[self.scenario] += 1
        if SETTINGS.baseline and StreamingUser.started[self.scenario] % 2 == 0:
            self.side, self.host = BASELINE, SETTINGS.baseline
        key = {"Authorization": f"Bearer {os.environ['DORMOUSE_API_KEY']}"}
        self.connection = Connection(self.host or "", headers=key, timeout_s=SETTINGS.timeout_s)

    def on_stop(self) -> None:
        """Nothing stays open."""
        self.connection.close()

    @task
    def ask(self) -> None:
        """One stream. One that has not ended long after the run has is lost, too."""
        began = time.monotonic()
        try:
            stream = self.play()
        except gevent.GreenletExit:
            # Locust ends users that rest at once, and one of them may just have gone on. What was waited for is lost.
            if time.monotonic() - began >= STOP_S - 1:
                StreamingUser.report(self.side, self.scenario, Stream(error="unfinished"))
            raise
        StreamingUser.report(self.side, self.scenario, stream)

    def play(self) -> Stream:
        """The stream of this kind of user."""
        raise NotImplementedError


class ChatUser(StreamingUser):
    """A plain chat through Chat Completions."""

    scenario = "chat"
    weight = 5

    def play(self) -> Stream:
        """Ask for a few sentences."""
        body: dict[str, Any] = {
            "model": SETTINGS.model or "chat",
            "messages": [{"role": "user", "content": CHAT}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if SETTINGS.max_tokens:
            body["max_tokens"] = SETTINGS.max_tokens
        check = SAME_TEXT if SETTINGS.same_text else says_something
        return follow(lambda: self.connection.events("POST", "/v1/chat/completions", _json(body)), read_chat, check)


class AgentUser(StreamingUser):
    """An agent that needs its tools for the answer."""

    scenario = "agent"
    weight = 2

    def play(self) -> Stream:
        """Ask for a sum of two steps."""
        return follow(lambda: self.connection.events("POST", "/v1/runs", _run(SUM)), read_run, contains("100"))


class RagUser(StreamingUser):
    """A question that only an uploaded document answers."""

    scenario = "rag"
    weight = 2

    def on_start(self) -> None:
        """The document has to be there before the question is asked.

        Every user brings one of its own: the same content twice would be one document, which goes with the first user.
        """
        super().on_start()
        self.file = ""

    def on_stop(self) -> None:
        """The document goes with its user."""
        if self.file:
            _forget(self.connection, self.file)
        super().on_stop()

    def play(self) -> Stream:
        """Ask what the handbook says."""
        if not self.file:
            uploaded, self.file = _upload(
                self.connection, f"{HANDBOOK.format(days=30)}\nOwner: {secrets.token_hex(8)}\n"
            )
            if uploaded.error:
                return uploaded
        return follow(lambda: self.connection.events("POST", "/v1/runs", _run(QUESTION)), read_run, contains("30 days"))


class UploadUser(StreamingUser):
    """Uploads a document, follows it until searches find it, and takes it away again."""

    scenario = "upload"
    weight = 1

    def play(self) -> Stream:
        """One document that nobody has uploaded before."""
        text = HANDBOOK.format(days=30) + "".join(f"\n## {secrets.token_hex(8)}\n\n{CHAT}\n" for _ in range(20))
        stream, file = _upload(self.connection, text)
        if file:
            _forget(self.connection, file)
        return stream


BY_SCENARIO: dict[str, tuple[type[StreamingUser], ...]] = {
    "chat": (ChatUser,),
    "agent": (AgentUser,),
    "rag": (RagUser,),
    "upload": (UploadUser,),
    "mixed": (ChatUser, AgentUser, RagUser, UploadUser),
}


def _json(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body)


def _run(question: str) -> bytes:
    return _json({"agent": "react", "input": {"messages": [{"role": "user", "content": question}]}})


def _upload(connection: Connection, text: str) -> tuple[Stream, str]:
    """The stream, and the file's id (empty when it failed)."""
    edge = secrets.token_hex(16)
    name = f"load-{secrets.token_hex(4)}.md"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    body = f"{head}Content-Type: text/markdown\r\n\r\n{text}\r\n--{edge}--\r\n".encode()
    found: list[str] = []

    def keep(file: str) -> str:
        found.append(file)
        return "" if file else "the upload told of no file"

    kind = f"multipart/form-data; boundary={edge}"
    stream = follow(lambda: connection.events("POST", "/v1/files?stream=true", body, kind), read_upload, keep)
    return stream, found[0] if found else ""


def _forget(connection: Connection, file: str) -> None:
    try:
        connection.call("DELETE", f"/v1/files/{file}")
    except TransportError:
        return  # it expires; what was measured stands
