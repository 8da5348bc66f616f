"""Path and query parameters that several native routes share."""

from typing import Annotated

from fastapi import Path, Query

from edge.ids import RUN_PATTERN, THREAD_PATTERN

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
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
After = Annotated[
    str | None, Query(max_length=200, description="Read on behind this id: the `last_id` of the page before.")
]
