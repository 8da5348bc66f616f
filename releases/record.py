"""What a release keeps in the cluster while it runs: that it does, and how to go back should its machine die."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from releases.kubectl import ClusterError, Kubectl
from releases.rollout import TakenOverError

BEAT_S: Final = 10.0
WATCH_S: Final = 45.0
"""A release whose record does not change for so long is dead."""

_POLL_S: Final = 2.0


class Record:
    """A ConfigMap that one release at a time holds, with what it has found."""

    def __init__(self, kubectl: Kubectl, name: str, *, owner: str, what: str) -> None:
        """name: of the ConfigMap; owner: who releases, unique; what: for people."""
        self._kubectl, self._name, self._owner, self._what = kubectl, name, owner, what
        self._parts: list[dict[str, Any]] = []
        self._beats = 0
        self._lost = False
        self._lock = threading.Lock()

    def claim(self, *, watch_s: float = WATCH_S) -> list[dict[str, Any]]:
        """Become the one that releases here. Returns the parts that a release which was broken off has begun to change.

        Raises ClusterError while another one lives; to see whether it does may take `watch_s`.
        """
        if self._kubectl.create(self._manifest()):
            return []
        seen = self._kubectl.get("configmap", self._name)
        deadline = time.monotonic() + watch_s
        while time.monotonic() < deadline:
            time.sleep(min(_POLL_S, watch_s))
            if not self._kubectl.exists("configmap", self._name):
                return self.claim(watch_s=watch_s)  # it has just ended
            now = self._kubectl.get("configmap", self._name)
            if now["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]:
                data = now["data"]
                raise ClusterError(f"a release is under way here: {data['what']}, by {data['owner']}")
        self._parts = json.loads(seen["data"]["parts"])
        made = self._manifest()
        made["metadata"]["resourceVersion"] = seen["metadata"]["resourceVersion"]
        self._kubectl.replace(made)
        return self._parts

    def write(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Keep what the parts were before they are touched."""
        self._parts = [dict(part) for part in parts]
        self._beat()

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Say again and again that this release lives."""
        done = threading.Event()

        def run() -> None:
            while not done.wait(BEAT_S):
                # The next one comes soon, and whoever watches waits for several.
                with contextlib.suppress(ClusterError):
                    self._beat()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self) -> None:
        with self._lock:
            self._beats += 1
            now = self._kubectl.get("configmap", self._name)
            if now["data"]["owner"] != self._owner:
                self._lost = True
                return
            made = self._manifest()
            made["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
            self._kubectl.replace(made)

    def held(self) -> None:
        """Raises TakenOverError when another release goes on in this one's place."""
        if self._lost:
            raise TakenOverError("another release took this one for dead and has taken over; it is left to that one")

    def close(self) -> None:
        """There is nothing to go back to any more."""
        if not self._lost:
            self._kubectl.delete("configmap", self._name)

    def _manifest(self) -> dict[str, Any]:
        data = {"owner": self._owner, "what": self._what, "beat": str(self._beats), "parts": json.dumps(self._parts)}
        metadata = {"name": self._name, "labels": {"app.kubernetes.io/part-of": "dormouse"}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
