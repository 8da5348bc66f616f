"""rag_search: passages of the tenant's own documents."""

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, typed_tool

_DESCRIPTION: Final = (
    "Searches the documents that the user's organisation has added here and returns the passages that fit. Use it for "
    "questions about their own papers, policies, products or notes, before you search the web."
)


class RagSearch(Arguments):
    """What to look for."""

    query: Annotated[str, Meta(description="A question or key words.", min_length=1, max_length=2000)]
    max_results: Annotated[int, Meta(description="How many passages.", ge=1, le=20)] = 5


def build_tools(means: Means) -> Iterable[Tool]:
    async def run(arguments: RagSearch, call: Call) -> str:
        # Nothing can add documents yet, so this is true whatever `means.embed_target` says.
        return "No documents are indexed."

    yield typed_tool(name="rag_search", description=_DESCRIPTION, input=RagSearch, run=run)
