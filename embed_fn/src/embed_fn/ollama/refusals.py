"""What Ollama's errors mean."""

import logging
from typing import Final

import orjson
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from embed_fn import errors

_logger = logging.getLogger(__name__)
_LOGGED_CHARACTERS: Final = 200


def error_from(model: str, status: int, text: str) -> DormouseError:
    """What an HTTP status and Ollama's error text mean. The text is logged and never shown."""
    lowered = text.lower()
    if status == 404 or "not found" in lowered:
        return errors.model_not_found(model)
    # "the input length exceeds the context length", "input is larger than the max context size", llama.cpp's
    # "input (… tokens) is too large to process".
    if "context length" in lowered or "context size" in lowered or "too large to process" in lowered:
        return DormouseError(error_pb2.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED, "The text is longer than the model takes.")
    for ability in ("embedding", "chat", "generate"):
        if f"does not support {ability}" in lowered:
            return errors.capability_missing(model, ability)
    _logger.warning(
        "the model server refused a call",
        extra={"model": model, "status": status, "answer": text[:_LOGGED_CHARACTERS]},
    )
    # A model that makes NaN of a text, which Ollama cannot write as JSON. The same text does so again.
    if "unsupported value" in lowered:
        return errors.invalid_argument("The model can make nothing of the text.")
    # A proxy that has nobody behind it, or a server that still loads; Ollama's own 503 says that it is busy.
    if status in (502, 503) and "busy" not in lowered:
        return errors.model_away()
    if status in (401, 403, 408, 429, 503):
        return errors.model_unavailable("The model server takes no requests now.")
    if 400 <= status < 500:
        return errors.invalid_argument("The model server does not accept the request.")
    return errors.ModelFailed()


def error_text(data: bytes) -> str:
    """The text in an error's body."""
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        return data.decode("utf-8", "replace")
    return str(answer.get("error", "")) if isinstance(answer, dict) else ""
