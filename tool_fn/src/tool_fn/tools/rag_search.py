"""rag_search: passages of the tenant's own documents."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Final, Literal

from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.documents import Found, Passage, Question
from tool_fn.documents.documents import UnknownFileError
from tool_fn.means import Means
from tool_fn.quoting import defused, fenced, one_line
from tool_fn.sources import Source
from tool_fn.tool import Call, Tool, ToolError, typed_tool

_DESCRIPTION: Final = (
    "Searches the documents that the user's organisation has added here and returns the passages that fit, with labels "
    "to cite them by. Use it for questions about their own papers, policies, products or notes, before you search the "
    "web."
)
# A deep search takes up to 15 s, and the function may have to wake.
_TIME_LIMIT_S: Final = 30.0
_OUTPUT_BYTES: Final = 48 * 1024
# Of them, what passages may fill: the rest is for the fence and the note behind it.
_PASSAGE_BYTES: Final = _OUTPUT_BYTES - 2048
_WAY_BACK_S: Final = 0.5
_NAMES_LISTED: Final = 20

_NONE_HERE: Final = "No documents can be searched here. Answer without them and say so."
_CITE: Final = (
    "Cite each passage you use by its label in brackets, right behind the sentence that rests on it, for instance [{}]."
    " Say what the passages do not tell; do not fill it in."
)

_LEFT_OUT: Final = {
    "vectors": (
        "This search looked for words only: comparing by meaning failed or took too long. Passages that say it in "
        "other words may be missing; search again with their words, or say that the search was not complete."
    ),
    "text": (
        "This search compared by meaning only: looking for words failed or took too long. Passages with exact names, "
        "numbers or codes may be missing; say so if the answer hangs on them."
    ),
    "rewriting": "The question was searched only as it stands: putting it in other words failed or took too long.",
    "reranking": "The passages are not weighed by a model: their order is that of the plain search.",
}


class RagSearch(Arguments):
    """What to look for."""

    query: Annotated[str, Meta(description="A question or key words.", min_length=1, max_length=2000)]
    mode: Annotated[
        Literal["auto", "fast", "balanced", "deep"],
        Meta(description="How thorough: fast for a plain fact, deep for what has to be pieced together."),
    ] = "auto"
    limit: Annotated[int, Meta(description="How many passages; 0: as many as the mode has.", ge=0, le=20)] = 0
    files: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=300)], ...],
        Meta(description="Only these documents, by file name or id. None: all.", max_length=50),
    ] = ()


def build_tools(means: Means) -> Iterable[Tool]:
    documents = means.documents

    async def run(arguments: RagSearch, call: Call) -> str:
        if not documents.is_configured or not call.documents_token:
            return _NONE_HERE
        question = Question(arguments.query, arguments.mode, arguments.limit, arguments.files)
        timeout_s = max(call.remaining_s() - _WAY_BACK_S, 0.1)
        try:
            found = await documents.search(question, call.documents_token, timeout_s)
        except UnknownFileError as unknown:
            raise ToolError(_no_such_file(unknown)) from unknown
        if not found.passages:
            is_any_ready = await documents.is_any_ready(call.documents_token, timeout_s)
            return _nothing(arguments, is_any_ready) + _lacking(found)
        return _told(found, call)

    yield typed_tool(
        name="rag_search",
        description=_DESCRIPTION,
        input=RagSearch,
        run=run,
        time_limit_s=_TIME_LIMIT_S,
        output_limit_bytes=_OUTPUT_BYTES,
        quotes_strangers=True,
    )


def _told(found: Found, call: Call) -> str:
    parts: list[str] = []
    room = _PASSAGE_BYTES
    for passage in found.passages:
        shown = _shortened(passage)
        body = f"{_place(shown)}\n{defused(shown.text).strip()}"
        room -= len(body.encode()) + 10
        if room < 0:
            break
        parts.append(f"[{call.cite(_source(shown))}] {body}")
    fence = fenced(parts, "passages from documents, best first, each behind its label")
    return f"{fence}\n\n{_CITE.format(call.sources[0].label)}{_lacking(found)}"


def _lacking(found: Found) -> str:
    """What of the search did not take place, so that nobody takes its silence for an answer."""
    left_out = [sentence for part, sentence in _LEFT_OUT.items() if part in found.left_out]
    return "".join(f"\n\n{sentence}" for sentence in left_out)


def _shortened(passage: Passage) -> Passage:
    """The beginning of a very long passage, so that several fit."""
    most = _PASSAGE_BYTES // 8  # characters of up to 4 bytes, and as much again for what defusing puts in
    if len(passage.text) <= most:
        return passage
    return replace(passage, text=passage.text[:most], end_offset=passage.start_offset + most)


def _place(passage: Passage) -> str:
    """Where the passage stands, on one line."""
    words = [one_line(passage.document_name)]
    if passage.first_page:
        is_one = passage.last_page <= passage.first_page
        words.append(f"page {passage.first_page}" if is_one else f"pages {passage.first_page}-{passage.last_page}")
    if headings := " > ".join(filter(None, map(one_line, passage.headings))):
        words.append(headings)
    return ", ".join(words)


def _source(passage: Passage) -> Source:
    return Source(
        document_id=passage.document_id,
        document_name=passage.document_name,
        chunk_id=passage.chunk_id,
        start_offset=passage.start_offset,
        end_offset=passage.end_offset,
        first_page=passage.first_page,
        text=passage.text,
    )


def _nothing(arguments: RagSearch, is_any_ready: bool | None) -> str:
    if is_any_ready is None:
        return "No document is ready to be searched yet: they are still being read, or could not be."
    if not is_any_ready:
        return "No documents are indexed."
    where = "these documents" if arguments.files else "the documents"
    return f"Nothing was found in {where} for {arguments.query!r}. Try other words, or say that they do not tell it."


def _no_such_file(unknown: UnknownFileError) -> str:
    names = sorted({one_line(name) for name in unknown.known})
    listed = "; ".join(names[:_NAMES_LISTED]) + ("; and more" if len(names) > _NAMES_LISTED else "")
    there_are = f"There are: {listed}." if names else "No documents are indexed."
    return f"There is no document {unknown.name!r}. {there_are}"
