"""Citations as Chat Completions knows them: `url_citation` annotations of the one message that a run is here."""

from typing import Any

from dormouse.agent.v1.run_event_pb2 import Citation

from edge.sources import passage_path


class Annotator:
    """Makes each annotation once. base_url: what paths begin with; empty: they stay paths."""

    def __init__(self, base_url: str = "") -> None:
        self._base_url = base_url.rstrip("/")
        self._made: set[tuple[str, int, int, str]] = set()

    def annotate(self, citation: Citation, offset: int) -> dict[str, Any] | None:
        """`offset`: where the citation's message begins in the content, in code points.

        None for a claim that nothing supports, which this protocol cannot say, and for what was said before.
        """
        if not citation.HasField("source"):
            return None
        source = citation.source
        url = self._base_url + passage_path(source)
        made = (citation.message_id, citation.start, citation.end, url)
        if made in self._made:
            return None  # a new attempt repeats it
        self._made.add(made)
        page = f", page {source.first_page}" if source.first_page else ""
        return {
            "type": "url_citation",
            "url_citation": {
                "start_index": offset + citation.start,
                "end_index": offset + citation.end,
                "title": f"{source.document_name}{page}",
                "url": url,
            },
        }
