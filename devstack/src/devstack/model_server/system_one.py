"""/v1/systemone: choices, yes-or-no and scores with probabilities, by words that state and criteria share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from devstack.model_server.bodies import json_response, read_object
from devstack.model_server.calls import model_name
from devstack.model_server.errors import BadRequestError
from devstack.model_server.state import STATE
from devstack.model_server.tokens import count_tokens
from devstack.model_server.words import stems


def add_routes(router: web.UrlDispatcher) -> None:
    """Register this endpoint."""
    router.add_post("/v1/systemone", _system_one)


async def _system_one(request: web.Request) -> web.Response:
    body = await read_object(request)
    name = model_name(body)
    model = request.app[STATE].catalog.get(name)
    if not model.can_complete:
        raise BadRequestError(f'"{name}" does not support systemone')
    questions = body.get("questions")
    if not isinstance(questions, Mapping) or not questions:
        raise BadRequestError("questions is required")
    state = _text(body.get("state"))
    usage = {"input_tokens": count_tokens(state + _text(questions)), "output_tokens": len(questions)}
    answers = {key: _answered(key, question, stems(state)) for key, question in questions.items()}
    return json_response({"model": name, "answers": answers, "usage": usage})


def _answered(key: str, question: object, state: set[str]) -> dict[str, Any]:
    if not isinstance(question, Mapping):
        raise BadRequestError(f"questions.{key} wants an object")
    kind, criteria = question.get("type", "choice"), question.get("criteria")
    if kind == "choice" and isinstance(criteria, Mapping) and criteria:
        shares = _shares([f"{name} {_text(text or '')}" for name, text in criteria.items()], state)
        probabilities = dict(zip(criteria, shares, strict=True))
        choice = max(probabilities, key=lambda name: probabilities[name])
        return {"type": kind, "choice": choice, "probabilities": probabilities, "confidence": max(shares)}
    if kind == "noul":
        wanted = (
            criteria if isinstance(criteria, Mapping) else {"true": _text(question.get("instructions")), "false": ""}
        )
        return {"type": kind, "noul": _shares([_text(wanted.get("true")), _text(wanted.get("false"))], state)[0]}
    if kind == "score" and isinstance(criteria, list) and criteria:
        shares = _shares([_text(text) for text in criteria], state)
        legend = {str(index): _text(text) for index, text in enumerate(criteria)}
        score = sum(index * share for index, share in enumerate(shares))
        probabilities = {str(index): share for index, share in enumerate(shares)}
        return {
            "type": kind,
            "score": score,
            "legend": legend,
            "probabilities": probabilities,
            "confidence": max(shares),
        }
    raise BadRequestError(f"questions.{key} wants type choice, noul or score and criteria that fit it")


def _shares(texts: list[str], state: set[str]) -> list[float]:
    weights = [1.0 + 4 * len(state & stems(text)) for text in texts]
    return [weight / sum(weights) for weight in weights]


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
