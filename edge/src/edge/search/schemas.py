"""Searches, and the shapes of their answers."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edge.content import Schema
from edge.native.schemas import METADATA_PAIRS, Key, Value

MODES: Final = ("auto", "fast", "balanced", "deep")
MOST_FILES: Final = 100


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


class SearchQuery(Schema):
    """What is looked for, and where."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "How long do dormice sleep?", "limit": 5}]})

    query: str = Field(min_length=1, max_length=4096, description="A question, or words.")
    mode: Literal["auto", "fast", "balanced", "deep"] = Field(
        "auto",
        description=(
            "`fast`: the 5 best within a second; `balanced`: 10 within three; `deep`: 15 within fifteen, the question "
            "rewritten and the passages weighed by a model; `auto`: whichever fits the question."
        ),
    )
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_whole)] | None = Field(
        None, description="How many at most. Left out: the mode's own."
    )
    metadata: dict[Key, Value] = Field(
        default_factory=dict,
        max_length=METADATA_PAIRS,
        description="Only files that have all of these.",
        json_schema_extra={
            "patternProperties": {},
            "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": r"^[^\x00]*$"},
            "additionalProperties": {"type": "string", "maxLength": 512, "pattern": r"^[^\x00]*$"},
        },
    )
    file_ids: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list, max_length=MOST_FILES, description="Only these files. Empty: all."
    )


class SearchHitObject(BaseModel):
    """A passage that was found."""

    chunk_id: str
    file_id: str
    filename: str
    score: float = Field(description="Higher is better; comparable within one answer only.")
    vector_score: float | None = Field(description="Cosine similarity. Null: not among the nearest.")
    text_score: float | None = Field(description="Full-text rank. Null: no word matched.")
    text: str
    headings: list[str] = Field(description="Above the passage, outermost first.")
    first_page: int | None = Field(description="1 is the first. Null: the type has no pages.")
    last_page: int | None
    start_offset: int = Field(description="Unicode code points from the start of the file's text.")
    end_offset: int = Field(description="Exclusive.")


class SearchAnswer(BaseModel):
    """What was found, best first."""

    object: Literal["search.results"]
    mode: Literal["fast", "balanced", "deep"] = Field(description="That was used.")
    took_ms: float
    left_out: list[str] = Field(
        description="What failed or would have taken too long, so that the hits come without it: `vectors`, `text`, "
        "and in deep searches `rewriting`, `reranking`. Empty as a rule."
    )
    data: list[SearchHitObject]


MODELS: Final = (SearchQuery, SearchHitObject, SearchAnswer)

EXAMPLE: Final[dict[str, Any]] = {
    "object": "search.results",
    "mode": "fast",
    "took_ms": 12.3,
    "left_out": [],
    "data": [
        {
            "chunk_id": "17",
            "file_id": "file-8dYh2mPz0ZcA5kQw1nRtXvBg",
            "filename": "dormice.md",
            "score": 0.031,
            "vector_score": 0.82,
            "text_score": 0.4,
            "text": "They sleep.",
            "headings": ["Dormice"],
            "first_page": None,
            "last_page": None,
            "start_offset": 11,
            "end_offset": 22,
        }
    ],
}
