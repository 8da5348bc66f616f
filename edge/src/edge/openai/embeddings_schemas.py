"""Embeddings: what is read of a request, and the shape of the answer for the document."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from edge.content import Count, Schema

MOST_INPUTS: Final = 2048

Token = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[Token], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


def _kind(value: object) -> str:
    """By the first input, so that an error is said of what was meant."""
    if not isinstance(value, list):
        return "text"
    first = value[0] if value else ""
    return "token_lists" if isinstance(first, list) else "tokens" if isinstance(first, int) else "texts"


Input = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS), Tag("texts")]
    | Annotated[Tokens, Tag("tokens")]
    | Annotated[list[Tokens], Field(min_length=1, max_length=MOST_INPUTS), Tag("token_lists")],
    Discriminator(_kind),
]


class EmbeddingsRequest(Schema):
    """Texts to be turned into vectors."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "dormouse-dev-embed", "input": ["What is a dormouse?", "A small rodent."]}]
        }
    )

    model: str = Field(
        min_length=1, max_length=256, description="A model of the model server that embeds; see `GET /v1/models`."
    )
    input: Input = Field(description="A text, several, or the same as tokens of OpenAI's vocabulary cl100k_base.")
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="`base64`: 32-bit floats, little endian, one after the other."
    )
    dimensions: Count | None = Field(None, description="Shortens the vectors; by default the model's own length.")
    user: str | None = Field(None, description="Accepted and ignored.")


class EmbeddingObject(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Of length 1; a text with `encoding_format` `base64`.")


class EmbeddingsUsage(BaseModel):
    """As the model server counted."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    object: Literal["list"]
    data: list[EmbeddingObject] = Field(description="One for each input, in order.")
    model: str
    usage: EmbeddingsUsage


EMBEDDINGS_EXAMPLE: Final[dict[str, Any]] = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.0123, -0.0456, 0.0789]},
        {"object": "embedding", "index": 1, "embedding": [0.0321, 0.0654, -0.0987]},
    ],
    "model": "dormouse-dev-embed",
    "usage": {"prompt_tokens": 9, "total_tokens": 9},
}
