"""The tenant's documents, as EmbedService has them."""

from tool_fn.documents.documents import Documents, Found, Passage, Question

__all__ = ["Documents", "Found", "Passage", "Question"]
