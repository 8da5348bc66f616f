"""`POST /v1/embeddings`."""

import asyncio
import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, Final

import orjson
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1.embed_pb2 import Embedding
from dormouse.embed.v1.embed_service_pb2 import EmbedResponse
from dormouse_runtime.errors import MODEL_AWAY, DormouseError
from fastapi import APIRouter, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.errors import ApiError, invalid_argument
from edge.ids import new_job_id
from edge.lifecycle import ClientGoneError, ClientWatch, ServerClosingError
from edge.openapi import errors, json_answer, json_body
from edge.request_body import read_json
from edge.request_context import context_of
from edge.services import services_of
from edge.spending.estimate import of_texts
from edge.spending.model import Work

from .embeddings_schemas import EMBEDDINGS_EXAMPLE, EmbeddingList, EmbeddingsRequest
from .token_texts import TokenTexts

router = APIRouter(tags=["OpenAI"])

# So many vectors are written before other requests have their turn.
_AT_A_TIME: Final = 32
WAKING_RETRY_S: Final = 30
"""What a client is asked to wait while the models wake: a node takes minutes, and SDKs obey no more than one."""

_SWAP: Final = sys.byteorder == "big"


@router.post(
    "/v1/embeddings",
    operation_id="createEmbeddings",
    summary="Turn texts into vectors",
    description="OpenAI's embeddings. Texts are embedded as they are: a model that wants a prefix before questions or "
    "passages gets it from the client. What a tenant has had embedded before comes from a cache.",
    responses={
        200: json_answer(EmbeddingList, "The vectors.", EMBEDDINGS_EXAMPLE),
        **errors(400, 404, 413, 415, 504),
    },
    openapi_extra=json_body(EmbeddingsRequest),
    response_class=Response,
)
async def create_embeddings(request: Request, caller: Annotated[Caller, Requires(Scope.EMBEDDINGS)]) -> Response:
    services = services_of(request)
    body = await read_json(request, EmbeddingsRequest)
    if not caller.grants.has_model(body.model):  # as the function says of one that there is not
        reason = ErrorReason.ERROR_REASON_MODEL_NOT_FOUND
        raise ApiError.of(reason, f"There is no model {body.model[:128]!r}.")
    texts = await _texts(body, services.token_texts)
    estimate, used = of_texts(texts, body.model), 0
    await services.limits.admit_tokens(request, caller, estimate.tokens)
    try:
        job = await services.spending.begin(caller, new_job_id(), Work.EMBEDDING, estimate)
        async with job, ClientWatch(request.receive, services.lifecycle):
            answer = await services.embed.embed(
                caller,
                texts,
                model=body.model,
                dimensions=body.dimensions or 0,
                request_id=context_of(request.scope).request_id,
            )
            used = sum(embedding.token_count for embedding in answer.embeddings)
            job.use(used)
    except ClientGoneError:
        return Response(status_code=499)
    except DormouseError as error:
        if services.settings.model_wake_s and MODEL_AWAY.items() <= error.details.items():
            raise _waking() from error
        raise
    except ServerClosingError:
        raise ApiError.of(ErrorReason.ERROR_REASON_SHUTTING_DOWN, "The server is shutting down; try again.") from None
    finally:
        services.limits.settle_tokens(caller, estimate.tokens, used)
    return Response(
        await _encoded(body.model, answer, as_text=body.encoding_format == "base64"), media_type="application/json"
    )


def _waking() -> ApiError:
    message = "The models sleep and are being woken, which may take minutes. Try again then."
    error = ApiError.of(ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, message)
    error.headers["retry-after"] = str(WAKING_RETRY_S)
    return error


async def _texts(body: EmbeddingsRequest, tokens: TokenTexts) -> Sequence[str]:
    """The inputs as texts. Raises ApiError 400."""
    if isinstance(body.input, str):
        return [body.input]
    if isinstance(body.input[0], int):
        return [await _text(tokens, body.input, "input")]
    return [
        item if isinstance(item, str) else await _text(tokens, item, f"input[{number}]")
        for number, item in enumerate(body.input)
    ]


async def _text(tokens: TokenTexts, numbers: Any, param: str) -> str:
    try:
        text = await tokens.text(numbers)
    except ValueError as error:
        raise invalid_argument(
            f"Invalid value for `{param}`: {error}. Send the text itself; in LangChain: `check_embedding_ctx_length="
            "False`.",
            param,
        ) from None
    if not text:
        raise invalid_argument(f"Invalid value for `{param}`: these tokens are no text.", param)
    return text


async def _encoded(model: str, answer: EmbedResponse, *, as_text: bool) -> bytes:
    """The JSON document. Raises ApiError 400 for the first input that could not be embedded."""
    written: list[bytes] = []
    count = 0
    for number, embedding in enumerate(answer.embeddings):
        if embedding.error:
            param = "input" if len(answer.embeddings) == 1 else f"input[{number}]"
            raise invalid_argument(f"Invalid value for `{param}`: {embedding.error}", param)
        count += embedding.token_count
        value = {"object": "embedding", "index": number, "embedding": _values(embedding, as_text=as_text)}
        written.append(orjson.dumps(value))
        if number % _AT_A_TIME == _AT_A_TIME - 1:
            await asyncio.sleep(0)
    usage = {"prompt_tokens": count, "total_tokens": count}
    rest = orjson.dumps({"object": "list", "model": model, "usage": usage})
    return b'%s,"data":[%s]}' % (rest[:-1], b",".join(written))


def _values(embedding: Embedding, *, as_text: bool) -> list[float] | str:
    if not as_text:
        return list(embedding.values)
    values = array("f", embedding.values)
    if _SWAP:
        values.byteswap()
    return base64.b64encode(values).decode("ascii")
