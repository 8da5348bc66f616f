"""Path and query parameters that several native routes share."""

from typing import Annotated

from dormouse.common.v1.error_pb2 import ErrorReason
from fastapi import Path, Query

from edge.errors import ApiError
from edge.ids import ARTIFACT_PATTERN, RUN_PATTERN, THREAD_PATTERN, is_run_id

# The patterns are told, not enforced: what could not be an id gets the same 404 as what is none.
ThreadId = Annotated[
    str,
    Path(
        description="The thread's id.",
        json_schema_extra={"pattern": THREAD_PATTERN},
        examples=["thread_8dYh2mPz0ZcA5kQw1nRtXvBg"],
    ),
]
RunId = Annotated[
    str,
    Path(
        description="The run's id.",
        json_schema_extra={"pattern": RUN_PATTERN},
        examples=["run_8dYh2mPz0ZcA5kQw1nRtXvBg"],
    ),
]
ArtifactId = Annotated[
    str,
    Path(
        description="The artifact's id.",
        json_schema_extra={"pattern": ARTIFACT_PATTERN},
        examples=["art_8dYh2mPz0ZcA5kQw1nRtXvBg"],
    ),
]
VERSION_LIMIT = 2**31 - 1
Version = Annotated[int, Path(ge=1, le=VERSION_LIMIT, description="1 is the first.")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
After = Annotated[
    str | None, Query(max_length=200, description="Read on behind this id: the `last_id` of the page before.")
]


def check_run_id(run_id: str) -> None:
    """Raises ApiError 404 for what cannot be a run's id."""
    if not is_run_id(run_id):
        raise ApiError.of(ErrorReason.ERROR_REASON_RUN_NOT_FOUND, "There is no run with this id.")
