"""The state that a run shows while it goes on: a JSON object, told as RFC 6902 patches and built from them again."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agent_fn.events import StateDelta, StateSnapshot

Operation = dict[str, Any]


class RunState:
    """What an agent has decided and no message or result tells: a plan, a route, a verdict.

    A change returns the event that tells it; whoever makes it puts that into the flow, together with what else has to
    be in the log at once. A new attempt finds `value` as the log has it.
    """

    def __init__(self, value: Mapping[str, Any] | None = None) -> None:
        self.value: dict[str, Any] = dict(value or {})
        """To be read. Changed by the methods only."""

    @classmethod
    def from_log(cls, snapshot_json: str, patches_json: Sequence[str]) -> "RunState":
        """The state that a log tells. Raises ValueError where that makes none."""
        snapshot = orjson.loads(snapshot_json or "{}")
        if not isinstance(snapshot, dict):
            raise ValueError("the state is no JSON object")
        state = cls(snapshot)
        for patch in patches_json:
            state.value = _patched(state.value, orjson.loads(patch))
        return state

    def get(self, path: str, default: Any = None) -> Any:
        """What stands at a JSON Pointer such as "/plan/steps/0"; the default where nothing does."""
        value: Any = self.value
        for step in _steps(path):
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return default
        return value

    def set(self, path: str, value: Any) -> StateDelta:
        """Puts `value` at a JSON Pointer, in place of what stands there; what it lies in has to be there."""
        return self.apply([self._set(path, value)])

    def set_all(self, values: Mapping[str, Any]) -> StateDelta:
        """Several `set`s in one patch, in their order."""
        return self.apply([self._set(path, value) for path, value in values.items()])

    def append(self, path: str, value: Any) -> StateDelta:
        """Adds `value` to the end of the list at a JSON Pointer."""
        return self.apply([{"op": "add", "path": f"{path}/-", "value": value}])

    def remove(self, path: str) -> StateDelta:
        """Drops what stands at a JSON Pointer."""
        return self.apply([{"op": "remove", "path": path}])

    def apply(self, operations: Sequence[Operation]) -> StateDelta:
        """Applies an RFC 6902 patch. Raises ValueError, and changes nothing, where it does not fit."""
        patch_json = orjson.dumps(operations)
        # Read again, so that the state holds nothing that a caller goes on changing.
        self.value = _patched(self.value, orjson.loads(patch_json))
        return StateDelta(patch_json.decode())

    def replace(self, value: Mapping[str, Any]) -> StateSnapshot:
        """Puts `value` in place of the whole state."""
        text = orjson.dumps(value)
        self.value = orjson.loads(text)
        return StateSnapshot(text.decode())

    def _set(self, path: str, value: Any) -> Operation:
        # "add" would insert into a list.
        there = object()
        return {"op": "add" if self.get(path, there) is there else "replace", "path": path, "value": value}


def _patched(value: dict[str, Any], operations: Sequence[Operation]) -> dict[str, Any]:
    # Loaded by the first run that has a state.
    import jsonpatch

    try:
        patched = jsonpatch.apply_patch(value, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise ValueError(f"the patch does not fit: {error}") from error
    if not isinstance(patched, dict):
        raise ValueError("the state is a JSON object")
    return patched


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
